"""Apply does for ever what it did when a feature level was released.

A failure here is not repaired by writing the file anew: what apply does for the same entries has
changed, so peers of two versions would drift apart. See generate.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from replay import replay_file

from replicante.errors import FatalError
from replicante.state.commands import Command
from replicante.state.envelope import unpack_envelope
from replicante.state.levels import LEVEL_FIRST, LEVEL_MAX
from replicante.state.outcome import RejectCode, Rejected, decode_outcome

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("level-*/*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_golden_history_gives_what_it_gave(path):
    history = json.loads(path.read_text())
    results = replay_file(path)
    for entry, expected, found in zip(history["entries"], history["results"], results, strict=True):
        assert found == expected, f"entry {entry['index']} differs: a new feature level is needed"


def test_every_level_has_golden_histories():
    assert {path.parent.name for path in FILES} == {
        f"level-{level}" for level in range(LEVEL_FIRST, LEVEL_MAX + 1)
    }


def commands_of(history: dict) -> Iterator[object]:
    for entry in history["entries"]:
        for packed in entry.get("commands", ()):
            with contextlib.suppress(FatalError):  # one is there to be skipped
                yield unpack_envelope(bytes.fromhex(packed)).command


def outcomes_of(history: dict) -> Iterator[object]:
    for result in history["results"]:
        for packed in result.get("outcomes", ()):
            outcome = decode_outcome(bytes.fromhex(packed))
            yield outcome
            yield from getattr(outcome, "outcomes", ())


def test_every_command_and_every_refusal_is_in_a_golden_history():
    histories = [json.loads(path.read_text()) for path in FILES]
    kinds = {type(it) for history in histories for it in commands_of(history)}
    assert set(get_args(Command)) <= kinds
    codes = {it.code for history in histories for it in outcomes_of(history) if is_refusal(it)}
    assert set(RejectCode) <= codes


def is_refusal(outcome: object) -> bool:
    return isinstance(outcome, Rejected)


def test_the_hash_seed_of_a_process_does_not_show():
    def printed(seed: str) -> str:
        return subprocess.run(
            [sys.executable, str(HERE / "replay.py"), *map(str, FILES)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    first = printed("1")
    assert first == printed("2")
    assert len(first.splitlines()) == len(FILES)

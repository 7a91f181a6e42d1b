"""Apply does for ever what it did when a feature level was released.

A failure here is not repaired by writing the file anew: what apply does for the same entries has
changed, so peers of two versions would drift apart. See generate.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from replay import replay_file

from replicante.state.levels import LEVEL_FIRST, LEVEL_MAX

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

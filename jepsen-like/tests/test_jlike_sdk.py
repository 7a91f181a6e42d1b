"""A program that uses the SDK and ends, or falls silent, is a violation, not a broken harness."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from histories import FAIL, INFO, History
from stages import stage_of

from jlike.check import sdk as check
from jlike.history import Kind
from jlike.http import Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.verdict import Verdict
from jlike.workload import sdk
from jlike.workload.base import Outcome
from jlike.workload.sdk import Sdk

URL = "http://p1"


@asynccontextmanager
async def _program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> AsyncIterator[Sdk]:
    """In place of the one that uses the SDK."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sdk, "PROGRAM", program)
    workload = Sdk()
    with contextlib.closing(Recorder(folder)) as recorder:
        peers = Peers(by_id={"p1": Peer(id="p1", url=URL)})
        await workload.open(stage_of("sdk", peers=peers, recorder=recorder))
        try:
            yield workload
        finally:
            await workload.close()


async def _asked(workload: Sdk, f: str = "write") -> Outcome:
    return await workload.perform(Http(timeout_s=1), URL, f, ["k", None if f == "read" else 1])


async def test_a_program_that_breaks_is_told_and_its_words_are_kept(tmp_path, monkeypatch):
    breaks = "import sys; sys.stdin.readline(); raise KeyError('a defect')"
    async with _program(tmp_path, monkeypatch, breaks) as workload:
        first = await _asked(workload)
        assert (first.kind, first.error) == (Kind.INFO, check.ENDED), "it may have been written"
        for f in ("write", "read"):
            later = await _asked(workload, f)
            assert (later.kind, later.error) == (Kind.FAIL, check.ENDED), "nobody was asked"
    assert "KeyError: 'a defect'" in (tmp_path / sdk.LOG).read_text("utf-8")


async def test_a_program_that_says_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sdk, "ANSWER_S", 0.05)
    async with _program(tmp_path, monkeypatch, "import sys; sys.stdin.read()") as workload:
        found = await _asked(workload)
        assert (found.kind, found.error) == (Kind.INFO, check.SILENT)


@pytest.mark.parametrize(
    ("kind", "error", "verdict"),
    [
        (INFO, check.ENDED, Verdict.INVALID),
        (FAIL, check.ENDED, Verdict.INVALID),
        (INFO, check.SILENT, Verdict.INVALID),
        (INFO, "outcome_unknown", Verdict.VALID),
        (FAIL, "client_died", Verdict.VALID),
    ],
)
def test_the_word_of_the_program_about_itself_decides(kind, error, verdict):
    history = History()
    history.did("write", ["k", 1])
    history.did("write", ["k", 2], kind=kind, error=error)
    history.did("append", ["sdk", "s1"], ["1"])
    history.did("final", None, {"sdk": ["s1"]})
    assert check.check(history.operations).verdict is verdict
    assert (Verdict.INVALID in {it.verdict for it in Sdk().check(history.operations)}) is (
        verdict is Verdict.INVALID
    )


async def test_its_log_is_among_those_that_are_searched(tmp_path, monkeypatch):
    assert not Sdk().logs()
    async with _program(tmp_path, monkeypatch, "import sys; sys.stdin.readline()") as workload:
        assert workload.logs() == [tmp_path / "sdk.log"]

"""Faults by somebody else's command: whatever began is ended, and only what took effect counts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from jlike import fault_command
from jlike.fault_command import FaultCommand
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder


@pytest.fixture
def recorder(tmp_path):
    with contextlib.closing(Recorder(tmp_path)) as found:
        yield found


def _faults(recorder: Recorder, script: str, *, kinds=("kill", "cut")) -> FaultCommand:
    """script: in sh; sees begin|end, kind, peer and url as $1 to $4."""
    folder = recorder.folder
    path = folder / "fault.sh"
    path.write_text(f'echo "$@" >> {folder}/calls\n{script}\n', encoding="utf-8")
    return FaultCommand(
        command=f"sh {path}",
        kinds=kinds,
        peers=Peers(by_id={it: Peer(id=it, url=f"http://{it}") for it in ("p1", "p2", "p3")}),
        recorder=recorder,
        chance=random.Random(1),
        leader=lambda: "p2",
        changes=lambda: 0,
    )


def _calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text("utf-8").splitlines()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(fault_command, "HELD_S", (0.0, 0.0))
    monkeypatch.setattr(fault_command, "GAP_S", 0.001)
    monkeypatch.setattr(fault_command, "AGAIN_S", 0.0)


async def test_a_fault_is_told_by_kind_peer_and_url_and_ended(tmp_path, recorder):
    faults = _faults(recorder, "exit 0")
    await faults.once("kill", "p2")
    assert _calls(tmp_path) == ["begin kill p2 http://p2", "end kill p2 http://p2"]
    assert faults.effects == {"kill": 1}
    assert '"took_effect": true' in (tmp_path / "nemesis.jsonl").read_text("utf-8")


async def test_what_its_command_denies_took_no_effect(tmp_path, recorder):
    faults = _faults(recorder, '[ "$1" = end ]')
    await faults.once("kill", "p2")
    assert not faults.effects["kill"]
    assert _calls(tmp_path)[-1].startswith("end"), "it may have begun all the same"


async def test_what_could_not_be_ended_is_ended_again_by_healing(tmp_path, recorder):
    faults = _faults(recorder, f'[ "$1" = begin ] || [ -e {tmp_path}/mended ]')
    await faults.once("cut", "p1")
    (tmp_path / "mended").touch()
    await faults.heal()
    await faults.heal()
    assert [it.split()[0] for it in _calls(tmp_path)] == ["begin", "end", "end"]


async def test_what_cannot_be_ended_breaks_the_run(tmp_path, recorder):
    faults = _faults(recorder, '[ "$1" = begin ]')
    await faults.once("cut", "p1")
    with pytest.raises(OSError, match="did not take back: cut at p1"):
        await faults.heal()
    ends = [it for it in _calls(tmp_path) if it.startswith("end")]
    assert len(ends) == 1 + fault_command.ENDS_MAX, "it was tried again"
    assert '"was_ended": false' in (tmp_path / "nemesis.jsonl").read_text("utf-8")


async def test_every_kind_comes_and_the_leader_is_hit_until_it_changed(tmp_path, recorder):
    faults, stop = _faults(recorder, "exit 0"), asyncio.Event()
    running = asyncio.create_task(faults.run(stop=stop))
    async with asyncio.timeout(60):
        while min(faults.effects[it] for it in faults.kinds) < 2:  # noqa: ASYNC110  a fact
            await asyncio.sleep(0)
    stop.set()
    await running
    assert {it.split()[2] for it in _calls(tmp_path)} == {"p2"}


async def test_an_interrupted_fault_is_ended(tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(fault_command, "HELD_S", (1_000.0, 1_000.0))
    faults = _faults(recorder, "exit 0")
    running = asyncio.create_task(faults.once("cut", "p3"))
    async with asyncio.timeout(60):
        while not (tmp_path / "calls").exists():  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await faults.heal()
    assert _calls(tmp_path)[-1] == "end cut p3 http://p3"

"""Whole runs find each broken server out and leave the sound one alone; a suite that does not makes
no campaign."""

from __future__ import annotations

import pytest

from jlike import canary_servers, cli, store
from jlike.check import register
from jlike.runner import HarnessBroken
from jlike.subjects.broken import BROKEN, ForgetsWrites, HoldsForEver
from jlike.subjects.in_memory import Sound
from jlike.verdict import valid
from jlike.workload import queue


@pytest.fixture
def once(monkeypatch):
    """One seed: what it does not show, no other would."""
    monkeypatch.setattr(canary_servers, "SEEDS", (1,))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE_S", 4.0)
    monkeypatch.setattr(canary_servers, "RUN_S", 1.0)


async def test_each_is_found_out_by_its_workload_for_its_reason():
    said = await canary_servers.sung()
    assert len(said) == len(BROKEN)
    for cluster, words in zip(BROKEN, said, strict=True):
        assert words.startswith(cluster.__doc__ or "?")
        assert cluster.says in words


def test_there_are_several_for_each_of_the_three():
    by_workload = [it.workload for it in BROKEN]
    assert all(by_workload.count(it) >= 3 for it in Sound.workload.split(","))


async def test_a_suite_whose_checker_is_asleep_is_broken(once, monkeypatch):
    monkeypatch.setattr(register, "check", lambda _: valid("register", "fine"))
    with pytest.raises(HarnessBroken, match="is not found out by register"):
        await canary_servers.sung([ForgetsWrites])


class Sane(ForgetsWrites):
    """Is none."""

    def is_taken(self) -> bool:
        return False


async def test_a_sound_server_is_not_taken_for_a_broken_one(once):
    with pytest.raises(HarnessBroken, match="is not found out by register: Is none"):
        await canary_servers.sung([Sane])


async def test_a_suite_that_finds_the_sound_one_guilty_is_broken(monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE_S", 0.5)
    monkeypatch.setattr(Sound, "is_free", HoldsForEver.is_free)
    with pytest.raises(HarnessBroken, match="a sound server in memory is not valid"):
        await canary_servers.sung([])


def test_no_campaign_begins_when_a_server_is_not_found_out(monkeypatch, tmp_path, capsys):
    def must_sing() -> list[str]:
        raise HarnessBroken("a server in memory is not found out")

    monkeypatch.setattr(canary_servers, "must_sing", must_sing)
    monkeypatch.setattr(store, "conduct", None)
    words = ["--store", str(tmp_path), "all", "--time", "1", "-w", "lock", "-n", "kill"]
    assert cli.main(words) == cli.HARNESS_BROKE
    assert "not found out" in capsys.readouterr().err

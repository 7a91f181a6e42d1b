"""What the nemesis does to processes: it counts only where somebody was hit, and an end that nobody
caused is never hidden by a new start. On real processes, though not of the product."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from jlike import nemesis_process
from jlike.history import Kind
from jlike.http import Answer
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers

LIMIT_S = 60
WAITS = "echo up; read line"
"""Ends by SIGTERM, as most programs do."""
STUBBORN = "trap '' TERM; echo up; read line"
COMPLAINS = "trap 'echo error: I cannot; exit 4' TERM; echo up; while :; do sleep 0.01; done"
FAILS = "echo error: the disk says no; exit 3"


@contextmanager
def peers_of(folder: Path, *scripts: str) -> Iterator[Peers]:
    """p1, p2, …: each runs such a script of a shell."""
    peers = Peers()
    for number, script in enumerate(scripts, start=1):
        home = folder / f"p{number}"
        home.mkdir()
        peers.by_id[home.name] = Peer(
            id=home.name, url="", command=("/bin/sh", "-c", script), log_path=home / "log"
        )
    try:
        yield peers
    finally:
        for it in peers.everybody:
            it.kill()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0.005)


async def _up(*peers: Peer) -> None:
    for it in peers:
        it.start()
        await _until(lambda it=it: "up" in it.said_since(0))


def _plan(kind: str, *victims: str, seconds: float = 0.0, crashes: int = 3) -> Plan:
    figures = {"crashes": crashes} if kind == "crashloop" else {}
    return Plan(kind=kind, shape="one", seconds=seconds, victims=victims, figures=figures)


# --- ends that nobody caused ---------------------------------------------------------------------


async def test_a_peer_that_ended_by_itself_is_told_though_it_was_started_again(tmp_path):
    with peers_of(tmp_path, FAILS) as peers:
        for _ in range(2):
            peers["p1"].start()
            await _until(lambda: not peers["p1"].is_alive)
        words = "p1 ended with 3, error: the disk says no"
        assert peers.unasked_ends() == [words, words]
        assert peers.unasked_ends() == [words, words], "each is told once"


async def test_a_peer_that_a_signal_of_somebody_else_ended_is_told(tmp_path):
    with peers_of(tmp_path, WAITS) as peers:
        await _up(peers["p1"])
        peers["p1"].signal(signal.SIGKILL)  # not by `kill`: so the kernel does without memory
        await _until(lambda: not peers["p1"].is_alive)
        assert not peers["p1"].kill(), "it was gone already"
        assert peers.unasked_ends() == ["p1 was ended by SIGKILL"]


async def test_whoever_is_ended_by_us_is_not_told(tmp_path):
    with peers_of(tmp_path, WAITS, STUBBORN) as peers:
        await _up(peers["p1"], peers["p2"])
        assert await peers.end_gently(peers["p1"], seconds=LIMIT_S)
        assert not await peers.end_gently(peers["p2"], seconds=0.1), "it had to be killed"
        await _up(peers["p1"])
        assert peers["p1"].kill()
        assert not peers.unasked_ends()


async def test_whoever_ends_with_an_error_when_it_is_told_to_end_is_told(tmp_path):
    with peers_of(tmp_path, COMPLAINS) as peers:
        await _up(peers["p1"])
        assert await peers.end_gently(peers["p1"], seconds=LIMIT_S)
        assert peers.unasked_ends() == ["p1 ended with 4, error: I cannot, when it was told to end"]


async def test_an_excuse_is_for_what_happens_inside_it(tmp_path):
    with peers_of(tmp_path, FAILS) as peers:
        peer = peers["p1"]
        with peer.may_end():
            peer.start()
            await _until(lambda: not peer.is_alive)
        assert not peers.unasked_ends()
        peer.start()
        await _until(lambda: not peer.is_alive)
        with peer.may_end():
            assert len(peers.unasked_ends()) == 1


async def test_whoever_is_no_member_may_end_until_it_is_taken_in(tmp_path):
    with peers_of(tmp_path, FAILS) as peers:
        peers.let_go("p1")
        peers["p1"].start()
        await _until(lambda: not peers["p1"].is_alive)
        peers.take_in("p1")
        assert not peers.unasked_ends()
        peers["p1"].start()
        await _until(lambda: not peers["p1"].is_alive)
        assert len(peers.unasked_ends()) == 1


# --- deeds ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(nemesis_process, "UP_S", (0.0, 0.01))
    monkeypatch.setattr(nemesis_process, "RESTART_S", (0.0, 0.01))
    monkeypatch.setattr(nemesis_process, "STOP_S", LIMIT_S)


DEEDS = [
    ("kill", nemesis_process.kill),
    ("crashloop", nemesis_process.crashloop),
    ("pause", nemesis_process.pause),
    ("starve", nemesis_process.starve),
    ("restart", nemesis_process.restart),
]


@pytest.mark.parametrize(("kind", "deed"), DEEDS, ids=[kind for kind, _ in DEEDS])
async def test_a_deed_takes_effect_at_whom_it_hits_and_leaves_nobody_hurt(
    tmp_path, monkeypatch, kind, deed
):
    monkeypatch.setattr(nemesis_process, "STOPPED_S", LIMIT_S)
    with peers_of(tmp_path, WAITS, WAITS, WAITS) as peers:
        await _up(*peers.everybody)
        first = {it.id: it.process for it in peers.everybody}
        seconds = 0.4 if kind == "starve" else 0.05
        assert await deed(_plan(kind, "p1", "p2", seconds=seconds), peers)
        assert all(it.is_alive for it in peers.everybody)
        assert peers["p3"].process is first["p3"], "nobody else is hit"
        is_replaced = kind in ("kill", "crashloop", "restart")
        for it in ("p1", "p2"):
            assert (peers[it].process is not first[it]) == is_replaced
            assert peers[it].state != "T"
        assert not peers.unasked_ends()


@pytest.mark.parametrize(("kind", "deed"), DEEDS, ids=[kind for kind, _ in DEEDS])
async def test_a_deed_has_no_effect_at_whoever_was_not_there(tmp_path, monkeypatch, kind, deed):
    monkeypatch.setattr(nemesis_process, "STOPPED_S", 0.1)
    with peers_of(tmp_path, WAITS, FAILS) as peers:
        await _up(peers["p1"])
        peers["p2"].start()
        await _until(lambda: not peers["p2"].is_alive)
        assert not await deed(_plan(kind, "p2", seconds=0.05), peers)
        await _until(lambda: not peers["p2"].is_alive)
        assert not await deed(_plan(kind, "p1", "p2", seconds=0.05), peers), "not at both"
        assert peers.unasked_ends()[0].startswith("p2 ended with 3")


async def test_a_crash_loop_whose_victim_ended_by_itself_is_none(tmp_path, monkeypatch):
    """Between two kills: the second one hits nobody."""
    monkeypatch.setattr(nemesis_process, "UP_S", (0.3, 0.3))
    script = "[ -e up ] || { echo > up; echo up; read line; }; exit 5"
    with peers_of(tmp_path, f"cd {tmp_path}; {script}") as peers:
        await _up(peers["p1"])
        assert not await nemesis_process.crashloop(_plan("crashloop", "p1"), peers)
        assert set(peers.unasked_ends()) == {"p1 ended with 5, up"}


async def test_a_restart_of_whoever_must_be_killed_is_not_gentle(tmp_path, monkeypatch):
    monkeypatch.setattr(nemesis_process, "STOP_S", 0.1)
    with peers_of(tmp_path, STUBBORN) as peers:
        await _up(peers["p1"])
        assert not await nemesis_process.restart(_plan("restart", "p1"), peers)
        assert peers["p1"].is_alive


async def test_whoever_uses_the_processor_all_the_same_was_not_starved(tmp_path, monkeypatch):
    """A process that is as busy as ever took no notice."""
    with peers_of(tmp_path, WAITS) as peers:
        await _up(peers["p1"])
        used = iter([0.0, 10.0])
        monkeypatch.setattr(Peer, "processor_s", property(lambda _: next(used)))
        assert not await nemesis_process.starve(_plan("starve", "p1", seconds=0.1), peers)


# --- leaders -------------------------------------------------------------------------------------


class Leading(Peers):
    """Peers that say who leads. next_leaders: after a transfer was accepted, one a question of all.
    silent: who does not answer."""

    def __init__(self, *next_leaders: str, silent: Sequence[str] = ()) -> None:
        super().__init__(by_id={it: Peer(id=it, url="") for it in ("p1", "p2", "p3")})
        self._next, self._silent = list(next_leaders), silent
        self.leader, self.term, self.asked = "p1", 4, 0
        self._is_over = False

    async def ask(self, peer_id: str, method: str, path: str, body: object = None) -> Answer:
        if peer_id in self._silent:
            return Answer(kind=Kind.INFO, status=0)
        if method == "POST":
            self.asked += 1
            self._is_over = True
            return Answer(kind=Kind.OK, status=200, body={})
        if self._is_over and peer_id == "p1" and self._next:
            self.leader, self.term = self._next.pop(0), self.term + 1
        role = "leader" if peer_id == self.leader else "follower"
        return Answer(kind=Kind.OK, status=200, body={"role": role, "term": self.term})


@pytest.mark.parametrize(
    ("next_leaders", "silent", "counts"),
    [
        (["p3"], [], True),
        (["p1", "p1", "p2"], [], True),
        ([], [], False),
        (["p1"], [], False),
        (["p3"], ["p2"], True),
        (["p3"], ["p1", "p2", "p3"], False),
    ],
)
async def test_a_transfer_counts_when_another_leads_not_when_it_was_accepted(
    monkeypatch, next_leaders, silent, counts
):
    monkeypatch.setattr(nemesis_process, "LEADS_S", 0.1)
    peers = Leading(*next_leaders, silent=silent)
    assert await nemesis_process.transfer(_plan("transfer", "p2", "p3", "p1"), peers) is counts
    assert peers.asked == (len(silent) < 3)


async def test_who_is_no_member_any_more_can_be_asked(monkeypatch):
    """A fault chose it while it was one."""
    peers = Peers(by_id={"p1": Peer(id="p1", url="http://127.0.0.1:9")})
    peers.let_go("p1")
    assert (await peers.ask("p1", "GET", "/")).kind is not Kind.OK

"""Whom faults aim at, the shapes in which the network is cut, and which faults go together."""

from __future__ import annotations

import contextlib
import random

import pytest

from jlike import nemesis, nemesis_damage, nemesis_plan
from jlike.history import Kind
from jlike.http import Answer
from jlike.nemesis_plan import Plan, Scene
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder

IDS = [f"p{number}" for number in range(1, 6)]
SEEDS = range(300)


def _scene(*, is_first_leader: bool = False, free: list[str] | None = None) -> Scene:
    return Scene(
        ids=IDS,
        leader="p3",
        is_first_leader=is_first_leader,
        free=frozenset(IDS if free is None else free),
    )


def _plans(kind: str, scene: Scene) -> list[Plan]:
    found = [nemesis_plan.plan(kind, scene, random.Random(seed)) for seed in SEEDS]
    assert all(found)
    return [it for it in found if it is not None]


def test_every_kind_has_a_planner_and_a_deed():
    assert set(nemesis.DEEDS) == set(nemesis.KINDS)


@pytest.mark.parametrize("kind", nemesis.KINDS)
def test_a_plan_is_a_function_of_scene_and_chance(kind):
    scene = _scene()
    first, again = (nemesis_plan.plan(kind, scene, random.Random(7)) for _ in range(2))
    assert first == again
    assert first is not None
    assert first.kind == kind
    assert bool(first.victims) == (kind != "clients")
    assert set(first.victims) <= set(IDS)
    assert first.shape in first.target


@pytest.mark.parametrize("kind", sorted(nemesis.HOLDING))
def test_until_a_leader_changed_all_faults_aim_at_it(kind):
    for found in _plans(kind, _scene(is_first_leader=True)):
        assert found.victims == ("p3",)


@pytest.mark.parametrize("kind", ["partition", "flapping"])
def test_until_a_leader_changed_it_is_the_first_of_whom_a_cut_speaks(kind):
    for found in _plans(kind, _scene(is_first_leader=True)):
        assert found.victims[0] == "p3"
        assert any("p3" in pair for pair in found.pairs)


@pytest.mark.parametrize("kind", ["kill", "crashloop", "pause", "power", "clock", "slowsync"])
def test_then_one_a_minority_a_majority_and_all_are_hit(kind):
    found = _plans(kind, _scene())
    assert {it.shape for it in found} == {"leader", "one", "minority", "majority", "all"}
    assert {len(it.victims) for it in found} == {1, 2, 3, 5}


@pytest.mark.parametrize("kind", ["failsync", "starve"])
def test_never_more_than_a_minority_is_starved_or_lied_to(kind):
    assert {len(it.victims) for it in _plans(kind, _scene())} == {1, 2}


def test_files_of_one_peer_are_damaged_in_every_way_that_there_is():
    found = _plans("corrupt", _scene())
    assert {len(it.victims) for it in found} == {1}
    assert {it.how for it in found} == set(nemesis_damage.DAMAGES)


def test_clocks_jump_both_ways_by_an_hour_at_most():
    offsets = {it.figures["offset_s"] for it in _plans("clock", _scene())}
    assert max(offsets) == 3_600
    assert min(offsets) == -3_600


def test_power_is_cut_before_and_after_the_process_is_gone():
    assert {it.figures["dies_first"] for it in _plans("power", _scene())} == {0, 1}


def test_graceful_restarts_take_one_or_each_in_turn():
    assert {len(it.victims) for it in _plans("restart", _scene())} == {1, 5}


@pytest.mark.parametrize("kind", sorted(nemesis.HOLDING))
def test_whom_another_fault_holds_is_left_alone(kind):
    for found in _plans(kind, _scene(free=["p1", "p3"])):
        assert set(found.victims) <= {"p1", "p3"}
    assert nemesis_plan.plan(kind, _scene(free=[]), random.Random(1)) is None


def test_every_shape_of_cut_comes_up_and_is_what_it_says():
    seen = set()
    for found in _plans("partition", _scene()):
        seen.add(found.shape)
        cut, order = set(found.pairs), found.victims
        assert cut
        assert all(one != other for one, other in cut)
        sees = {one: {it for it in IDS if (one, it) not in cut} for one in IDS}
        match found.shape:
            case "inward":
                assert cut == {(other, order[0]) for other in order[1:]}
            case "outward":
                assert cut == {(order[0], other) for other in order[1:]}
            case "ring":
                assert all(len(it) == 3 for it in sees.values())
                assert len({frozenset(it) for it in sees.values()}) == 5
            case "bridge":
                assert [len(sees[it]) for it in order] == [3, 3, 5, 3, 3]
            case _:
                assert cut == {(other, one) for one, other in cut}
    assert seen == set(nemesis_plan.PARTITIONS)


def test_links_are_slow_around_one_peer_and_everywhere():
    found = _plans("slow", _scene())
    assert {len(it.pairs) for it in found} == {8, 20}
    assert all(it.flaw is not None and it.flaw.delay_s and not it.flaw.loss for it in found)
    assert all(it.flaw is not None and it.flaw.loss for it in _plans("lossy", _scene()))


def test_faults_that_would_end_each_other_do_not_go_together():
    assert nemesis._unlike(["slow", "partition", "kill", "flapping", "lossy", "pause"]) == [
        *("slow", "partition", "kill", "pause")
    ]


def _peers(count: int) -> Peers:
    return Peers(by_id={f"p{it}": Peer(id=f"p{it}", url="") for it in range(1, count + 1)})


@pytest.mark.parametrize(("count", "away"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_no_more_peers_are_away_than_a_majority_can_do_without(count, away):
    peers = _peers(count)
    for peer_id in peers.ids:
        if peers.can_spare(peer_id):
            peers.away.add(peer_id)
    assert len(peers.away) == away


def test_whoever_is_away_once_can_be_away_again():
    peers = _peers(3)
    peers.away.add("p2")
    assert peers.can_spare("p2")
    assert not peers.can_spare("p1")


async def test_files_are_not_damaged_when_nobody_could_take_the_peer_in_again():
    peers = _peers(3)
    peers.away.add("p2")
    (plan,) = _plans("corrupt", _scene(free=["p1"]))[:1]
    assert not await nemesis_damage.corrupt(plan, peers)
    assert peers.away == {"p2"}


async def test_healing_leaves_whoever_has_no_files_to_those_who_bring_it_back(
    tmp_path, monkeypatch
):
    started: list[str] = []
    monkeypatch.setattr(Peer, "start", lambda peer: started.append(peer.id))
    peers = _peers(3)
    for it in peers.by_id.values():
        it.command = ("peer",)
    peers.lost.add("p2")
    with contextlib.closing(Recorder(tmp_path)) as recorder:
        faults = nemesis.Nemesis(
            kinds=("corrupt",),
            peers=peers,
            recorder=recorder,
            chance=random.Random(1),
            leader=lambda: None,
            changes=lambda: 0,
        )
        await faults.heal()
        assert started == ["p1", "p3"]

        async def bring_back(_: Peers) -> list[str]:
            return ["p2 was not taken in again"]

        monkeypatch.setattr(nemesis_damage, "bring_back", bring_back)
        await faults.bring_back()
        assert faults.breaches == ["p2 was not taken in again"]


async def test_a_peer_that_nobody_takes_in_again_is_told_with_its_name(monkeypatch):
    async def refused(*_: object) -> Answer:
        return Answer(kind=Kind.FAIL, status=503, code="no_leader")

    monkeypatch.setattr(nemesis_damage, "REJOINS_S", 0.05)
    monkeypatch.setattr(nemesis_damage, "POLL_S", 0.01)
    peers = _peers(3)
    monkeypatch.setattr(Peers, "ask", refused)
    with pytest.raises(TimeoutError, match="p1 was not taken in again"):
        await nemesis_damage.rejoin(peers["p1"], peers)

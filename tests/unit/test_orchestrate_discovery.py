from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import against, condition_names, make_spec, replicated

from replicante.errors import Invalid
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.discovery import ClusterDiscovery, HeldDiscovery
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Sight
from replicante.orchestrate.looking.discovery_guard import judge_discovery, serving_nodes


def node(node_id, port=8000):
    return {
        "agent_address": f"http://{node_id}:{port}",
        "node_class": "small",
        "node_id": node_id,
        "node_group": "data",
    }


def answer(*node_ids, cluster_id="c", **fields):
    return {
        "clusters": [{"cluster_id": cluster_id, "nodes": [node(it, **fields) for it in node_ids]}]
    }


class Platform:
    """Judges answers one after the other, keeping what is believed."""

    def __init__(self):
        self.stored = {}
        self.now_ms = 0

    def answers(self, value, *, platform="p", gone=(), serving=(), is_confirmed=False):
        self.now_ms += 1_000
        judged = judge_discovery(
            ns_id="default",
            platform=platform,
            answer=value,
            stored=self.stored.values(),
            expected_gone={"c": frozenset(gone)},
            serving={"c": frozenset(serving)},
            is_confirmed=is_confirmed,
            now_ms=self.now_ms,
        )
        for change in judged.changes:
            record = ClusterDiscovery.from_value(change.after)
            self.stored[record.cluster_id] = record
        return judged

    @property
    def node_ids(self):
        return [it.node_id for it in self.stored["c"].nodes]


def known(*node_ids):
    platform = Platform()
    platform.answers(answer(*node_ids))
    return platform


def codes(judged):
    return [it.code for it in judged.changes]


def test_a_new_cluster_is_named_as_new():
    judged = Platform().answers(answer("b", "a"))
    assert judged.new_cluster_ids == ("c",)
    assert codes(judged) == [ChangeCode.CLUSTER_DISCOVERY_NEW]


def test_new_nodes_and_addresses_are_believed_at_once():
    platform = known("a", "b")
    assert codes(platform.answers(answer("a", "b", "d"))) == [ChangeCode.CLUSTER_DISCOVERY_UPDATE]
    platform.answers(answer("a", "b", "d", port=9000))
    assert {it.agent_address[-4:] for it in platform.stored["c"].nodes} == {"9000"}


def test_the_same_answer_changes_nothing():
    assert known("a", "b").answers(answer("b", "a")).changes == ()


@pytest.mark.parametrize("value", [answer(), {"clusters": []}, answer("a")])
def test_an_empty_or_much_shrunken_answer_is_held_for_ever(value):
    platform = known("a", "b", "d")
    for i in range(20):
        judged = platform.answers(value)
        if i == 0:
            assert codes(judged) == [ChangeCode.CLUSTER_DISCOVERY_HELD]
    assert platform.node_ids == ["a", "b", "d"]
    assert platform.stored["c"].held is not None
    assert judged.changes == (), "a held answer does not write for ever"


def test_a_minority_that_is_missing_is_believed_after_the_same_answer_thrice():
    platform = known("a", "b", "d")
    for expected in (["a", "b", "d"], ["a", "b", "d"], ["a", "b"]):
        platform.answers(answer("a", "b"))
        assert platform.node_ids == expected
    assert platform.stored["c"].held is None


def test_a_missing_primary_is_held_while_it_is_seen_to_serve():
    platform = known("a", "b", "d")
    for _ in range(10):
        platform.answers(answer("a", "b"), serving=["d"])
    assert platform.node_ids == ["a", "b", "d"]
    assert "d still serves as a primary" in platform.stored["c"].held.reason
    platform.answers(answer("a", "b"), serving=["a"])
    assert platform.node_ids == ["a", "b"]
    platform = known("a", "b", "d")
    platform.answers(answer("a", "b"), serving=["d"], is_confirmed=True)
    assert platform.node_ids == ["a", "b"]


def test_a_primary_serves_by_its_own_word_or_that_of_a_copy():
    def serving(world):
        world.cycle()
        return serving_nodes(world.of(RecordKind.NODE), world.of(RecordKind.SHARD))

    world = replicated()
    assert serving(world) == {"n1"}
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    assert serving(world) == {"n1"}
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.DOWN
    assert serving(world) == frozenset()


def test_different_answers_do_not_confirm_each_other():
    platform = known("a", "b", "d")
    for _ in range(5):
        platform.answers(answer("a", "b"))
        platform.answers(answer("b", "d"))
    assert platform.node_ids == ["a", "b", "d"]


def test_what_came_back_is_held_no_more():
    platform = known("a", "b")
    platform.answers(answer())
    assert codes(platform.answers(answer("a", "b"))) == [ChangeCode.CLUSTER_DISCOVERY_UPDATE]
    assert platform.stored["c"].held is None


def test_what_we_had_taken_away_may_be_missing():
    platform = known("a", "b")
    platform.answers(answer("a"), gone=["b"])
    assert platform.node_ids == ["a"]


def test_a_person_may_confirm():
    platform = known("a", "b")
    assert codes(platform.answers(answer(), is_confirmed=True)) == [
        ChangeCode.CLUSTER_DISCOVERY_LOST
    ]
    assert platform.node_ids == []


def test_new_nodes_of_a_held_answer_are_seen():
    platform = known("a", "b")
    platform.answers(answer("d"))
    assert platform.node_ids == ["a", "b", "d"]


def test_a_cluster_belongs_to_the_platform_that_named_it_first():
    platform = known("a", "b")
    judged = platform.answers(answer("x"), platform="other")
    assert judged.changes == () and "c" in judged.refused
    assert platform.node_ids == ["a", "b"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "x", 7, {}, {"clusters": None}, {"clusters": [1]}),
        {"clusters": [{"cluster_id": 7}]},
        {"clusters": [{"cluster_id": "../etc"}]},
        {"clusters": [{"cluster_id": "c", "nodes": [{"node_id": "a"}]}]},
        answer("a", "a"),
        {"clusters": answer("a")["clusters"] * 2},
    ],
)
def test_garbage_is_refused_whole_and_changes_nothing(value):
    platform = known("a", "b")
    before = dict(platform.stored)
    with pytest.raises(Invalid):
        platform.answers(value)
    assert platform.stored == before


def test_a_held_answer_is_a_condition_and_stops_planned_work():
    definition = {
        "store": "redis",
        "store_version": "6",
        "nodes": {"data": {"desired_count": 4, "node_class": "small"}},
    }
    world = replicated()
    world.spec = make_spec(definition=definition)
    held = HeldDiscovery(nodes=(), reason="it names no node", since_ms=1, seen_count=1)
    world.discovery = msgspec.structs.replace(world.discovery, held=held)
    result = world.cycle(after_ms=600_000)
    assert "discovery_held" in condition_names(result)
    assert against(result, "scale_up") == {"discovery_trusted"}

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import Invalid
from replicante.model import action_kinds
from replicante.model.actions import (
    IllegalTransition,
    NAction,
    NActionPhase,
    OAction,
    OActionPhase,
    move_naction,
    move_oaction,
)
from replicante.model.civil_time import format_rfc3339, parse_rfc3339_ms, weekday
from replicante.model.codec import is_canonical
from replicante.model.decision import Decision
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode, HeldDiscovery
from replicante.model.node import Node, NodeDetails, NodeStatus
from replicante.model.observation import AgentAnswer, Observation, SeenShard
from replicante.model.platform import Platform, TransportKind, read_platform
from replicante.model.shard import Offset, Shard, ShardRole, Sight, Upstream
from replicante.model.violations import Violations

IDS = {"ns_id": "default", "cluster_id": "c", "node_id": "n1"}


def naction(phase=NActionPhase.PENDING_SCHEDULE, **fields):
    return NAction(
        **IDS,
        action_id="a1",
        kind=action_kinds.CLUSTER_INIT,
        created_ms=1,
        created_wall_ms=2,
        phase=phase,
        **fields,
    )


def shard(**changes):
    fields = {"shard_id": "0", "role": ShardRole.SECONDARY, "commit_offset": Offset(value=7)}
    return Shard(**IDS, **{**fields, **changes})


RECORDS = [
    naction(args={"a": [1, None, "é"]}, metadata={"trace": "x"}, sent_epoch=3),
    OAction(
        ns_id="n",
        cluster_id="c",
        action_id="o",
        kind=action_kinds.PLATFORM_PROVISION,
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.RUNNING,
    ),
    Node(**IDS, node_status=NodeStatus.HEALTHY, details=NodeDetails(addresses={"member": "h:1"})),
    shard(upstream=Upstream(address="h:1", sight=Sight.REFUSED, silent_ms=5)),
    ClusterDiscovery(
        ns_id="n",
        cluster_id="c",
        nodes=(DiscoveredNode(agent_address="http://h", node_class="x", node_id="n1"),),
        held=HeldDiscovery(nodes=(), reason="empty", since_ms=1, seen_count=1),
    ),
    Observation(
        node_id="n1",
        at_ms=1,
        answer=AgentAnswer.ANSWERED,
        shards=(SeenShard(shard_id="0", role=ShardRole.PRIMARY),),
        unknown_actions=("a",),
    ),
    Decision(
        ns_id="n",
        cluster_id="c",
        decision_id="d",
        epoch=1,
        now_ms=1,
        wall_now_ms=1,
        mode="observe",
        mode_reason="r",
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda it: type(it).__name__)
def test_a_record_comes_back_from_its_bytes(record):
    encoded = record.encode()
    assert is_canonical(encoded)
    assert type(record).decode(encoded) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda it: type(it).__name__)
def test_fields_of_a_newer_peer_are_ignored(record):
    assert type(record).from_value({**record.to_value(), "later": 1}) == record


def test_a_broken_record_names_the_place():
    value = {**shard().to_value(), "commit_offset": {"value": "7"}}
    with pytest.raises(Invalid) as caught:
        Shard.from_value(value)
    assert caught.value.path == "commit_offset.value"


def test_progress_alone_is_no_news_but_a_lost_primary_is():
    ahead = shard(commit_offset=Offset(value=8), lag=Offset(value=1), offset_ms=9)
    assert shard().is_same_for_events(ahead)
    assert not shard().is_same_for_events(shard(role=ShardRole.PRIMARY))
    assert not shard().is_same_for_events(shard(is_fresh=False))
    assert not shard().is_same_for_events(shard(upstream=Upstream(sight=Sight.DOWN)))


@pytest.mark.parametrize("before", NActionPhase)
@pytest.mark.parametrize("after", NActionPhase)
def test_a_node_action_moves_forward_only(before, after):
    moved = move_naction(naction(before), after, now_ms=5, wall_ms=6)
    order = [
        {NActionPhase.PENDING_APPROVE},
        {NActionPhase.PENDING_SCHEDULE},
        {NActionPhase.NEW},
        {NActionPhase.RUNNING},
        {NActionPhase.CANCELLED, NActionPhase.DONE, NActionPhase.FAILED, NActionPhase.LOST},
    ]
    rank = {phase: i for i, phases in enumerate(order) for phase in phases}
    is_question = after is NActionPhase.PENDING_APPROVE and before is NActionPhase.PENDING_SCHEDULE
    if is_question:
        assert moved.phase is after, "a rule may ask about what did not leave"
    elif before.is_final or rank[after] <= rank[before]:
        assert moved == IllegalTransition(before=str(before), after=str(after))
    if not isinstance(moved, IllegalTransition):
        assert (moved.finished_ms, moved.finished_wall_ms) == (
            (5, 6) if after.is_final else (None, None)
        )


def test_what_was_never_approved_is_never_sent_nor_lost():
    waiting = naction(NActionPhase.PENDING_APPROVE)
    reachable = {it for it in NActionPhase if waiting.phase.may_become(it, is_sent=False)}
    assert reachable == {NActionPhase.PENDING_SCHEDULE, NActionPhase.CANCELLED}


def test_only_what_was_sent_can_be_lost():
    pending, lost = NActionPhase.PENDING_SCHEDULE, NActionPhase.LOST
    assert pending.may_become(lost, is_sent=True)
    assert not pending.may_become(lost, is_sent=False)
    unsent = naction(pending)
    assert isinstance(move_naction(unsent, lost, now_ms=5, wall_ms=6), IllegalTransition)


def test_an_orchestrator_action_ends_once():
    running = RECORDS[1]
    done = move_oaction(running, OActionPhase.DONE, now_ms=5, wall_ms=6)
    assert (done.phase, done.finished_ms) == (OActionPhase.DONE, 5)
    for phase in OActionPhase:
        assert isinstance(move_oaction(done, phase, now_ms=7, wall_ms=7), IllegalTransition)


def test_an_action_that_was_sent_may_be_at_its_agent_whatever_was_heard():
    assert not naction().may_be_at_agent
    assert naction(sent_epoch=1).may_be_at_agent
    assert naction(NActionPhase.NEW).may_be_at_agent
    assert not naction(NActionPhase.DONE, sent_epoch=1).may_be_at_agent


@given(st.integers(min_value=0, max_value=253_402_300_799))
def test_times_agree_with_the_calendar(seconds):
    moment = datetime.fromtimestamp(seconds, UTC)
    text = f"{moment.year:04d}-" + moment.strftime("%m-%dT%H:%M:%SZ")
    assert parse_rfc3339_ms(text) == seconds * 1_000
    assert format_rfc3339(seconds * 1_000) == text
    assert weekday(seconds * 1_000) == moment.weekday()


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-12-01", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z"),
        *("2026-12-01T24:00:00Z", "2026-12-01T06:00:00", "2026-12-01T06:00:00+01:00"),
        *("1969-12-31T23:59:59Z", "2026-12-01T06:00:60Z"),
    ],
)
def test_what_is_no_time_in_utc_is_refused(text):
    assert parse_rfc3339_ms(text) is None


def test_milliseconds_survive():
    assert format_rfc3339(parse_rfc3339_ms("2026-12-01T06:00:00.25Z")) == "2026-12-01T06:00:00.250Z"


def read_platform_spec(spec):
    violations = Violations()
    platform = read_platform(spec, metadata_name=None, violations=violations)
    violations.raise_if_any()
    return platform


@pytest.mark.parametrize(
    "transport",
    [
        {"url": {"base_url": "https://h", "tls_insecure_skip_verify": True}},
        {"static": {"clusters": [{"cluster_id": "c", "nodes": []}]}},
        {"file": {"path": "/etc/clusters.yaml"}},
        {"local": {"directory": "nodes"}},
    ],
)
def test_a_platform_comes_back_from_its_spec(transport):
    platform = read_platform_spec({"name": "p", "transport": transport})
    assert Platform.from_spec(platform.to_spec()) == platform


def test_both_names_of_the_originals_transport_are_read():
    platform = read_platform_spec({"name": "p", "transport": {"http": {"base_url": "http://h"}}})
    assert platform.transport.kind is TransportKind.URL
    assert platform.discovery_interval_ms == 300_000


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"name": "p"}, "spec.transport"),
        ({"name": "p", "transport": {}}, "spec.transport"),
        (
            {"name": "p", "transport": {"url": {"base_url": "ftp://h"}}},
            "spec.transport.url.base_url",
        ),
        ({"name": "p", "transport": {"file": {}}}, "spec.transport.file.path"),
        ({"name": "p", "transport": {"cloud": {}}}, "spec.transport.cloud"),
        ({"transport": {"static": {}}}, "spec.name"),
    ],
)
def test_a_bad_platform_is_refused_with_its_place(spec, path):
    with pytest.raises(Invalid) as caught:
        read_platform_spec(spec)
    assert path in [fault["path"] for fault in caught.value.details["violations"]]

"""What people ask of a node that no discovery names."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ask, the
from orchestrate_builders import FakeNode, World, against, make_spec, replicated

from replicante.model.action_kinds import SERVICE_RESTART
from replicante.model.actions import NActionPhase
from replicante.model.change import ChangeCode
from replicante.model.discovery import HeldDiscovery
from replicante.model.node import NodeStatus


def asked_of_nobody(**fields) -> World:
    world = replicated(3, spec=make_spec(expand={"mode": "Join"}))
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    ask(world, "n22", SERVICE_RESTART, **fields)
    return world


@pytest.mark.parametrize("phase", [NActionPhase.PENDING_SCHEDULE, NActionPhase.PENDING_APPROVE])
def test_what_is_asked_of_a_node_that_never_was_ends_with_the_next_discovery(phase):
    world = asked_of_nobody(phase=phase)
    asked_ms = the(world, "of-n22").created_ms
    result = world.cycle(discovered_ms=asked_ms + 1)
    ended = the(world, "of-n22")
    assert ended.phase is NActionPhase.CANCELLED and "discovered" in ended.error["error_msg"]
    assert ChangeCode.NACTION_CANCEL in [it.code for it in result.changes]


def test_planned_work_goes_on_then():
    world = asked_of_nobody()
    result = world.cycle()
    assert "one_disruption" in against(result, "cluster_expand")
    world.cycle(discovered_ms=world.now_ms)
    result = world.cycle()
    assert "n4" in [it.node_id for it in world.sent]


@pytest.mark.parametrize("after_ms", [None, 0, -1])
def test_an_older_discovery_says_nothing_of_it(after_ms):
    world = asked_of_nobody()
    asked_ms = the(world, "of-n22").created_ms
    world.cycle(discovered_ms=None if after_ms is None else asked_ms + after_ms)
    assert the(world, "of-n22").phase is NActionPhase.PENDING_SCHEDULE


def test_an_answer_that_is_held_says_nothing_of_it():
    world = asked_of_nobody()
    held = HeldDiscovery(nodes=(), reason="it names nobody", since_ms=world.now_ms, seen_count=1)
    world.discovery = msgspec.structs.replace(world.discovery, held=held)
    world.cycle(discovered_ms=world.now_ms + 1)
    assert the(world, "of-n22").phase is NActionPhase.PENDING_SCHEDULE


def test_what_is_asked_of_a_silent_node_waits():
    world = replicated(3)
    ask(world, "n2", SERVICE_RESTART)
    world.nodes["n2"].answer = "timeout"
    world.cycle(discovered_ms=world.now_ms + 1)
    assert the(world, "of-n2").phase.is_pending

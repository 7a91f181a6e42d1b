"""What people ask of nodes by name, for the tests of how it is judged. Not a test file."""

from __future__ import annotations

import msgspec
from orchestrate_builders import CLUSTER, NS, SHARD, World, hang_store, make_spec, replicated

from replicante.model.action_kinds import SERVICE_RESTART, STORE_PROMOTE, STORE_SWITCHOVER
from replicante.model.actions import NAction, NActionPhase
from replicante.model.change import ChangeCode

ASKED = "asked"


def by_hand(**spec) -> World:
    """Automation only looks; what people ask for by name is carried out."""
    return replicated(spec=make_spec(mode="observe", **spec))


def ask(world: World, node_id: str, kind: str = SERVICE_RESTART, *, action_id="", **fields) -> str:
    action = NAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        node_id=node_id,
        action_id=action_id or f"of-{node_id}",
        kind=kind,
        created_ms=world.now_ms,
        created_wall_ms=world.wall_ms,
        **{"phase": NActionPhase.PENDING_SCHEDULE, **fields},
    )
    world.put(action)
    return action.action_id


def promote(world: World, node_id: str = "n2", **fields) -> str:
    args = {"shard_id": SHARD, "replaces": "n1", "offset": 0}
    return ask(world, node_id, STORE_PROMOTE, args=args, **fields)


def hanging_primary_asked_to_hand_over() -> World:
    world = by_hand()
    hang_store(world)
    args = {"shard_id": SHARD, "node_id": "n2", "node": "n2:6379"}
    ask(world, "n1", STORE_SWITCHOVER, args=args)
    return world


def the(world: World, action_id: str) -> NAction:
    return next(it for it in world.nactions if it.action_id == action_id)


def approve(world: World, action_id: str) -> None:
    waiting = the(world, action_id)
    assert waiting.phase is NActionPhase.PENDING_APPROVE
    ready = msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE)
    world.put(msgspec.structs.replace(ready, approved_ms=world.now_ms))


def codes(result) -> list[ChangeCode]:
    return [it.code for it in result.changes if it.key[-1].startswith("of-")]

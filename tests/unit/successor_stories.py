"""A cluster of four whose primary goes, and what its copies hear. Not a test file."""

from __future__ import annotations

from orchestrate_builders import World, make_spec, replicated, sent_kinds

from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.shard import ShardRole, Sight

LOOKS = {"confirmations": 3, "confirm_for": "3s", "data_loss_offset": 1000}


def cluster(mode: str = "active") -> World:
    world = replicated(4, spec=make_spec(mode=mode, policies=LOOKS))
    world.cycle()
    return world


def hears(world: World, node_id: str, whom: str, sight: Sight = Sight.UP) -> None:
    node = world.nodes[node_id]
    node.role, node.follows, node.sight = ShardRole.SECONDARY, whom, sight


def promoted(world: World, looks: int = 12) -> int:
    """The look in which somebody is; 0: nobody."""
    for look in range(1, looks + 1):
        if STORE_PROMOTE in dict(sent_kinds(world.cycle())):
            return look
    return 0


def untold(world: World) -> None:
    """Agents that tell what they see of their primary, and not which one it is."""
    for node in world.nodes.values():
        node.is_upstream_told = False

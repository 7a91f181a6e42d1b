"""The kinds of actions that decisions speak of, in words that fit every store. Pure.

Called by `orchestrate` (which asks for them) and by `agents` (which carry them out). A kind is
`{domain}/{name}`; `replicante.io` and all below it is ours. The first four are the original's.

Where the declared policy protects writes, the actions that give a node its role carry
`protect_writes: true`: as a primary it is to refuse writes that no copy hears of.

Every kind is a wish for a state, not a movement: an agent that finds the state reached already
answers DONE, so that a repeat after a crash does nothing twice.
"""

from __future__ import annotations

from typing import Final

CLUSTER_INIT: Final = "agent.replicante.io/cluster.init"
"""This node begins a new cluster. args: what the declaration's `initialise.action_args` says."""
CLUSTER_ADD: Final = "agent.replicante.io/cluster.add"
"""This member admits another node. args: node (member address of the new one)."""
CLUSTER_JOIN: Final = "agent.replicante.io/cluster.join"
"""This node joins. args: node (member address of a member, for a store with one primary: of the
primary). One that holds data gives it up, as by `store.rejoin`."""
CLUSTER_REMOVE: Final = "agent.replicante.io/cluster.remove"
"""Asked of a surviving member: forget a node. args: node (its member address, null when unknown),
node_id."""

STORE_PROMOTE: Final = "replicante.io/store.promote"
"""This node becomes the primary of a shard although the old one cannot agree: writes may be lost.
args: shard_id, replaces (node id of the old primary), offset (the commit offset that the decision
saw; the agent refuses when the node is behind it now)."""
STORE_FENCE: Final = "replicante.io/store.fence"
"""The store process of this node ends, because it answers nobody and another node takes over or
did: a process that was stopped and goes on would take writes as the primary that it was. The agent
asks it once more and refuses when it answers. args: shard_id, replaces (this node's id)."""
STORE_SWITCHOVER: Final = "replicante.io/store.switchover"
"""Asked of the healthy primary: hand the shard over, losing nothing, or stay primary and fail.
args: shard_id, node (member address of the successor), node_id (its id), timeout_ms."""
STORE_REJOIN: Final = "replicante.io/store.rejoin"
"""This node follows the primary from now on and gives up what it has beyond it; a store that is
down starts as a follower. args: shard_id, node (member address of the primary), node_id."""
STORE_CONFIGURE: Final = "replicante.io/store.configure"
"""The running store has these settings from now on, or those that it had. args: settings (name →
value, as the store has them), dry_run, persistent. Ends with a payload whose `previous` tells what
held before."""
STORE_PROTECT: Final = "replicante.io/store.protect"
"""Asked of a member of any role: as a primary it refuses writes that no copy hears of, or takes
them, from now on and after each start. args: protect_writes."""
CONTROLLER_SWITCHOVER: Final = "replicante.io/controller.switchover"
"""Asked of the healthy primary that another controller rules: have that one replace it, losing
nothing. args: shard_id, replaces (node id of this primary), controller."""
CONTROLLER_FAILOVER: Final = "replicante.io/controller.failover"
"""Asked of a copy: see that the controller in charge replaces a primary that is gone. args:
shard_id, replaces (node id of the old primary), node (its member address), controller. Both end
with a payload whose `primary` is the member address of the new one."""
SERVICE_START: Final = "replicante.io/service.start"
"""The store of this node runs; one that runs is left as it is. args: node (member address of whom
it is to follow; null: whom it followed last), both of a store with one primary."""
SERVICE_STOP: Final = "replicante.io/service.stop"
SERVICE_RESTART: Final = "replicante.io/service.restart"

ROLE_KINDS: Final = frozenset({STORE_PROMOTE, STORE_FENCE, STORE_SWITCHOVER, STORE_REJOIN})
"""Change who is primary or follows whom: never sent to a store that another controller rules."""
THROUGH_KINDS: Final = frozenset({CONTROLLER_SWITCHOVER, CONTROLLER_FAILOVER})
"""Change roles too, but the controller in charge does it: never sent where there is none."""
HANDOVER_KINDS: Final = frozenset({STORE_SWITCHOVER, CONTROLLER_SWITCHOVER})
"""Asked of a healthy primary: it hands its shard over, or nothing changes."""
TAKE_OVER_KINDS: Final = frozenset({STORE_PROMOTE, CONTROLLER_FAILOVER})
"""Give a shard to another node without the primary, which is not asked."""
PAST_A_PRIMARY_KINDS: Final = TAKE_OVER_KINDS | {STORE_FENCE}
"""Take a primary for dead, or make it so."""
MAKE_A_PRIMARY_KINDS: Final = HANDOVER_KINDS | TAKE_OVER_KINDS
"""Another node is the primary of a shard when one has ended well."""
PLATFORM_PROVISION: Final = "core.replicante.io/platform.provision"
"""Orchestrator action. args: request (node_group_id, count), stable_after_ms."""
PLATFORM_DEPROVISION: Final = "core.replicante.io/platform.deprovision"
"""Orchestrator action. args: node_id."""
PLATFORM_KINDS: Final = frozenset({PLATFORM_PROVISION, PLATFORM_DEPROVISION})
DISRUPTIVE_KINDS: Final = ROLE_KINDS | {
    *THROUGH_KINDS,
    # A primary may refuse writes from then on.
    STORE_PROTECT,
    CLUSTER_INIT,
    CLUSTER_ADD,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    SERVICE_STOP,
    SERVICE_RESTART,
    PLATFORM_DEPROVISION,
}
"""At most one of these is begun at a time in a cluster."""

CORE_SWITCHOVER: Final = "core.replicante.io/switchover"
"""Orchestrator action, asked for by a person: no loss, or nothing happens. args: shard_id, to
(node id; null: the best)."""
CORE_FAILOVER: Final = "core.replicante.io/failover"
"""Orchestrator action, asked for or approved by a person: may lose. args: shard_id, to (node id;
null: the best), accepted_loss (in the unit of the shard's offset, or `unknown`; required),
overrides (what may stand against the copy: kept_out, other_history, not_comparable)."""
CORE_TEST_SUCCESS: Final = "core.replicante.io/test.success"
CORE_TEST_FAIL: Final = "core.replicante.io/test.fail"
CORE_TEST_LOOP: Final = "core.replicante.io/test.loop"
"""args: target (10)."""

"""The steps of convergence in the order in which a cycle asks them. Pure; called by the cycle.

Recoveries come first: what restores writes does not wait behind what adds nodes.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.model.cluster_declaration import Step
from replicante.orchestrate.converge.cluster_expand import propose_cluster_expand
from replicante.orchestrate.converge.cluster_init import propose_cluster_init
from replicante.orchestrate.converge.failover import propose_failover
from replicante.orchestrate.converge.protect_writes import propose_protect_writes
from replicante.orchestrate.converge.rejoin import propose_rejoin
from replicante.orchestrate.converge.replace_node import propose_replace_node
from replicante.orchestrate.converge.scale_down import propose_scale_down
from replicante.orchestrate.converge.scale_up import propose_scale_up
from replicante.orchestrate.proposal import Situation, StepResult

STEPS: dict[Step, Callable[[Situation], StepResult]] = {
    Step.FAILOVER: propose_failover,
    Step.REJOIN: propose_rejoin,
    Step.SCALE_UP: propose_scale_up,
    Step.CLUSTER_INIT: propose_cluster_init,
    Step.CLUSTER_EXPAND: propose_cluster_expand,
    Step.PROTECT_WRITES: propose_protect_writes,
    Step.REPLACE_NODE: propose_replace_node,
    Step.SCALE_DOWN: propose_scale_down,
}
assert tuple(STEPS) == tuple(Step), "the order of the declaration"

"""Step: the declared protection of writes reaches the nodes of a cluster that runs already. Pure.

Called by `converge.steps`. One node at a time, and the next when the one before tells that it has
it: copies first, so that whoever takes over meanwhile has what is declared, and the primary last,
where it counts at once. A primary that no copy hears is not protected: it would refuse every write
from that moment on.
"""

from __future__ import annotations

from replicante.model.action_kinds import STORE_PROTECT
from replicante.model.cluster_declaration import Step
from replicante.model.node import WRITES_PROTECTED
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle
from replicante.orchestrate.view import ClusterView


def propose_protect_writes(situation: Situation) -> StepResult:
    view = situation.view
    is_wanted = view.spec.declaration.policies.is_protecting_writes
    others = [it for it in view.node_ids if _protection_of(view, it) == (not is_wanted)]
    if not others:
        return idle("every node that is seen and tells it protects writes as is declared")
    node_id = min(others, key=lambda it: _is_primary(view, it))
    if is_wanted and _is_primary(view, node_id) and not _is_heard(view, node_id):
        return idle(f"no copy hears {node_id}: protected, it would refuse every write")
    what = "refuse writes that no copy hears of" if is_wanted else "take writes without a copy"
    return StepResult(
        proposals=(
            Proposal(
                step=Step.PROTECT_WRITES,
                action_kind=STORE_PROTECT,
                node_id=node_id,
                args={"protect_writes": is_wanted},
                effect=f"have {node_id} {what}, as is declared now",
                grace_subject=node_id,
            ),
        )
    )


def _protection_of(view: ClusterView, node_id: str) -> bool | None:
    """None: it does not tell, or not now."""
    extras = view.extras.get(node_id)
    if extras is None or not extras.is_fresh or not view.is_healthy(node_id):
        return None
    found = extras.attributes.get(WRITES_PROTECTED)
    return found if isinstance(found, bool) else None


def _is_primary(view: ClusterView, node_id: str) -> bool:
    return any(copy.role is ShardRole.PRIMARY for copy in view.copies_on(node_id))


def _is_heard(view: ClusterView, node_id: str) -> bool:
    """Each shard of which it is the primary, by a copy that is whole."""
    address = view.nodes[node_id].member_address
    led = [it.shard_id for it in view.copies_on(node_id) if it.role is ShardRole.PRIMARY]
    return address is not None and all(
        any(
            copy.is_fresh
            and copy.role is ShardRole.SECONDARY
            and copy.upstream is not None
            and (copy.upstream.address, copy.upstream.sight) == (address, Sight.UP)
            for copy in view.copies(shard_id)
        )
        for shard_id in led
    )

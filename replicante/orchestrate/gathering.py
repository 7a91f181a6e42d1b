"""Reads what a cycle needs of the stored records, and says which actions to ask agents for. Pure.

Called by `workers`: before the look (`actions_to_ask`) and after it (`cycle_inputs`). What is read
is one view of the tables, so that the cycle decides on one state of them; its revisions go back
with the changes, and a record that somebody changed meanwhile refuses the whole write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from replicante.ids import STAMP_MAX
from replicante.limits import ACTIONS_ENDED_KEPT_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.actions import NAction, NActionPhase
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.converge_state import ConvergeState
from replicante.model.discovery import ClusterDiscovery
from replicante.model.namespace import Namespace
from replicante.model.observation import Observation
from replicante.orchestrate.cycle import CycleInputs
from replicante.state import record_queries
from replicante.state.record_commands import Revisions
from replicante.storage.kv import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the cycle is, and under which right it writes."""

    epoch: int
    """The token of the lease on the cluster."""
    sent_ids: frozenset[str] = frozenset()
    """Node actions that left under it."""
    now_ms: int
    wall_now_ms: int


def actions_to_ask(
    nactions: Iterable[NAction], state: ConvergeState | None = None
) -> dict[str, tuple[str, ...]]:
    """Node → ids that its agent is to be asked for one by one: an action counts as lost only by
    the agent's own word about it, and what was cancelled may have been carried out."""
    left = [(it.node_id, it.action_id) for it in nactions if it.may_be_at_agent]
    known = {action_id for _, action_id in left}
    if state is not None:
        left += [(it.node_id, id_) for id_, it in state.sent.items() if id_ not in known]
    found: dict[str, tuple[str, ...]] = {}
    for node_id, action_id in left:
        found[node_id] = (*found.get(node_id, ()), action_id)
    return found


def cycle_inputs(
    reader: Reader,
    *,
    namespace: Namespace,
    spec: ClusterSpec,
    is_platform_usable: bool,
    observations: tuple[Observation, ...],
    moment: Moment,
) -> tuple[CycleInputs, Revisions]:
    """The inputs, and the revisions of all the records that they hold."""
    scope = (spec.ns_id, spec.cluster_id)
    records = record_queries.cluster_records(reader, *scope)
    ended = _ended(reader, scope, observations)
    inputs = CycleInputs(
        namespace=namespace,
        spec=spec,
        discovery=records.discovery,
        discovered_ms=_discovered_ms(reader, records.discovery),
        nodes=records.nodes,
        extras=records.extras,
        shards=records.shards,
        nactions=records.nactions,
        oactions=records.oactions,
        cancelled=tuple(it for it in ended if it.phase is NActionPhase.CANCELLED),
        finished_ids=frozenset(it.action_id for it in ended),
        ended_room_count=ACTIONS_ENDED_KEPT_MAX - records.ended_count,
        state=records.state,
        last_decision=record_queries.decision_at(reader, *scope, STAMP_MAX),
        observations=observations,
        is_platform_usable=is_platform_usable,
        epoch=moment.epoch,
        sent_ids=moment.sent_ids,
        now_ms=moment.now_ms,
        wall_now_ms=moment.wall_now_ms,
    )
    return inputs, records.revisions


def _discovered_ms(reader: Reader, discovery: ClusterDiscovery | None) -> int | None:
    """When the platform was asked last that answers for the cluster; None: it did not answer."""
    if discovery is None or discovery.platform is None:
        return None
    run = record_queries.platform_run(reader, discovery.ns_id, discovery.platform)
    is_answer = isinstance(run, dict) and run.get("is_success") is True
    return int(run["start_ms"]) if is_answer else None


def _ended(
    reader: Reader, scope: tuple[str, str], observations: Iterable[Observation]
) -> list[NAction]:
    """Actions that agents speak of and that ended here: found by id, so however many are kept."""
    named: set[str] = set()
    for observation in observations:
        named |= {*(observation.queue or ()), *(observation.finished or ())}
        named |= {seen.action_id for seen in observation.actions}
    found: list[NAction] = []
    for action_id in sorted(named):
        stored = record_queries.action_get(reader, ActionOn.NODE, *scope, action_id)
        if stored is None or not isinstance(stored.action, NAction):
            continue
        if stored.action.phase.is_final:
            found.append(stored.action)
    return found

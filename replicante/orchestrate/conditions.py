"""Names what is wrong or special about a cluster now, with its evidence. Pure; called by the cycle.

A condition holds or does not: it is computed from one cycle alone, so it clears by itself. What is
remembered is only since when it holds, and for a while that an agent contradicted itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.codec import Value
from replicante.model.converge_state import Doubt, DoubtReason
from replicante.model.decision import ConditionRecord
from replicante.model.node import WRITES_REFUSED, NodeStatus
from replicante.model.observation import AgentAnswer, Observation
from replicante.model.shard import Shard
from replicante.orchestrate.roles.controllers import named_address
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict
from replicante.orchestrate.view import ClusterView

CONDITIONS = {
    "no_nodes": "Discovery knows no node of the cluster.",
    "discovery_held": "The platform's last answer is not believed.",
    "agent_unreachable": "The agent of a node gave no usable answer.",
    "agent_garbage": "What answers at an agent's address does not speak the protocol.",
    "agent_wrong_ids": "An agent speaks for another cluster or node than discovery says.",
    "agent_address_unusable": "An agent's address cannot be used.",
    "agent_epoch_ahead": "An agent refuses our calls: it knows a greater epoch than our lease has.",
    "agent_unfenced": "An agent keeps no epoch: a worker of the past could act there.",
    "store_unavailable": "The store process does not answer its own agent.",
    "node_unhealthy": "A member cannot do its job.",
    "node_status_unknown": "An agent could not tell the state of its store.",
    "primary_suspect": "The primary of a shard was not seen, and that is not believed yet.",
    "primary_gone": "The primary of a shard is gone: proved or confirmed.",
    "primary_disputed": "More than one node, or not the appointed one, calls itself primary.",
    "primary_unknown": "There are copies of a shard, and nobody is known to be its primary.",
    "primary_seen_by_copies_only": "We do not see the primary, its copies do.",
    "nobody_eligible": "A primary is needed and no copy may take over.",
    "offset_went_back": "A primary's offset shrank or its history changed: writes were lost.",
    "foreign_controller": "Another controller is in charge of the store.",
    "controller_disagrees": "The controller in charge names another primary than the one that is.",
    "writes_refused": "A primary refuses every write: it was replaced, and was not told.",
    "action_at_silent_agent": "An action may run at an agent that does not answer.",
    "action_awaits_approval": "An action waits for a person.",
    "agent_denies": "An agent denies an action that it had, or lost what it keeps.",
    "agent_doubled": "Two processes answer for the agent of one node.",
    "data_incomplete": "The last known facts of a node are not fresh.",
}
"""Every name and what it says; a name is never reused."""


def find_conditions(
    *,
    before: ClusterView,
    view: ClusterView,
    observations: Mapping[str, Observation],
    primaries: Mapping[str, Primary],
    stuck: Mapping[str, str],
    doubts: Mapping[str, Doubt],
    since: Mapping[str, int],
    now_ms: int,
) -> tuple[ConditionRecord, ...]:
    """before: the view ahead of sync. since: condition key → when it began, of the last cycle."""
    found = [
        *_of_discovery(view),
        *_of_nodes(view, observations),
        *_of_primaries(before, view, primaries),
        *(("nobody_eligible", f"shard/{it}", why, {}) for it, why in stuck.items()),
        *_of_actions(view),
        *_of_doubts(doubts),
    ]
    return tuple(
        ConditionRecord(
            name=name,
            subject=subject,
            message=message,
            evidence=evidence,
            since_ms=since.get(condition_key(name, subject), now_ms),
        )
        for name, subject, message, evidence in sorted(found, key=lambda it: it[:2])
    )


def condition_key(name: str, subject: str) -> str:
    return f"{name}/{subject}"


_Found = tuple[str, str, str, dict[str, Value]]


def _of_discovery(view: ClusterView) -> Iterable[_Found]:
    discovery = view.discovery
    if not discovery.nodes:
        yield "no_nodes", "", "discovery knows no node", {}
    if discovery.held is not None:
        held = discovery.held
        yield (
            "discovery_held",
            "",
            held.reason,
            {
                "known": [it.node_id for it in discovery.nodes],
                "answered": [it.node_id for it in held.nodes],
                "seen_count": held.seen_count,
            },
        )


_AGENT_CONDITIONS = {
    AgentAnswer.GARBAGE: "agent_garbage",
    AgentAnswer.WRONG_IDS: "agent_wrong_ids",
    AgentAnswer.BAD_ADDRESS: "agent_address_unusable",
    AgentAnswer.STALE_EPOCH: "agent_epoch_ahead",
}


_STATUS_CONDITIONS = {
    NodeStatus.UNHEALTHY: "node_unhealthy",
    NodeStatus.UNKNOWN: "node_status_unknown",
}


def _of_nodes(view: ClusterView, observations: Mapping[str, Observation]) -> Iterable[_Found]:
    for node_id in view.node_ids:
        node, observation = view.nodes.get(node_id), observations.get(node_id)
        if node is None or node.node_status is NodeStatus.UNREACHABLE:
            answer = None if observation is None else observation.answer
            name = "agent_unreachable"
            if answer is not None:
                name = _AGENT_CONDITIONS.get(answer, name)
            message = "no look was taken" if observation is None else observation.message
            yield name, node_id, message or str(answer), {"answer": str(answer)}
            continue
        match node.node_status:
            case NodeStatus.UNAVAILABLE:
                evidence: dict[str, Value] = {"contact": str(node.contact)}
                yield "store_unavailable", node_id, f"the store is {node.contact}", evidence
            case NodeStatus.UNHEALTHY | NodeStatus.UNKNOWN:
                name, status = _STATUS_CONDITIONS[node.node_status], str(node.node_status)
                evidence = {"status": status, "reason": node.status_reason}
                yield name, node_id, node.status_reason or status, evidence
            case NodeStatus.INCOMPLETE:
                evidence = {"not_read": _not_read(observation)}
                yield "data_incomplete", node_id, "store or shards could not be read", evidence
            case _:
                pass
        if not node.is_fenced:
            unfenced: dict[str, Value] = {"is_fenced": False}
            yield "agent_unfenced", node_id, "its agent keeps no epoch", unfenced
        extras = view.extras.get(node_id)
        told = extras.attributes.get(WRITES_REFUSED) if extras and extras.is_fresh else None
        if isinstance(told, str):
            message = f"{told}: have Sentinel reach it, or rejoin it"
            yield "writes_refused", node_id, message, {"told": told}
        if node.controllers:
            names = ", ".join(node.controllers)
            yield (
                "foreign_controller",
                node_id,
                f"{names} is in charge",
                {"controllers": list(node.controllers)},
            )


def _not_read(observation: Observation | None) -> list[Value]:
    """Parts of a node that its agent did not tell."""
    if observation is None:
        return ["store", "shards"]
    parts = {"store": observation.store_attributes, "shards": observation.shards}
    return [name for name, told in parts.items() if told is None]


def _of_primaries(
    before: ClusterView, view: ClusterView, primaries: Mapping[str, Primary]
) -> Iterable[_Found]:
    for shard_id, primary in primaries.items():
        subject = f"shard/{shard_id}"
        evidence: dict[str, Value] = {
            "node_id": primary.node_id,
            "claimants": list(primary.claimants),
            "proof": str(primary.proof),
            "witnesses": {it: str(sight) for it, sight in primary.witnesses.items()},
        }
        match primary.verdict:
            case PrimaryVerdict.SEVERAL:
                yield "primary_disputed", subject, primary.reason, evidence
            case PrimaryVerdict.GONE:
                yield "primary_gone", subject, primary.reason, evidence
            case PrimaryVerdict.SUSPECT:
                name = "primary_suspect"
                if primary.is_seen_by_a_copy:
                    name = "primary_seen_by_copies_only"
                yield name, subject, primary.reason, evidence
            case PrimaryVerdict.DISPUTED | PrimaryVerdict.NEVER:
                yield "primary_unknown", subject, primary.reason, evidence
            case PrimaryVerdict.PRESENT:
                pass
        named = named_address(view)
        if primary.verdict is PrimaryVerdict.PRESENT and named is not None:
            seen = view.nodes[primary.node_id or ""].member_address
            if named != seen:
                message = (
                    f"{primary.node_id} is primary, and the controller in charge names {named}:"
                    " the next failure may have it demote the right one"
                )
                told: dict[str, Value] = {"primary": seen, "named": named}
                yield "controller_disagrees", subject, message, told
        for copy in view.primaries(shard_id):
            earlier = before.shards.get(copy.node_id, {}).get(shard_id)
            if earlier is not None and _went_back(earlier, copy):
                yield (
                    "offset_went_back",
                    subject,
                    f"{copy.node_id} holds less than it did",
                    {"before": earlier.to_value(), "after": copy.to_value()},
                )


def _went_back(earlier: Shard, copy: Shard) -> bool:
    if earlier.role is not copy.role:
        return False
    if earlier.history_id != copy.history_id:
        return True
    old, new = earlier.commit_offset, copy.commit_offset
    return old is not None and new is not None and old.unit == new.unit and new.value < old.value


def _of_actions(view: ClusterView) -> Iterable[_Found]:
    for action in view.nactions:
        evidence: dict[str, Value] = {"kind": action.kind, "node_id": action.node_id}
        node = view.nodes.get(action.node_id)
        is_silent = node is None or node.node_status is NodeStatus.UNREACHABLE
        if action.may_be_at_agent and is_silent:
            message = f"{action.kind} may run on {action.node_id}, which does not answer"
            yield "action_at_silent_agent", action.action_id, message, evidence
        if action.phase is NActionPhase.PENDING_APPROVE:
            message = f"{action.kind} on {action.node_id} waits for approval"
            yield "action_awaits_approval", action.action_id, message, evidence
    for order in view.oactions:
        if order.phase is OActionPhase.PENDING_APPROVE:
            asked: dict[str, Value] = {"kind": order.kind, "args": order.args}
            message = f"{order.kind} waits for approval"
            yield "action_awaits_approval", order.action_id, message, asked


_DOUBTS = {
    DoubtReason.DENIED: ("agent_denies", "it denies an action that it had taken"),
    DoubtReason.FORGOT: ("agent_denies", "it lost what it kept while it may have had an action"),
    DoubtReason.DOUBLED: ("agent_doubled", "two processes answer for it"),
}


def _of_doubts(doubts: Mapping[str, Doubt]) -> Iterable[_Found]:
    for node_id, doubt in doubts.items():
        name, message = _DOUBTS[doubt.reason]
        yield name, node_id, message, {"reason": str(doubt.reason), **doubt.evidence}

"""What each kind of orchestrator action does next, one call a cycle. Pure; called by `oactions`.

A handler is a function of (action, situation): it returns the next phase and payload, and at most
one thing to be done, which is recorded with it before it is done. Called again with the same record
it asks for the same thing under the same id, so a crash in between repeats nothing with effect.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from replicante.limits import (
    DEFINITION_NODES_MAX,
    OACTION_TIMEOUT_MS_DEFAULT,
    PLATFORM_ATTEMPTS_MAX,
    PROVISION_TIMEOUT_MS,
    ROLE_CHANGE_TIMEOUT_MS,
)
from replicante.model import action_kinds
from replicante.model.actions import OAction, OActionPhase
from replicante.model.codec import Value
from replicante.orchestrate.actions.fencing import is_fence_over, told_after, waiting, with_fence
from replicante.orchestrate.actions.role_changes import (
    asked_primary,
    past_its_reason,
    propose_asked_failover,
    propose_switchover,
)
from replicante.orchestrate.proposal import Proposal, Situation

STABLE_AFTER_MS_DEFAULT = 300_000
_LOOP_TARGET_DEFAULT = 10


class PlatformVerb(enum.StrEnum):
    PROVISION = "provision"
    DEPROVISION = "deprovision"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformCall:
    """Asked of a platform after the record is committed; `action_id` makes a repeat harmless."""

    verb: PlatformVerb
    action_id: str
    platform_ns_id: str
    platform_name: str
    body: dict[str, Value]
    """As the platform protocol wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    phase: OActionPhase
    payload: Value = None
    error: Value = None
    call: PlatformCall | None = None
    proposal: Proposal | None = None
    """A node action to create, if the rules allow it; else the action fails with their words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OActionKind:
    summary: str
    timeout_ms: int
    handler: Callable[[OAction, Situation], Progress]


def _succeed(action: OAction, situation: Situation) -> Progress:
    return Progress(phase=OActionPhase.DONE, payload=action.payload)


def _fail(action: OAction, situation: Situation) -> Progress:
    return failed("it is made to fail", payload=action.payload)


def _loop(action: OAction, situation: Situation) -> Progress:
    args, payload = _map(action.args), _map(action.payload)
    target = args.get("target", _LOOP_TARGET_DEFAULT)
    if type(target) is not int or target < 0:
        return failed("args.target must be a whole number")
    count = int(payload.get("count", 0)) + 1
    phase = OActionPhase.DONE if count >= target else OActionPhase.RUNNING
    return Progress(phase=phase, payload={"count": count, "target": target})


def _provision(action: OAction, situation: Situation) -> Progress:
    spec, payload = situation.view.spec, _map(action.payload)
    request = _map(_map(action.args).get("request"))
    group_id, count = request.get("node_group_id"), request.get("count", 1)
    definition = spec.declaration.definition
    if definition is None or spec.platform_name is None:
        return failed("the cluster declares no definition or no platform")
    if not isinstance(group_id, str) or group_id not in definition.nodes:
        return failed(f"the definition has no group {group_id}")
    if type(count) is not int or not 1 <= count <= definition.nodes[group_id].desired_count:
        return failed("args.request.count must be 1 to the desired count of the group")
    nodes = sorted(it.node_id for it in situation.view.discovery.nodes if it.node_group == group_id)
    if not payload:
        payload = {"starting_nodes": nodes, "requested": False, "expected": count}
    if int(payload["expected"]) < 1:
        # One that ends well without a node would be ordered anew for ever.
        return failed("no node was promised", payload=payload)
    new = [it for it in nodes if it not in payload["starting_nodes"]]
    if not payload["requested"] and len(new) < int(payload["expected"]):
        if not situation.is_platform_usable:
            return failed("its platform is missing or not active", payload=payload)
        call = PlatformCall(
            verb=PlatformVerb.PROVISION,
            action_id=action.action_id,
            platform_ns_id=spec.platform_ns_id or spec.ns_id,
            platform_name=spec.platform_name,
            body={
                "cluster": definition.to_value(),
                "provision": {"node_group_id": group_id, "count": count},
            },
        )
        return Progress(phase=OActionPhase.RUNNING, payload=payload, call=call)
    return _await_nodes(action, payload, new, situation.now_ms)


def _await_nodes(
    action: OAction, payload: dict[str, Value], new: list[str], now_ms: int
) -> Progress:
    """Done when the expected nodes were in discovery, the same ones, for the whole time."""
    stable_ms = _map(action.args).get("stable_after_ms", STABLE_AFTER_MS_DEFAULT)
    if type(stable_ms) is not int or stable_ms < 0:
        return failed("args.stable_after_ms must be a whole number", payload=payload)
    payload = {**payload, "requested": True}
    if len(new) < int(payload["expected"]):
        return Progress(
            phase=OActionPhase.RUNNING, payload={**payload, "candidate_nodes": new, "stable": None}
        )
    if payload.get("candidate_nodes") != new or payload.get("stable") is None:
        payload = {**payload, "candidate_nodes": new, "stable": now_ms}
    phase = OActionPhase.RUNNING
    if now_ms - int(payload["stable"]) >= stable_ms:
        phase = OActionPhase.DONE
    return Progress(phase=phase, payload=payload)


def _deprovision(action: OAction, situation: Situation) -> Progress:
    spec, node_id = situation.view.spec, _map(action.args).get("node_id")
    if not isinstance(node_id, str) or spec.platform_name is None:
        return failed("args.node_id and a platform are required")
    payload = {"requested": False, **_map(action.payload)}
    if node_id not in situation.view.node_ids:
        return Progress(phase=OActionPhase.DONE, payload=payload)
    if payload["requested"]:
        return Progress(phase=OActionPhase.RUNNING, payload=payload)
    if not situation.is_platform_usable:
        return failed("its platform is missing or not active", payload=payload)
    call = PlatformCall(
        verb=PlatformVerb.DEPROVISION,
        action_id=action.action_id,
        platform_ns_id=spec.platform_ns_id or spec.ns_id,
        platform_name=spec.platform_name,
        body={"cluster_id": spec.cluster_id, "node_id": node_id},
    )
    return Progress(phase=OActionPhase.RUNNING, payload=payload, call=call)


def _change_roles(
    propose: Callable[[OAction, Situation], Proposal | str],
) -> Callable[[OAction, Situation], Progress]:
    """First call: propose the node action. Later calls: wait for its end, which `oactions` writes
    into the payload. A failover may have two, one after the other (`fencing`)."""

    def handle(action: OAction, situation: Situation) -> Progress:
        payload = _map(action.payload)
        if "naction_id" not in payload or is_fence_over(payload, situation):
            found, kept = propose(action, situation), with_fence(payload)
            if isinstance(found, str):
                primary = asked_primary(action, situation)
                held = waiting(kept, primary, situation.now_ms)
                if held is not None:
                    return Progress(phase=OActionPhase.RUNNING, payload=held)
                return failed(told_after(found, kept), payload=kept or None)
            return Progress(phase=OActionPhase.RUNNING, payload=kept, proposal=found)
        ended = payload.get("naction_phase")
        if ended is None:
            unfinished = {it.action_id for it in situation.view.nactions}
            if payload["naction_id"] not in unfinished:
                return failed("its node action ended unseen: cancelled, rejected or given up")
            reason = past_its_reason(str(payload["naction_id"]), situation)
            if reason is not None:
                return failed(reason, payload=payload)
            return Progress(phase=OActionPhase.RUNNING, payload=payload)
        if ended == "DONE":
            return Progress(phase=OActionPhase.DONE, payload=payload)
        return failed(f"its node action is {ended}", payload=payload)

    return handle


OACTION_KINDS: dict[str, OActionKind] = {
    action_kinds.PLATFORM_PROVISION: OActionKind(
        summary="Have the platform make nodes of a group, and wait until they stay in discovery.",
        timeout_ms=PROVISION_TIMEOUT_MS,
        handler=_provision,
    ),
    action_kinds.PLATFORM_DEPROVISION: OActionKind(
        summary="Have the platform take a node away, and wait until it left discovery.",
        timeout_ms=PROVISION_TIMEOUT_MS,
        handler=_deprovision,
    ),
    action_kinds.CORE_SWITCHOVER: OActionKind(
        summary="Hand a shard over to another copy, losing nothing, or change nothing.",
        timeout_ms=ROLE_CHANGE_TIMEOUT_MS,
        handler=_change_roles(propose_switchover),
    ),
    action_kinds.CORE_FAILOVER: OActionKind(
        summary="Make another copy the primary, accepting a loss.",
        timeout_ms=ROLE_CHANGE_TIMEOUT_MS,
        handler=_change_roles(propose_asked_failover),
    ),
    action_kinds.CORE_TEST_SUCCESS: OActionKind(
        summary="Succeed at once.", timeout_ms=OACTION_TIMEOUT_MS_DEFAULT, handler=_succeed
    ),
    action_kinds.CORE_TEST_FAIL: OActionKind(
        summary="Fail at once.", timeout_ms=OACTION_TIMEOUT_MS_DEFAULT, handler=_fail
    ),
    action_kinds.CORE_TEST_LOOP: OActionKind(
        summary="Count up to args.target, one a cycle.",
        timeout_ms=OACTION_TIMEOUT_MS_DEFAULT,
        handler=_loop,
    ),
}


def platform_said(action: OAction, answer: Value) -> OAction:
    """The record once the platform answered. Promising no node, or a number that its own list
    denies, is no less a failure than refusing: what follows is waited for by that number."""
    if action.kind != action_kinds.PLATFORM_PROVISION:
        return platform_answered(action, expected=None)
    promised = _promised(answer)
    if isinstance(promised, str):
        return platform_failed(action, message=promised)
    return platform_answered(action, expected=promised)


def _promised(answer: Value) -> int | str | None:
    """Nodes by the answer to `/provision`; None: it does not say; a text: why it counts for
    nothing."""
    if answer is None:
        return None
    if not isinstance(answer, dict):
        return "its answer is no map"
    count, node_ids = answer.get("count"), answer.get("node_ids")
    if node_ids is not None:
        if not isinstance(node_ids, list) or not all(isinstance(it, str) for it in node_ids):
            return "node_ids of its answer is no list of names"
        count = len(node_ids) if count is None else count
        if len(set(node_ids)) != count:
            return "count of its answer is not that of its node_ids"
    if count is None:
        return None
    if type(count) is not int or not 1 <= count <= DEFINITION_NODES_MAX:
        return f"count of its answer is not between 1 and {DEFINITION_NODES_MAX}"
    return count


def platform_answered(action: OAction, *, expected: int | None) -> OAction:
    """The record once the platform took the request. expected: nodes that it will make; None: what
    was asked for."""
    payload = {**_map(action.payload), "requested": True, "attempts": 0}
    if expected is not None:
        payload["expected"] = expected
    return _replace(action, payload)


def platform_failed(action: OAction, *, message: str) -> OAction:
    """The record once the platform refused or did not answer; too often, and it fails next time."""
    payload = _map(action.payload)
    attempts = int(payload.get("attempts", 0)) + 1
    return _replace(action, {**payload, "attempts": attempts, "last_error": message})


def gave_up(action: OAction) -> str | None:
    """Why a platform action is not tried any more; None: it is."""
    payload = _map(action.payload)
    if int(payload.get("attempts", 0)) < PLATFORM_ATTEMPTS_MAX:
        return None
    return f"the platform failed {payload['attempts']} times: {payload.get('last_error')}"


def failed(message: str, *, payload: Value = None) -> Progress:
    return Progress(phase=OActionPhase.FAILED, payload=payload, error={"error_msg": message})


def _map(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _replace(action: OAction, payload: dict[str, Value]) -> OAction:
    return msgspec.structs.replace(action, payload=payload)

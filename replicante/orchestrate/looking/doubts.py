"""Decides whether an agent may be believed about the actions that it does not have. Pure; called by
the cycle, by sync and by `conditions`.

An agent tells an incarnation, of what it keeps on its disk, and a boot, of its process. A new boot
with the incarnation of before is a restart. What cannot be: an action that was taken and is not
known; another incarnation while an action may have been with the one of before; a boot that answers
after a later one, or two incarnations in one look: two processes answer. An agent of the original
tells neither, and only the first of these is seen of it (ADR 0084).

A doubt ends when its agent answered without a contradiction for AGENT_DOUBT_MS.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from replicante.limits import AGENT_BOOTS_KEPT_MAX, AGENT_DOUBT_MS
from replicante.model.actions import NActionPhase
from replicante.model.codec import Value
from replicante.model.converge_state import ConvergeState, Doubt, DoubtReason
from replicante.model.node import Node
from replicante.model.observation import AgentAnswer, Observation
from replicante.orchestrate.view import ClusterView


def with_doubts(
    state: ConvergeState,
    view: ClusterView,
    nodes: Mapping[str, Node],
    observations: Mapping[str, Observation],
    *,
    now_ms: int,
) -> ConvergeState:
    """The memory after a look at the agents.  view: with the actions as they were before it.
    nodes: what was known before it."""
    doubts: dict[str, Doubt] = {}
    for node_id in view.node_ids:
        before, observation = state.doubts.get(node_id), observations.get(node_id)
        has_answered = observation is not None and observation.answer is AgentAnswer.ANSWERED
        found = None
        if observation is not None and has_answered:
            found = _contradiction(view, nodes.get(node_id), observation)
        if found is not None and found[0] is DoubtReason.DENIED and before is not None:
            # It goes on denying what it denied: nothing new contradicts what is known.
            found = None
        if found is not None:
            since_ms = now_ms if before is None else before.since_ms
            reason, evidence = found
            doubts[node_id] = Doubt(
                reason=reason, since_ms=since_ms, last_ms=now_ms, evidence=evidence
            )
        elif before is not None and not (
            has_answered and now_ms - before.last_ms >= AGENT_DOUBT_MS
        ):
            doubts[node_id] = before
    return msgspec.structs.replace(state, doubts=doubts)


def unsure(state: ConvergeState, observations: Mapping[str, Observation]) -> frozenset[str]:
    """Nodes whose agents are not believed that they lack an action: another one may have it. Of
    those that do not tell who they are their word is all there is."""
    return frozenset(
        node_id
        for node_id in state.doubts
        if (seen := observations.get(node_id)) is not None and seen.incarnation is not None
    )


def boots_after(known: tuple[str, ...], answered: tuple[str, ...]) -> tuple[str, ...]:
    """Who answered, the newest last."""
    kept = [*(it for it in known if it not in answered), *answered]
    return tuple(kept[-AGENT_BOOTS_KEPT_MAX:])


def _contradiction(
    view: ClusterView, known: Node | None, observation: Observation
) -> tuple[DoubtReason, dict[str, Value]] | None:
    before = () if known is None else known.boots
    returned = [boot for boot in observation.boots if boot in before[:-1]]
    if returned or len(observation.incarnations) > 1:
        told: dict[str, Value] = {
            "boots": list(boots_after(before, observation.boots)),
            "incarnations": list(observation.incarnations),
        }
        return DoubtReason.DOUBLED, told
    actions = view.nactions_of(observation.node_id)
    maybe: list[Value] = [it.action_id for it in actions if it.may_be_at_agent]
    earlier = None if known is None else known.incarnation
    if maybe and earlier is not None and observation.incarnation not in (None, earlier):
        incarnations: list[Value] = [earlier, observation.incarnation]
        return DoubtReason.FORGOT, {"incarnations": incarnations, "actions": maybe}
    denied: list[Value] = [
        it.action_id
        for it in actions
        if it.phase in (NActionPhase.NEW, NActionPhase.RUNNING)
        and it.action_id in observation.unknown_actions
    ]
    return (DoubtReason.DENIED, {"actions": denied}) if denied else None

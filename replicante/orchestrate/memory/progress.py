"""Decides what a cluster's memory keeps from one cycle to the next. Pure; called by the cycle.

Who is primary: by our own act at once (a promotion or switchover that its agent calls done), at
first sight when nobody was known and every node told what it holds, and by somebody else's act only
after it was seen undisputed as often as a silent failure would need: a claim of one cycle moves
nothing. Where another controller is in charge of roles, its word takes the place of the one who was
replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from replicante.limits import CONTROLLER_KEPT_MS, CONTROLLER_NOTED_MS
from replicante.model.action_kinds import (
    CLUSTER_REMOVE,
    HANDOVER_KINDS,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase, Requester
from replicante.model.codec import Value
from replicante.model.converge_state import (
    Attempts,
    ConvergeState,
    Heard,
    SentAction,
    Suspicion,
)
from replicante.model.node import NodeStatus
from replicante.model.observation import Observation
from replicante.model.shard import Shard, ShardRole
from replicante.orchestrate.looking.doubts import unsure
from replicante.orchestrate.memory.outlived import is_outlived, shard_of
from replicante.orchestrate.proposal import does_disturb
from replicante.orchestrate.roles.claims import former_primary, untold
from replicante.orchestrate.roles.controllers import primary_by_controller
from replicante.orchestrate.roles.primaries import (
    Primary,
    PrimaryVerdict,
    remembered,
)
from replicante.orchestrate.roles.suspicions import demotion_key, next_look, without
from replicante.orchestrate.roles.witnesses import has_yielded, hearing, is_there
from replicante.orchestrate.view import ClusterView

STEP_METADATA = "replicante.io/step"
"""Tells which step of convergence an action serves."""


def with_ended(
    state: ConvergeState, view: ClusterView, ended: Iterable[NAction], *, now_ms: int
) -> ConvergeState:
    """The memory after actions reached their end: who is primary now, who was forgotten, and what
    failed."""
    appointed, recovered_ms = dict(state.appointed), state.recovered_ms
    suspicions = dict(state.suspicions)
    removed, replaced = dict(state.removed), state.replaced
    for action in ended:
        args = action.args if isinstance(action.args, dict) else {}
        shard_id = args.get("shard_id")
        is_done = action.phase is NActionPhase.DONE
        changes_roles = action.kind in (STORE_PROMOTE, STORE_SWITCHOVER, *THROUGH_KINDS)
        if changes_roles and action.phase in (NActionPhase.DONE, NActionPhase.LOST):
            recovered_ms = now_ms
        if changes_roles and is_done and isinstance(shard_id, str):
            successor = successor_of(view, action, args)
            if successor is not None:
                is_late = is_outlived(state, action)
                former = None if is_late else former_primary(state, action, shard_id)
                replaced = _with_replaced(replaced, shard_id, former, by=successor)
                if is_late and is_there(view, shard_id, appointed.get(shard_id)):
                    successor = appointed[shard_id]
                if appointed.get(shard_id) != successor:
                    # They were of the former one; the new one may not have been looked at yet.
                    suspicions = without(suspicions, shard_id)
                appointed[shard_id] = successor
        may_lead = appointed.get(str(shard_id)) in (None, action.node_id)
        is_lost = action.kind in HANDOVER_KINDS and action.phase is NActionPhase.LOST
        if is_lost and shard_id and may_lead:
            # Its agent forgot what it did: it may have handed over, to one that is not seen yet.
            doubt = Suspicion(since_ms=now_ms, count=0, last_ms=now_ms)
            suspicions.setdefault(demotion_key(str(shard_id)), doubt)
        forgotten = args.get("node_id")
        if action.kind == CLUSTER_REMOVE and is_done and isinstance(forgotten, str):
            removed[forgotten] = now_ms
        state = with_attempt(state, action, now_ms=now_ms)
    # Its own word now counts more than that of who was to forget it.
    removed = {it: at_ms for it, at_ms in removed.items() if not _is_member(view, it)}
    return msgspec.structs.replace(
        state,
        appointed=appointed,
        suspicions=suspicions,
        recovered_ms=recovered_ms,
        removed=removed,
        replaced=replaced,
    )


def _with_replaced(
    replaced: Mapping[str, dict[str, str]], shard_id: str, former: str | None, *, by: str
) -> dict[str, dict[str, str]]:
    known = {it: node for it, node in replaced.get(shard_id, {}).items() if it != by}
    if former is not None and former != by:
        known[former] = by
    return {**replaced, shard_id: known}


def _is_member(view: ClusterView, node_id: str) -> bool:
    """It tells so itself, now; or it is no node of the cluster any more, and nothing is to be
    remembered of it."""
    is_known = node_id in view.node_ids
    return not is_known or any(copy.is_fresh for copy in view.copies_on(node_id))


def with_attempt(state: ConvergeState, ended: NAction | OAction, *, now_ms: int) -> ConvergeState:
    """The memory after one action of convergence ended: failures of its step in a row."""
    step = ended.metadata.get(STEP_METADATA)
    if step is None or ended.requester is not Requester.CORE_DECLARATIVE:
        return state
    attempts = dict(state.attempts)
    if ended.phase in (NActionPhase.DONE, OActionPhase.DONE):
        attempts.pop(step, None)
    elif ended.phase in (NActionPhase.FAILED, NActionPhase.LOST, OActionPhase.FAILED):
        count = attempts[step].count if step in attempts else 0
        attempts[step] = Attempts(count=count + 1, last_ms=now_ms)
    return msgspec.structs.replace(state, attempts=attempts)


def with_sent(
    state: ConvergeState,
    view: ClusterView,
    ended: Iterable[NAction],
    observations: Mapping[str, Observation],
    *,
    at_agents: Iterable[NAction],
    sent_ids: frozenset[str],
) -> ConvergeState:
    """The memory of what may be at its agent and disturbs.  view: after all that the cycle has done
    with actions so far. ended: those that reached their end in this cycle. at_agents: cancelled
    ones that their agents have still. sent_ids: actions that left under this epoch."""
    ended_ids = {it.action_id for it in ended}
    doubted = unsure(state, observations)
    sent = {
        action_id: it
        for action_id, it in state.sent.items()
        if action_id not in ended_ids
        and it.node_id in view.node_ids
        and (
            it.node_id in doubted
            or not _is_denied(observations.get(it.node_id), action_id)
            or may_arrive(observations.get(it.node_id), action_id, sent_ids)
        )
    }
    left = (it for it in view.nactions if it.may_be_at_agent)
    for action in (*at_agents, *left):
        if does_disturb(action):
            sent[action.action_id] = _as_sent(action, state.sent.get(action.action_id))
    return msgspec.structs.replace(state, sent=dict(sorted(sent.items())))


def _as_sent(action: NAction, known: SentAction | None) -> SentAction:
    return SentAction(
        node_id=action.node_id,
        kind=action.kind,
        shard_id=shard_of(action),
        is_outlived=known is not None and known.is_outlived,
    )


def is_any_on_its_way(
    state: ConvergeState,
    view: ClusterView,
    observations: Mapping[str, Observation],
    sent_ids: frozenset[str],
) -> bool:
    """Something was cancelled that left under this epoch and that its agent does not have: only
    another epoch is refused what of it comes later."""
    unfinished = {it.action_id for it in view.nactions}
    return any(
        action_id not in unfinished
        and may_arrive(observations.get(it.node_id), action_id, sent_ids)
        for action_id, it in state.sent.items()
    )


def may_arrive(observation: Observation | None, action_id: str, sent_ids: frozenset[str]) -> bool:
    """Its agent does not have it, and a copy that left under this epoch would be obeyed yet. The
    memory of what was cancelled meanwhile keeps it so long."""
    is_fenced = observation is not None and observation.is_fenced
    is_unknown = observation is not None and action_id in observation.unknown_actions
    return is_fenced and is_unknown and action_id in sent_ids


def _is_denied(observation: Observation | None, action_id: str) -> bool:
    """The agent told all that it has to do, and this is not among it."""
    if observation is None or observation.queue is None:
        return False
    return action_id not in observation.queue


def with_sights(
    state: ConvergeState,
    view: ClusterView,
    primaries: Mapping[str, Primary],
    *,
    now_ms: int,
) -> ConvergeState:
    """The memory after the primaries were assessed: suspicions, and whom long sight appoints."""
    suspicions = remembered(primaries)
    # A shard that is gone alone was removed; when all are gone, that is no reason to forget.
    appointed = {
        it: node for it, node in state.appointed.items() if it in primaries or not primaries
    }
    # One that is alone among those who told may be an empty server beside the right one.
    is_all_told, replaced = not untold(view), state.replaced
    for shard_id, primary in primaries.items():
        if primary.verdict is PrimaryVerdict.PRESENT and primary.node_id is not None:
            if is_all_told:
                appointed.setdefault(shard_id, primary.node_id)
        elif primary.verdict is PrimaryVerdict.SEVERAL:
            by_word = primary_by_controller(view, shard_id)
            claimant = by_word or primary.claimants[0]
            if by_word is None:
                is_alone = len(primary.claimants) == 1
                if not is_alone or not has_yielded(view, shard_id, primary.node_id):
                    continue
            key = f"new-primary:{shard_id}:{claimant}"
            suspicion = next_look(state.suspicions.get(key), now_ms)
            policies = view.spec.declaration.policies
            if suspicion.count < policies.confirmations_min:
                suspicions[key] = suspicion
                continue
            if by_word is not None and primary.node_id not in primary.claimants:
                replaced = _with_replaced(replaced, shard_id, primary.node_id, by=by_word)
            appointed[shard_id] = claimant
            # It was the word of the one that this one follows.
            suspicions = without(suspicions, shard_id)
    return msgspec.structs.replace(
        state, suspicions=suspicions, appointed=appointed, replaced=replaced
    )


def with_heard(
    state: ConvergeState, view: ClusterView, primaries: Mapping[str, Primary]
) -> ConvergeState:
    """The memory after the primaries were assessed: of each that is there, by our own sight or by
    that of a copy, who hears it."""
    heard: dict[str, Heard] = {}
    for shard_id, primary in primaries.items():
        is_seen = primary.verdict is PrimaryVerdict.PRESENT or primary.is_seen_by_a_copy
        if is_seen and primary.node_id is not None:
            known = state.heard.get(shard_id)
            by = hearing(view, shard_id, primary.node_id)
            if primary.node_id not in view.nodes and known is not None:
                # Of one that left discovery nobody knows the address by which copies name it.
                by = known.by if known.primary == primary.node_id else by
            heard[shard_id] = Heard(primary=primary.node_id, by=by)
        elif shard_id in state.heard:
            heard[shard_id] = state.heard[shard_id]
    return msgspec.structs.replace(state, heard=heard)


def with_controllers(state: ConvergeState, view: ClusterView, *, now_ms: int) -> ConvergeState:
    """The memory after sync: which other controllers agents see, or saw lately."""
    seen = {
        name
        for node_id in view.node_ids
        if (node := view.nodes[node_id]).node_status is not NodeStatus.UNREACHABLE
        for name in node.controllers
    }
    kept = {
        it: at_ms for it, at_ms in state.controllers.items() if now_ms < at_ms + CONTROLLER_KEPT_MS
    }
    for name in seen:
        if name not in kept or now_ms >= kept[name] + CONTROLLER_NOTED_MS:
            kept[name] = now_ms
    return msgspec.structs.replace(state, controllers=dict(sorted(kept.items())))


def with_led(state: ConvergeState, before: ClusterView, view: ClusterView) -> ConvergeState:
    """The memory after sync: what an appointed primary, or the only one that is known, told last
    while it was one.
    before: the view ahead of sync."""
    led: dict[str, Shard] = {}
    known_primaries = {it: heard.primary for it, heard in state.heard.items()}
    for shard_id, node_id in {**known_primaries, **state.appointed}.items():
        now = view.shards.get(node_id, {}).get(shard_id)
        if now is not None and now.role is ShardRole.PRIMARY:
            continue
        known = state.led.get(shard_id)
        earlier = before.shards.get(node_id, {}).get(shard_id)
        if earlier is not None and earlier.role is ShardRole.PRIMARY:
            led[shard_id] = earlier
        elif known is not None and known.node_id == node_id:
            led[shard_id] = known
        if shard_id in led:
            copies = (*before.copies(shard_id), *view.copies(shard_id))
            led[shard_id] = _raised(led[shard_id], copies)
    return msgspec.structs.replace(state, led=led)


def _raised(led: Shard, copies: Iterable[Shard]) -> Shard:
    """With the greatest offset that any copy told in this history: a copy may be started anew, too,
    and what it told before is still what was seen."""
    for copy in copies:
        told, most = copy.commit_offset, led.commit_offset
        if told is None or most is None or told.unit != most.unit:
            continue
        if copy.history_id == led.history_id and told.value > most.value:
            led = msgspec.structs.replace(led, commit_offset=told)
    return led


def with_acts(
    state: ConvergeState, begun: Iterable[str], *, graces_ms: Mapping[str, int], now_ms: int
) -> ConvergeState:
    """The memory after this cycle's acts: those graces begin, those that are over are dropped."""
    kept = {
        key: started_ms
        for key, started_ms in state.graces.items()
        if now_ms < started_ms + graces_ms.get(key.partition(":")[0], 0)
    }
    kept |= dict.fromkeys(sorted(begun), now_ms)
    return msgspec.structs.replace(state, graces=kept)


def successor_of(view: ClusterView, action: NAction, args: Mapping[str, Value]) -> str | None:
    """Who is primary by the end of an action; None: the controller named a node that is not known,
    and what is seen decides."""
    if action.kind in THROUGH_KINDS:
        payload = action.payload if isinstance(action.payload, dict) else {}
        named = payload.get("primary")
        return view.node_at(named) if isinstance(named, str) else None
    if action.kind == STORE_SWITCHOVER:
        return str(args.get("node_id") or action.node_id)
    return action.node_id

"""Decides, shard by shard, whether there is a primary, and how sure it is that there is none. Pure.

Called by the cycle after sync; failover, rejoin, switchover and the safety rules read the result.

Silence towards us proves nothing: a partition between us and a healthy primary looks the same as
its death. So other witnesses count, the copies that follow it:

- one copy that still hears it ends every suspicion;
- every copy refused by it, and its own agent or machine too, is proof: no process listens there,
  and no waiting would make that surer;
- a link that is down without a refusal is believed after several observations and some time; so is
  a node that says itself that it is primary no more, because between two looks a switchover by
  another hand looks the same. Looks from before it said so prove nothing of its successor, nor does
  its own death afterwards. Its word is remembered until it is primary again or another one is
  appointed, also while a successor or a copy behind it is seen; the looks count from the last such;
- nor does its death prove that of another node that is not seen and was primary by its last word;
- no copy to ask, or none that can tell: not believed by itself, a person decides.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante.model.converge_state import ConvergeState, Suspicion
from replicante.model.node import Node, NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, Observation
from replicante.model.shard import Shard, ShardRole, Sight
from replicante.orchestrate.view import ClusterView


class PrimaryVerdict(enum.StrEnum):
    PRESENT = "present"
    """One node is primary, and nobody disputes it."""
    SEVERAL = "several"
    """More than one node calls itself primary."""
    SUSPECT = "suspect"
    """None was seen, and that is not believed yet."""
    GONE = "gone"
    """None is there: proved or confirmed."""
    NEVER = "never"
    """No primary was ever known."""


class Proof(enum.StrEnum):
    NONE = "none"
    REFUSED = "refused"
    """Connections are refused, towards its agent or us and towards every copy."""
    DEMOTED = "demoted"
    """It says itself that it is primary no more. Needs no witness, but time: its successor may
    not have been looked at yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """What is known of the primary of one shard."""

    shard_id: str
    verdict: PrimaryVerdict
    node_id: str | None = None
    """PRESENT: the primary. SUSPECT, GONE: the one that was. SEVERAL: the appointed one."""
    claimants: tuple[str, ...] = ()
    """Nodes that call themselves primary now."""
    proof: Proof = Proof.NONE
    witnesses: Mapping[str, Sight] = field(default_factory=dict)
    """Node of a copy seen in this cycle → what it sees of the primary; not of one that is there
    undisputed. That another node calls itself primary does not silence them."""
    suspicion: Suspicion | None = None
    """What decides: since it said that it is none, where it did."""
    suspicions: Mapping[str, Suspicion] = field(default_factory=dict)
    """What is to be kept, by its keys."""
    reason: str = ""

    @property
    def is_seen_by_a_copy(self) -> bool:
        return Sight.UP in self.witnesses.values()

    @property
    def can_copies_tell(self) -> bool:
        return any(sight is not Sight.UNKNOWN for sight in self.witnesses.values())


def assess_primaries(
    view: ClusterView,
    state: ConvergeState,
    observations: Mapping[str, Observation],
    *,
    now_ms: int,
) -> dict[str, Primary]:
    """Shard → what is known of its primary."""
    look = _Look(view=view, state=state, observations=observations, now_ms=now_ms)
    return {shard_id: _assess(look, shard_id) for shard_id in view.shard_ids()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    view: ClusterView
    state: ConvergeState
    observations: Mapping[str, Observation]
    now_ms: int


def suspicion_key(shard_id: str) -> str:
    """Since when no primary was seen."""
    return f"primary-gone:{shard_id}"


def demotion_key(shard_id: str) -> str:
    """Since when none was seen and the last one says, or said, that it is none."""
    return f"primary-demoted:{shard_id}"


def _assess(look: _Look, shard_id: str) -> Primary:
    view = look.view
    claimants = tuple(copy.node_id for copy in view.primaries(shard_id))
    known = _known_primary(view, look.state, shard_id)
    if len(claimants) == 1 and known == claimants[0]:
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.PRESENT,
            node_id=claimants[0],
            claimants=claimants,
            reason=f"{claimants[0]} is primary",
        )
    witnesses = {} if known is None else _witnesses(view, shard_id, primary=known)
    if claimants:
        others = ", ".join(it for it in _last_primaries(view, shard_id) if it not in claimants)
        last = f"{known} was the last known" if known else "none was appointed before"
        if known is None and others:
            last += f", and {others} did when seen last"
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.SEVERAL,
            node_id=known,
            claimants=claimants,
            witnesses=witnesses,
            suspicions={} if known in claimants else _demotion(look, shard_id, known),
            reason=f"{', '.join(claimants)} call themselves primary; {last}",
        )
    if known is None:
        return Primary(
            shard_id=shard_id, verdict=PrimaryVerdict.NEVER, reason="no primary was ever seen"
        )
    return _absent(look, shard_id, witnesses, known=known)


def _absent(look: _Look, shard_id: str, witnesses: Mapping[str, Sight], *, known: str) -> Primary:
    view, now_ms = look.view, look.now_ms
    proof = _proof(look, view.nodes.get(known), shard_id, witnesses)
    if Sight.UP in witnesses.values():
        seeing = ", ".join(it for it, sight in witnesses.items() if sight is Sight.UP)
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.SUSPECT,
            node_id=known,
            witnesses=witnesses,
            suspicions=_demotion(look, shard_id, known),
            reason=f"{known} is not seen from here, but {seeing} still hears it",
        )
    before, gone, demoted = look.state.suspicions, suspicion_key(shard_id), demotion_key(shard_id)
    suspicion = _next(before.get(gone), now_ms)
    suspicions, was_demoted = {gone: suspicion}, demoted in before
    if proof is Proof.DEMOTED or was_demoted:
        suspicion = suspicions[demoted] = _next(before.get(demoted), now_ms)
    policies = view.spec.declaration.policies
    lasted_ms = now_ms - suspicion.since_ms
    is_confirmed = (
        suspicion.count >= policies.confirmations_min and lasted_ms >= policies.confirm_ms_min
    )
    lack = "was not primary" if proof is Proof.DEMOTED else "was not seen"
    if proof is Proof.REFUSED and not was_demoted and not _elsewhere(look, shard_id, known):
        verdict = PrimaryVerdict.GONE
        reason = f"{known}: connections are refused, its copies say so too"
    elif is_confirmed:
        verdict = PrimaryVerdict.GONE
        reason = f"{known} {lack} in {suspicion.count} looks over {lasted_ms} ms"
    else:
        verdict = PrimaryVerdict.SUSPECT
        reason = (
            f"{known} {lack} in {suspicion.count} of {policies.confirmations_min} looks,"
            f" for {lasted_ms} of {policies.confirm_ms_min} ms"
        )
    return Primary(
        shard_id=shard_id,
        verdict=verdict,
        node_id=known,
        proof=proof,
        witnesses=witnesses,
        suspicion=suspicion,
        suspicions=suspicions,
        reason=reason,
    )


def _demotion(look: _Look, shard_id: str, known: str | None) -> dict[str, Suspicion]:
    """What is kept of its word that it is primary no more in a look that shows a successor, or a
    copy that hears it. Such a look counts for nothing: those that count come after it."""
    key, now_ms = demotion_key(shard_id), look.now_ms
    has_told = (
        known is not None
        and _proof(look, look.view.nodes.get(known), shard_id, {}) is Proof.DEMOTED
    )
    if not has_told and key not in look.state.suspicions:
        return {}
    return {key: Suspicion(since_ms=now_ms, count=0, last_ms=now_ms)}


def _elsewhere(look: _Look, shard_id: str, known: str) -> bool:
    """Another node that is not seen was primary by its last word, and nobody is known to have
    replaced it: that one's death is not that of the known primary."""
    replaced = look.state.replaced.get(shard_id, {})
    others = (it for it in _last_primaries(look.view, shard_id) if it != known)
    return any(it not in replaced for it in others)


def _known_primary(view: ClusterView, state: ConvergeState, shard_id: str) -> str | None:
    """The appointed node, or the only one that said last that it is primary, or the one that was
    primary when one was seen last."""
    appointed = state.appointed.get(shard_id)
    if appointed is not None and appointed in view.node_ids:
        return appointed
    last = _last_primaries(view, shard_id)
    if not last and shard_id in state.heard:
        was = state.heard[shard_id].primary
        return was if was in view.node_ids else None
    return last[0] if len(last) == 1 else None


def _last_primaries(view: ClusterView, shard_id: str) -> tuple[str, ...]:
    """By their last word, fresh or not."""
    return tuple(it.node_id for it in view.copies(shard_id) if it.role is ShardRole.PRIMARY)


def _witnesses(view: ClusterView, shard_id: str, *, primary: str) -> dict[str, Sight]:
    """Copies seen in this cycle that follow the primary; whom a copy follows must be known, else
    its link may be one to somebody else."""
    node = view.nodes.get(primary)
    address = None if node is None else node.member_address
    found: dict[str, Sight] = {}
    for copy in view.copies(shard_id):
        if copy.node_id == primary or not copy.is_fresh or copy.role is ShardRole.PRIMARY:
            continue
        upstream = copy.upstream
        if upstream is None or upstream.address is None or address is None:
            # A link whose other end is not known may still be the one: it can veto, never prove.
            is_up = upstream is not None and upstream.sight is Sight.UP
            found[copy.node_id] = Sight.UP if is_up else Sight.UNKNOWN
        elif upstream.address == address:
            found[copy.node_id] = upstream.sight
        else:
            found[copy.node_id] = Sight.UNKNOWN
    return found


def _proof(look: _Look, node: Node | None, shard_id: str, witnesses: Mapping[str, Sight]) -> Proof:
    observation = None if node is None else look.observations.get(node.node_id)
    if node is None or observation is None:
        return Proof.NONE
    copy = look.view.shards.get(node.node_id, {}).get(shard_id)
    if copy is not None and copy.is_fresh and node.node_status is NodeStatus.HEALTHY:
        return Proof.DEMOTED if copy.role is ShardRole.SECONDARY else Proof.NONE
    is_refused = observation.answer is AgentAnswer.REFUSED or (
        node.node_status is NodeStatus.UNAVAILABLE and node.contact is StoreContact.REFUSED
    )
    are_refused = bool(witnesses) and set(witnesses.values()) == {Sight.REFUSED}
    return Proof.REFUSED if is_refused and are_refused else Proof.NONE


def _next(before: Suspicion | None, now_ms: int) -> Suspicion:
    if before is None:
        return Suspicion(since_ms=now_ms, count=1, last_ms=now_ms)
    if before.last_ms == now_ms:
        # The same cycle again, after a crash: one look counts once.
        return before
    return Suspicion(since_ms=before.since_ms, count=before.count + 1, last_ms=now_ms)


def remembered(primaries: Mapping[str, Primary]) -> dict[str, Suspicion]:
    """The suspicions to keep; those not in it are forgotten."""
    return {key: it for primary in primaries.values() for key, it in primary.suspicions.items()}


def is_follower(copy: Shard) -> bool:
    return copy.role in (ShardRole.SECONDARY, ShardRole.RECOVERING)

"""Decides, shard by shard, whether there is a primary, and how sure it is that there is none. Pure.

Called by the cycle after sync; failover, rejoin, switchover and the safety rules read the result.

Silence towards us proves nothing: a partition between us and a healthy primary looks the same as
its death. So other witnesses count, the copies that follow it:

- one copy that still hears it ends every suspicion, but not one that hears a node which says
  itself that it is primary no more: that is a chain, and what counts is whom its end hears;
- a copy that hears somebody else in its place, whom nobody sees, is no proof of anybody's death:
  enough such looks and a person is asked, and those that confirm come after the last of them;
- every copy refused by it, and its own agent or machine too, is proof: no process listens there,
  and no waiting would make that surer;
- a link that is down without a refusal is believed after several observations and some time; so is
  a node that says itself that it is primary no more, because between two looks a switchover by
  another hand looks the same. Looks from before it said so prove nothing of its successor, nor does
  its own death afterwards. Its word is remembered until it is primary again or another one is
  appointed, also while a successor or a copy behind it is seen; the looks count from the last such;
- nor does its death prove that of another node that is not seen and was primary by its last word;
- one that left discovery is as silent as any other;
- no copy to ask, or none that can tell: not believed by itself, a person decides.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from replicante.limits import HEARD_NAMES_MAX
from replicante.model.converge_state import ConvergeState, Suspicion
from replicante.model.node import Node, NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, Observation
from replicante.model.shard import Shard, ShardRole, Sight
from replicante.orchestrate.roles.suspicions import (
    demotion_key,
    heard_key,
    next_look,
    suspicion_key,
)
from replicante.orchestrate.roles.witnesses import (
    heard_instead,
    says_that_it_is_none,
    witnesses_of,
)
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
    DISPUTED = "disputed"
    """None is seen, and more than one was primary by its last word: nobody is known."""
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
    has_stepped_down: bool = False
    """It said itself that it is primary no more, or may have handed over, now or since it was
    primary last."""
    unseen: tuple[str, ...] = ()
    """Other nodes that are not seen, were primary by their last word, and were not replaced as far
    as is known: each may be its successor."""
    heard: tuple[str, ...] = ()
    """Whom copies hear in its place, at the end of their chains, and nobody sees: nodes, addresses
    that are none of a node's, or UNTOLD. Also of looks before, until looks without have
    confirmed."""
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


def _assess(look: _Look, shard_id: str) -> Primary:
    view = look.view
    claimants = tuple(copy.node_id for copy in view.primaries(shard_id))
    last = _last_primaries(view, shard_id)
    known = _known_primary(view, look.state, shard_id)
    if len(claimants) == 1 and known == claimants[0]:
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.PRESENT,
            node_id=claimants[0],
            claimants=claimants,
            reason=f"{claimants[0]} is primary",
        )
    if known is not None:
        found = _of_known(look, shard_id, known)
        return _several(look, found, claimants) if claimants else _absent(look, found)
    if claimants:
        others = ", ".join(it for it in last if it not in claimants)
        told = f", and {others} did when seen last" if others else ""
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.SEVERAL,
            claimants=claimants,
            reason=f"{_call(claimants)}; none was appointed before{told}",
        )
    if last:
        return Primary(
            shard_id=shard_id,
            verdict=PrimaryVerdict.DISPUTED,
            unseen=last,
            reason=f"{', '.join(last)} were primary when seen last, and none of them is seen now;"
            " a person who looked may have one copy promoted by name",
        )
    return Primary(
        shard_id=shard_id, verdict=PrimaryVerdict.NEVER, reason="no primary was ever seen"
    )


def _call(claimants: tuple[str, ...]) -> str:
    return f"{', '.join(claimants)} call themselves primary"


def _of_known(look: _Look, shard_id: str, known: str) -> Primary:
    """What is seen of the one that is known, before it is judged."""
    view = look.view
    own = view.shards.get(known, {}).get(shard_id)
    is_refused = _is_refused(look, view.nodes.get(known))
    is_gone = is_refused or known not in view.node_ids
    witnesses = witnesses_of(view, shard_id, primary=known, is_gone=is_gone)
    proof = _proof(own, witnesses, is_refused=is_refused)
    is_primary = own is not None and own.is_fresh and own.role is ShardRole.PRIMARY
    was_doubted = demotion_key(shard_id) in look.state.suspicions and not is_primary
    unseen = tuple(
        it.node_id
        for it in view.copies(shard_id)
        if it.role is ShardRole.PRIMARY
        and not it.is_fresh
        and it.node_id != known
        and it.node_id not in look.state.replaced.get(shard_id, {})
    )
    said_so = proof is Proof.DEMOTED or was_doubted
    last = look.state.heard.get(shard_id)
    heard = heard_instead(
        view,
        shard_id,
        known,
        unseen=unseen,
        has_stepped_down=said_so,
        is_gone=is_gone,
        did_hear=last.by if last is not None and last.primary == known else (),
    )
    if Sight.UP in witnesses.values():
        # Who hears it vetoes, unless it said itself that it is none: then a person is asked.
        heard = heard | {known} if said_so else set()
    return Primary(
        shard_id=shard_id,
        verdict=PrimaryVerdict.SUSPECT,
        node_id=known,
        proof=proof,
        witnesses=witnesses,
        has_stepped_down=said_so,
        unseen=unseen,
        heard=tuple(sorted(heard)),
    )


def _several(look: _Look, found: Primary, claimants: tuple[str, ...]) -> Primary:
    return replace(
        found,
        verdict=PrimaryVerdict.SEVERAL,
        claimants=claimants,
        suspicions=_standing_still(look, found),
        reason=f"{_call(claimants)}; {found.node_id} was the last known",
    )


def _absent(look: _Look, found: Primary) -> Primary:
    known = found.node_id
    if found.is_seen_by_a_copy and not found.has_stepped_down:
        seeing = ", ".join(it for it, sight in found.witnesses.items() if sight is Sight.UP)
        return replace(found, reason=f"{known} is not seen from here, but {seeing} still hears it")
    heard, decisive, suspicions = _counted(look, found)
    has_rival = found.has_stepped_down or bool(found.unseen or heard)
    policies = look.view.spec.declaration.policies
    lasted_ms = look.now_ms - decisive.since_ms
    is_confirmed = _is_confirmed(look, decisive)
    lack = "was not primary" if found.proof is Proof.DEMOTED else "was not seen"
    is_proved = found.proof is Proof.REFUSED and not has_rival
    verdict = PrimaryVerdict.GONE if is_proved or is_confirmed else PrimaryVerdict.SUSPECT
    if is_proved:
        reason = f"{known}: connections are refused, its copies say so too"
    elif is_confirmed:
        reason = f"{known} {lack} in {decisive.count} looks over {lasted_ms} ms"
    else:
        reason = (
            f"{known} {lack} in {decisive.count} of {policies.confirmations_min} looks,"
            f" for {lasted_ms} of {policies.confirm_ms_min} ms"
        )
    return replace(
        found,
        verdict=verdict,
        heard=heard,
        suspicion=decisive,
        suspicions=suspicions,
        reason=reason,
    )


def _counted(
    look: _Look, found: Primary
) -> tuple[tuple[str, ...], Suspicion, dict[str, Suspicion]]:
    """Who is heard in its place, now or lately; what decides; and all that is to be kept."""
    before, shard_id, now_ms = look.state.suspicions, found.shard_id, look.now_ms
    gone, demoted, elsewhere = (
        suspicion_key(shard_id),
        demotion_key(shard_id),
        heard_key(shard_id),
    )
    decisive = next_look(before.get(gone), now_ms)
    kept = {gone: decisive}
    if found.has_stepped_down:
        decisive = kept[demoted] = next_look(before.get(demoted), now_ms)
    lately = _heard_lately(look, found)
    if not lately:
        return (), decisive, kept
    decisive = kept[elsewhere] = next_look(before.get(elsewhere), now_ms)
    kept |= {heard_key(shard_id, name): it for name, it in lately.items()}
    return tuple(sorted(lately)), decisive, kept


def _heard_lately(look: _Look, found: Primary) -> dict[str, Suspicion]:
    """Whom copies hear in its place, and since when they do not. A link that is down for a look is
    no end of that: as many looks as confirm a death are."""
    prefix = heard_key(found.shard_id, "")
    names = {
        key.removeprefix(prefix): next_look(it, look.now_ms)
        for key, it in look.state.suspicions.items()
        if key.startswith(prefix)
    }
    names = {name: it for name, it in names.items() if not _is_confirmed(look, it)}
    now = Suspicion(since_ms=look.now_ms, count=0, last_ms=look.now_ms)
    names |= dict.fromkeys(found.heard, now)
    latest = sorted(names, key=lambda it: (-names[it].since_ms, it))
    return {name: names[name] for name in latest[:HEARD_NAMES_MAX]}


def _is_confirmed(look: _Look, suspicion: Suspicion) -> bool:
    policies = look.view.spec.declaration.policies
    is_enough = suspicion.count >= policies.confirmations_min
    return is_enough and look.now_ms - suspicion.since_ms >= policies.confirm_ms_min


def _standing_still(look: _Look, found: Primary) -> dict[str, Suspicion]:
    """What is kept of its word that it is primary no more in a look that shows a successor, or a
    copy that hears it. Such a look counts for nothing: those that count come after it."""
    if not found.has_stepped_down:
        return {}
    now_ms = look.now_ms
    return {demotion_key(found.shard_id): Suspicion(since_ms=now_ms, count=0, last_ms=now_ms)}


def _known_primary(view: ClusterView, state: ConvergeState, shard_id: str) -> str | None:
    """The appointed node, also when it left discovery; or the only one that said last that it is
    primary, or the one that was primary when one was seen last."""
    appointed = state.appointed.get(shard_id)
    if appointed is not None:
        return appointed
    last = _last_primaries(view, shard_id)
    if not last and shard_id in state.heard:
        was = state.heard[shard_id].primary
        return was if was in view.node_ids else None
    return last[0] if len(last) == 1 else None


def _last_primaries(view: ClusterView, shard_id: str) -> tuple[str, ...]:
    """By their last word, fresh or not."""
    return tuple(it.node_id for it in view.copies(shard_id) if it.role is ShardRole.PRIMARY)


def _is_refused(look: _Look, node: Node | None) -> bool:
    """Connections are, towards its agent or us."""
    observation = None if node is None else look.observations.get(node.node_id)
    if node is None or observation is None:
        return False
    return observation.answer is AgentAnswer.REFUSED or (
        node.node_status is NodeStatus.UNAVAILABLE and node.contact is StoreContact.REFUSED
    )


def _proof(own: Shard | None, witnesses: Mapping[str, Sight], *, is_refused: bool) -> Proof:
    if own is not None and own.is_fresh:
        return Proof.DEMOTED if says_that_it_is_none(own) else Proof.NONE
    are_refused = bool(witnesses) and set(witnesses.values()) == {Sight.REFUSED}
    return Proof.REFUSED if is_refused and are_refused else Proof.NONE


def remembered(primaries: Mapping[str, Primary]) -> dict[str, Suspicion]:
    """The suspicions to keep; those not in it are forgotten."""
    return {key: it for primary in primaries.values() for key, it in primary.suspicions.items()}


def is_follower(copy: Shard) -> bool:
    return copy.role in (ShardRole.SECONDARY, ShardRole.RECOVERING)

"""Rules about knowing enough: identity, freshness, witnesses, confirmation, other controllers.
Pure.

Called by `safety.rules`. A missing piece of information is a reason not to act; only a person may
act on less, and only where these rules ask instead of deny.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicante.limits import AGENT_DOUBT_MS
from replicante.model.action_kinds import (
    CLUSTER_INIT,
    CONTROLLER_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.model.codec import Value
from replicante.model.converge_state import DoubtReason
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Sight
from replicante.orchestrate.named_args import contradiction, unlike_what_left
from replicante.orchestrate.proposal import Purpose
from replicante.orchestrate.roles.controllers import in_charge
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict, Proof
from replicante.orchestrate.safety.case import Case, Finding, Rule, allow, ask, deny, refuse

_BLIND = (NodeStatus.UNREACHABLE, NodeStatus.UNKNOWN, NodeStatus.INCOMPLETE)


def _identity_right(case: Case) -> Finding:
    proposal = case.proposal
    for node_id in (*_target(case), *proposal.touches):
        seen = case.situation.observations.get(node_id)
        if seen is not None and seen.answer is AgentAnswer.WRONG_IDS:
            return deny(
                f"the agent at the address of {node_id} speaks for another node:"
                f" {seen.message}; correct discovery or the agent",
                node_id=node_id,
            )
    told = None if proposal.action_id is None else contradiction(proposal, case.situation.view)
    if told is not None:
        return deny(f"{told}: cancel it, and ask with the right one, or with one of both")
    unlike = unlike_what_left(proposal, case.situation.view)
    if unlike is not None:
        return deny(f"{unlike}: it is taken back, and then leaves anew")
    return allow("every agent concerned is the one that discovery names")


def _discovery_trusted(case: Case) -> Finding:
    discovery = case.situation.view.discovery
    if case.proposal.purpose is Purpose.RECOVERY:
        return allow("a recovery works on the nodes that are known")
    if discovery.held is not None:
        return deny(
            f"the platform's last answer is held: {discovery.held.reason}; it is believed when"
            " it stays so, or when a person discovers with confirmation",
            since_ms=discovery.held.since_ms,
        )
    if not discovery.nodes and case.proposal.node_id is not None:
        return deny("discovery knows no node")
    return allow("discovery is not in doubt")


def _information_complete(case: Case) -> Finding:
    proposal, view = case.proposal, case.situation.view
    if not proposal.is_disruptive:
        return allow("it disturbs nothing that exists")
    if proposal.purpose is Purpose.RECOVERY:
        wanted = tuple(it for it in (*_target(case), *proposal.touches))
    else:
        wanted = view.node_ids
    if proposal.action_id is not None and proposal.node_id is not None:
        node = view.nodes.get(proposal.node_id)
        if node is None or node.node_status is NodeStatus.UNREACHABLE:
            return refuse(
                f"the agent of {proposal.node_id} does not answer; it waits until it does"
            )
    blind = [it for it in wanted if it not in proposal.spared and not _is_seen(case, it)]
    if blind:
        return deny(
            f"the state of {', '.join(blind)} is not known now; it waits until it is",
            nodes=list(blind),
        )
    return allow("every node concerned was seen in this cycle")


def _failure_confirmed(case: Case) -> Finding:
    proposal = case.proposal
    if not case.takes_for_dead or proposal.shard_id is None:
        return allow("nobody is declared dead")
    primary = case.situation.primaries.get(proposal.shard_id)
    if primary is None or primary.verdict is not PrimaryVerdict.GONE:
        reason = "nothing is known of the primary" if primary is None else primary.reason
        if proposal.is_asked_for and primary and primary.verdict is PrimaryVerdict.PRESENT:
            return deny(f"{reason}, and is there: ask for a switchover, which loses nothing")
        claims = _claims_beside(case, primary)
        if proposal.is_asked_for and claims:
            are = "are" if len(claims) > 1 else "is"
            told = f"{reason}, and {', '.join(claims)} {are} there: end the other claims first"
            return deny(told, claimants=list(claims))
        successors = [] if primary is None else _successors(primary)
        if proposal.is_by_name and successors:
            reason = f"{reason}, and {_may_be_primary(successors)}"
        if proposal.is_by_name:
            return ask(f"{reason}; a person who looked may approve", **_disbelieved(primary))
        if proposal.is_asked_for and successors:
            return deny(
                f"{reason}, and {_may_be_primary(successors)}: look at that first, or ask again"
                " when it was not seen for long enough",
                successors=list(successors),
            )
        if proposal.is_asked_for and primary and primary.has_stepped_down:
            return deny(
                f"{reason}; it may be primary no more, and who took over may not have been seen"
                " yet: ask again when it was looked at often enough"
            )
        if proposal.is_asked_for:
            return allow("a person says that the primary is gone")
        return deny(f"{reason}; it waits for proof or for more observations")
    count = 0 if primary.suspicion is None else primary.suspicion.count
    return allow(primary.reason, proof=str(primary.proof), observations=count)


def _claims_beside(case: Case, primary: Primary | None) -> tuple[str, ...]:
    """Nodes that were seen as primary in this cycle, but for the one that is to be it. A fence
    makes nobody primary: it is forbidden by the claim of the very node alone."""
    if primary is None:
        return ()
    proposal = case.proposal
    if proposal.action_kind == STORE_FENCE:
        return tuple(it for it in primary.claimants if it == primary.node_id)
    chosen = proposal.node_id if proposal.action_kind == STORE_PROMOTE else None
    return tuple(it for it in primary.claimants if it != chosen)


def _successors(primary: Primary) -> list[str]:
    """Who is not seen and may be primary in its place, sorted."""
    return sorted({*primary.unseen, *primary.heard})


def _may_be_primary(successors: list[str]) -> str:
    return f"{', '.join(successors)}, not seen now, may be primary in its place"


def _disbelieved(primary: Primary | None) -> dict[str, Value]:
    """Of which death a person is asked: the next one is another."""
    if primary is None:
        return {}
    since_ms = None if primary.suspicion is None else primary.suspicion.since_ms
    return {
        "primary": primary.node_id,
        "verdict": str(primary.verdict),
        "since_ms": since_ms,
        "claimants": list(primary.claimants),
        "successors": _successors(primary),
    }


def _witnesses_agree(case: Case) -> Finding:
    proposal = case.proposal
    if not case.takes_for_dead or proposal.shard_id is None:
        return allow("nobody is declared dead")
    primary = case.situation.primaries.get(proposal.shard_id)
    if primary is None:
        return deny("nothing is known of the primary")
    sights = {node_id: str(sight) for node_id, sight in primary.witnesses.items()}
    if primary.is_seen_by_a_copy and not primary.has_stepped_down:
        return deny(
            f"a copy still hears {primary.node_id}: the fault lies between us and it",
            witnesses=sights,
        )
    if primary.heard:
        return ask(
            f"{_heard_told(primary)}, not seen from here; a person who looked may approve",
            heard=list(primary.heard),
            witnesses=sights,
        )
    if proposal.is_asked_for or primary.proof is Proof.DEMOTED:
        return allow("no copy hears the primary", witnesses=sights)
    if not sights or not primary.can_copies_tell:
        return ask(
            "no copy can tell whether it hears the primary; a person who looked may approve",
            witnesses=sights,
        )
    return allow("no copy hears the primary", witnesses=sights)


def _heard_told(primary: Primary) -> str:
    others = ", ".join(it for it in primary.heard if it != primary.node_id)
    told = f"copies hear {others} in the place of {primary.node_id}" if others else ""
    if primary.node_id in primary.heard:
        own = f"{primary.node_id} may be primary no more, and copies still hear it"
        return f"{own}; {told}" if told else own
    return told


def _primary_present(case: Case) -> Finding:
    proposal = case.proposal
    if proposal.action_kind not in (STORE_SWITCHOVER, CONTROLLER_SWITCHOVER):
        return allow("no primary is asked to hand over")
    primary = case.situation.primaries.get(proposal.shard_id or "")
    if primary is None:
        return refuse("a switchover needs a healthy primary: nothing is known of it")
    evidence: dict[str, Value] = {"primary": primary.node_id, "verdict": str(primary.verdict)}
    if primary.verdict is not PrimaryVerdict.PRESENT:
        return refuse(f"a switchover needs a healthy primary: {primary.reason}", **evidence)
    if primary.node_id is None or primary.node_id != proposal.node_id:
        return refuse(f"a switchover is asked of the primary, {primary.node_id}", **evidence)
    unfit = dict(_why_no_handover(case, primary.node_id))
    if unfit and proposal.is_asked_for:
        return deny("; ".join(unfit.values()), why=list(unfit), **evidence)
    return allow("the primary that is asked is there", **evidence)


def _why_no_handover(case: Case, primary: str) -> Iterator[tuple[str, str]]:
    """In words that stay the same, each with its reason."""
    proposal, view = case.proposal, case.situation.view
    if not view.is_healthy(primary):
        node = view.nodes.get(primary)
        status = NodeStatus.UNKNOWN if node is None else node.node_status
        yield f"primary {primary} {status}", f"the primary {primary} is {status}, not HEALTHY"
    successor = str(proposal.args.get("node_id") or "")
    copy = view.shards.get(successor, {}).get(proposal.shard_id or "")
    upstream = None if copy is None else copy.upstream
    if upstream is not None and upstream.sight in (Sight.DOWN, Sight.REFUSED):
        yield f"link {successor} {upstream.sight}", f"{successor} does not hear the primary"


def _no_foreign_controller(case: Case) -> Finding:
    others, kind = in_charge(case.situation), case.proposal.action_kind
    found: dict[str, Value] = {node_id: list(it) for node_id, it in others.seen.items()}
    names = ", ".join(others.names)
    if kind in THROUGH_KINDS:
        if others.through is None:
            return deny("there is no single controller that roles may be changed through")
        return allow(
            f"{others.through} is in charge, and the declaration has it asked", controllers=found
        )
    if case.proposal.changes_roles and others.names:
        rests_ms = others.remembered
        if not found and rests_ms:
            return deny(
                f"{', '.join(rests_ms)} was in charge of roles and is not seen now; what was taken"
                f" away counts no more in {max(rests_ms.values())} ms",
                remembered=dict(rests_ms),
            )
        if not found:
            return deny(
                f"the declaration leaves roles to {names}, which is not seen now; start it, or"
                " take it out of spec.declaration.controllers"
            )
        return deny(
            f"{names} is in charge of roles; set spec.declaration.controllers to have it asked, or"
            " take it away first",
            controllers=found,
        )
    if not found and not others.remembered:
        return allow("no other controller is seen")
    if kind == CLUSTER_INIT:
        return deny(f"{names} is in charge of roles already", controllers=found)
    return allow("another controller is seen, but roles are not changed", controllers=found)


def _agents_fenced(case: Case) -> Finding:
    view = case.situation.view
    if case.proposal.node_id is None:
        return allow("no agent is asked")
    unfenced = [
        node_id
        for node_id in (*_target(case), *case.proposal.touches)
        # Whoever is asked must keep the epoch, in whatever state the node is; spared is only a
        # node that is spoken of.
        if (node_id == case.proposal.node_id or node_id not in case.proposal.spared)
        and (node := view.nodes.get(node_id)) is not None
        and not node.is_fenced
    ]
    if not unfenced:
        return allow("every agent concerned keeps the epoch")
    if view.spec.declaration.is_unfenced_allowed:
        return allow("agents keep no epoch, and that is declared to be fine", nodes=list(unfenced))
    if case.proposal.is_asked_for:
        return allow("agents keep no epoch, and a person asked for it", nodes=list(unfenced))
    return deny(
        f"the agents of {', '.join(unfenced)} keep no epoch, so a worker of the past could act"
        " too; set spec.declaration.allow_unfenced to accept that",
        nodes=list(unfenced),
    )


def _agent_remembers(case: Case) -> Finding:
    proposal = case.proposal
    doubt = case.situation.state.doubts.get(proposal.node_id or "")
    if proposal.is_asked_for or doubt is None:
        return allow("nothing that its agent said of its actions contradicts what is known")
    rest_ms = max(0, doubt.last_ms + AGENT_DOUBT_MS - case.situation.now_ms)
    return ask(
        f"the agent of {proposal.node_id} {_DOUBTS[doubt.reason]}, so an action might be carried"
        f" out twice; it is believed again when it answers like one for {rest_ms} ms more, or a"
        " person who looked may approve",
        doubt=str(doubt.reason),
        rest_ms=rest_ms,
        **doubt.evidence,
    )


_DOUBTS = {
    DoubtReason.DENIED: "denies an action that it had taken",
    DoubtReason.FORGOT: "lost what it kept while it may have had an action",
    DoubtReason.DOUBLED: "is answered for by two processes",
}


def _target(case: Case) -> tuple[str, ...]:
    return () if case.proposal.node_id is None else (case.proposal.node_id,)


def _is_seen(case: Case, node_id: str) -> bool:
    view = case.situation.view
    node = view.nodes.get(node_id)
    if node is None or node.node_status in _BLIND:
        return False
    return all(copy.is_fresh for copy in view.copies_on(node_id))


EVIDENCE_RULES = (
    Rule(
        name="identity_right",
        promise="Nothing is done to or about a node whose agent gives another identity, or under"
        " the address of another one.",
        judge=_identity_right,
    ),
    Rule(
        name="discovery_trusted",
        promise="Nothing planned is done while a suspicious answer of the platform is held.",
        judge=_discovery_trusted,
        measures=("since_ms",),
        is_yielding=True,
    ),
    Rule(
        name="information_complete",
        promise="What disturbs is done only when every node concerned was seen.",
        judge=_information_complete,
        measures=("nodes",),
        is_yielding=True,
    ),
    Rule(
        name="failure_confirmed",
        promise="No primary is replaced on one silent look.",
        judge=_failure_confirmed,
        measures=("primary", "verdict", "since_ms", "claimants", "successors"),
    ),
    Rule(
        name="witnesses_agree",
        promise="No primary is replaced while a copy still hears it, nor past one that copies hear"
        " in its place.",
        judge=_witnesses_agree,
        measures=("heard",),
    ),
    Rule(
        name="primary_present",
        promise="Nobody is asked to hand over but the primary that is there; a person asks a sick"
        " one, or for a successor that does not hear it, only knowingly.",
        judge=_primary_present,
        measures=("why",),
        is_yielding=True,
    ),
    Rule(
        name="no_foreign_controller",
        promise="Beside Sentinel or another controller roles are changed by that one alone.",
        judge=_no_foreign_controller,
    ),
    Rule(
        name="agents_fenced",
        promise="Automation acts only where a worker of the past is refused, unless declared.",
        judge=_agents_fenced,
    ),
    Rule(
        name="agent_remembers",
        promise="Automation asks nothing of an agent that contradicts itself about its actions.",
        judge=_agent_remembers,
        measures=("doubt",),
    ),
)

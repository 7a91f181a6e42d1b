"""Rules about the data itself: loss, beginning, growing, and what must stay healthy. Pure.

Called by `safety.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicante.model.action_kinds import (
    CLUSTER_ADD,
    CLUSTER_INIT,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    PLATFORM_DEPROVISION,
    SERVICE_RESTART,
    SERVICE_STOP,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.model.codec import Value
from replicante.model.node import WRITES_PROTECTED, Node, NodeStatus
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.roles.candidates import Candidate, candidates
from replicante.orchestrate.roles.claims import claim_followed
from replicante.orchestrate.safety.case import Case, Finding, Rule, allow, ask, deny

_TAKES_AWAY = (SERVICE_STOP, CLUSTER_REMOVE, PLATFORM_DEPROVISION)
_ENDS_A_PROCESS = (SERVICE_STOP, SERVICE_RESTART, STORE_FENCE)


def _candidate_fit(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    chosen: str | None
    if proposal.is_question:
        chosen, replaces = str(proposal.args["to"]), _replaced(case)
    elif proposal.action_kind == STORE_PROMOTE:
        chosen, replaces = proposal.node_id, _replaced(case)
    elif proposal.action_kind == STORE_SWITCHOVER:
        chosen, replaces = str(proposal.args.get("node_id") or ""), proposal.node_id or ""
    elif proposal.action_kind in THROUGH_KINDS:
        chosen, replaces = None, str(proposal.args.get("replaces") or "")
    else:
        return allow("nobody is made primary")
    found = candidates(
        situation.view,
        situation.state,
        shard_id=proposal.shard_id or "",
        replaces=replaces,
        now_ms=situation.now_ms,
    )
    if chosen is None:
        fit = [it.node_id for it in found if it.is_eligible]
        if not fit:
            return deny("no copy may become primary")
        return allow(f"the controller in charge chooses; fit: {', '.join(fit)}")
    for candidate in found:
        if candidate.node_id == chosen:
            return _fitness(case, candidate)
    return deny(f"{chosen} holds no copy of the shard")


def _fitness(case: Case, candidate: Candidate) -> Finding:
    chosen, against = candidate.node_id, "; ".join(candidate.reasons)
    if candidate.is_eligible:
        return allow(f"{chosen} may become primary")
    by_a_word = f"{chosen} may become primary only by the word of a person: {against}"
    if case.proposal.is_by_name and candidate.overrides is not None:
        return ask(by_a_word, overrides=list(candidate.overrides))
    if not candidate.is_fit(case.proposal.overrides):
        return deny(f"{chosen} may not become primary: {against}")
    overrides: list[Value] = list(case.proposal.overrides)
    if case.proposal.is_question:
        return ask(by_a_word, overrides=overrides)
    return allow(f"a person sets aside what stands against it: {against}", overrides=overrides)


def _replaced(case: Case) -> str:
    """The primary that a failover goes past."""
    primary = case.situation.primaries.get(case.proposal.shard_id or "")
    return str(case.proposal.args.get("replaces") or (primary and primary.node_id) or "")


def _loss_bounded(case: Case) -> Finding:
    proposal = case.proposal
    if not case.takes_for_dead:
        return allow("it goes past no primary")
    bound = case.situation.view.spec.declaration.policies.data_loss_offset_max
    if proposal.accepted_loss is not None:
        bound = proposal.accepted_loss
    known = proposal.loss.known_min
    if proposal.is_any_loss_accepted:
        return allow("a person accepts whatever would be lost", known_min=known)
    is_priced = proposal.is_question or proposal.is_by_name
    if is_priced and (known is None or bound is None or known > bound):
        return ask(
            f"its price, which a person may accept: {proposal.loss.text}",
            known_min=known,
            unheard=proposal.loss.unheard,
            unheard_of=list(proposal.loss.unheard_of),
        )
    if known is None:
        return deny("what would be lost cannot be said")
    if bound is None:
        return ask(
            "spec.declaration.policies.data_loss_offset declares no bound, so every loss asks",
            known_min=known,
            unheard=proposal.loss.unheard,
            unheard_of=list(proposal.loss.unheard_of),
        )
    if known > bound:
        return deny(
            f"at least {known} {proposal.loss.unit} would be lost, {bound} are accepted; wait for"
            " a copy that has more, or ask for a failover that accepts the loss",
            known_min=known,
            bound=bound,
        )
    return _unheard(case, known=known, bound=bound)


def _unheard(case: Case, *, known: int, bound: int) -> Finding:
    """What is known to be lost is within the bound. The rest is bounded by the copy's link, or by a
    primary that took nothing that no copy heard."""
    loss, policies = case.proposal.loss, case.situation.view.spec.declaration.policies
    evidence: dict[str, Value] = {"known_min": known, "bound": bound}
    if not loss.unheard:
        return allow(f"{known} of at most {bound} would be lost", **evidence)
    evidence |= {"unheard": loss.unheard, "unheard_of": list(loss.unheard_of)}
    evidence["blind_ms"] = loss.blind_ms
    if case.proposal.accepted_loss is not None:
        return allow("a person asked for it and accepts the loss", **evidence)
    if policies.is_unheard_loss_accepted:
        return allow("spec.declaration.policies.accept_unheard_loss accepts it", **evidence)
    extras = case.situation.view.extras.get(_replaced(case))
    if extras is not None and extras.attributes.get(WRITES_PROTECTED) is True:
        return allow("the primary told that it refuses what no copy hears", **evidence)
    return ask(
        f"{loss.unheard}, so what it wrote then is lost and nobody knows how much; a person who"
        " knows may approve, and spec.declaration.policies.accept_unheard_loss accepts it ahead",
        **evidence,
    )


def _claims_respected(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    is_fence = proposal.action_kind == STORE_FENCE and not case.takes_for_dead
    if proposal.action_kind not in _TAKES_AWAY and not case.gives_up and not is_fence:
        return allow("no claim is ended")
    view, state = situation.view, situation.state
    taken = (proposal.node_id if is_fence else _taken(case)) or ""
    shards = [it for it, claims in state.claimed.items() if taken in claims]
    follows: dict[str, Value] = {}
    for copy in view.copies_on(taken):
        primary = situation.primaries.get(copy.shard_id)
        leader = None if primary is None else primary.node_id
        source = claim_followed(view, state, copy, leader or "")
        if source:
            follows[copy.shard_id] = source
    reasons: list[str] = []
    evidence: dict[str, Value] = {}
    if shards:
        evidence["shards"] = list(shards)
        reasons.append(
            f"{taken} called itself primary and is not known to have been replaced: what it holds"
            " may be all that there is"
        )
    if follows:
        evidence["follows"] = follows
        sources = ", ".join(sorted({str(it) for it in follows.values()}))
        reasons.append(
            f"{taken} follows {sources}, which may be the right primary: its copy may be the last"
            " one"
        )
    if reasons:
        return ask(f"{'; '.join(reasons)}; a person who looked may approve", **evidence)
    replaced = {it: known[taken] for it, known in state.replaced.items() if taken in known}
    if replaced:
        return allow(f"{taken} was replaced by an act that is known", replaced=dict(replaced))
    return allow(f"{taken} is no primary that nobody replaced")


def _initialise_only_virgin(case: Case) -> Finding:
    if case.proposal.action_kind != CLUSTER_INIT:
        return allow("no cluster is begun")
    view = case.situation.view
    if not view.node_ids:
        return deny("no node is discovered")
    others = {
        node_id: "never seen"
        if (node := view.nodes.get(node_id)) is None
        else str(node.node_status)
        for node_id in view.node_ids
    }
    wrong = {it: status for it, status in others.items() if status != NodeStatus.NOT_IN_CLUSTER}
    if wrong:
        names = ", ".join(f"{it} is {status}" for it, status in wrong.items())
        return deny(f"every node must say NOT_IN_CLUSTER: {names}", nodes=dict(wrong))
    if case.situation.state.appointed:
        return deny("this cluster was begun before: it had a primary", shards=sorted(view.shards))
    return allow("every node says NOT_IN_CLUSTER")


def _grow_from_primary(case: Case) -> Finding:
    proposal, view = case.proposal, case.situation.view
    if proposal.action_kind not in (CLUSTER_ADD, CLUSTER_JOIN):
        return allow("no node is taken in")
    member = proposal.node_id
    if proposal.action_kind == CLUSTER_JOIN:
        member = proposal.touches[0] if proposal.touches else None
    address = proposal.args.get("node")
    if not isinstance(address, str) or not address:
        return deny("the member address that the action needs is not known", why=["no address"])
    why: list[Value] = []
    if member is None or not view.is_healthy(member):
        why.append("is not HEALTHY")
    copies = () if member is None else view.copies_on(member)
    if not any(copy.is_fresh and copy.role is ShardRole.PRIMARY for copy in copies):
        why.append("holds no primary")
    if why:
        told = f"{member or address} {' and '.join(map(str, why))}"
        return deny(told, why=why, member=member or address)
    return allow(f"{member} is HEALTHY and holds a primary")


def _majority_kept(case: Case) -> Finding:
    proposal, view = case.proposal, case.situation.view
    known = [node_id for node_id in view.node_ids if view.copies_on(node_id)]
    healthy = [node_id for node_id in known if view.is_healthy(node_id)]
    evidence = {"healthy": list(healthy), "known": list(known)}
    if case.takes_for_dead:
        gone = _replaced(case)
        others = [node_id for node_id in known if node_id != gone]
        seen = [node_id for node_id in healthy if node_id != gone]
        was_weighed = proposal.is_asked_for and not proposal.is_by_name
        if was_weighed or 2 * len(seen) > len(others):
            return allow("a majority of the other copies is seen", **evidence)
        return ask(
            f"only {len(seen)} of {len(others)} other copies are seen; one that is not may have"
            " more; a person who knows may approve",
            missing=[node_id for node_id in others if node_id not in seen],
            **evidence,
        )
    if not _takes_out(case):
        return allow("nobody is taken out")
    if not known:
        return allow("nobody holds anything yet")
    leaving = {it for it in (_taken(case),) if it is not None}
    left = [node_id for node_id in healthy if node_id not in leaving]
    if case.gives_up and not _is_in_use(case, proposal.node_id or ""):
        return allow("it does not do its job now, so it cannot be missed", **evidence)
    is_process = proposal.is_by_name and proposal.action_kind in _ENDS_A_PROCESS
    if is_process and not leaving & {*healthy}:
        return allow("it is not healthy now, so it cannot be missed", **evidence)
    if 2 * len(left) <= len(known):
        return deny(
            f"{len(left)} of {len(known)} nodes would be left healthy, which is no majority",
            missing=[node_id for node_id in known if node_id not in {*left} | leaving],
            **evidence,
        )
    return allow("enough nodes stay healthy", **evidence)


def _is_in_use(case: Case, node_id: str) -> bool:
    """It is healthy and follows somebody whom it hears."""
    view = case.situation.view
    return view.is_healthy(node_id) and any(
        copy.is_fresh and copy.upstream is not None and copy.upstream.sight is Sight.UP
        for copy in view.copies_on(node_id)
    )


def _takes_out(case: Case) -> bool:
    """Somebody, for good or for a while. Steps fence who hangs already."""
    proposal = case.proposal
    is_process = proposal.is_by_name and proposal.action_kind in _ENDS_A_PROCESS
    is_away = proposal.action_kind in _TAKES_AWAY or case.gives_up
    return is_away or (is_process and not case.takes_for_dead)


def _taken(case: Case) -> str | None:
    if case.gives_up or case.proposal.action_kind in _ENDS_A_PROCESS:
        return case.proposal.node_id
    node_id = case.proposal.args.get("node_id")
    return node_id if isinstance(node_id, str) else None


def _primary_not_removed(case: Case) -> Finding:
    if not _takes_out(case):
        return allow("nobody is taken out")
    taken = _taken(case)
    node = case.situation.view.nodes.get(taken or "")
    if node is None or node.seen_ms is None:
        return deny(f"{taken} was never seen: it may be the primary of something", why=["unseen"])
    # All of it: who is told of the first alone would approve what joins it later.
    why = dict(_why_not_removed(case, node))
    if why:
        return deny("; ".join(why.values()), why=list(why))
    return allow("another node is seen as primary of all that it holds")


def _why_not_removed(case: Case, node: Node) -> Iterator[tuple[str, str]]:
    """What stands against it, in words that stay the same, each with its reason."""
    situation, taken, kind = case.situation, node.node_id, case.proposal.action_kind
    copies = situation.view.copies_on(taken)
    is_outside = node.node_status is NodeStatus.NOT_IN_CLUSTER or taken in situation.state.removed
    if situation.is_begun and not is_outside:
        if kind == PLATFORM_DEPROVISION:
            yield "member", f"{taken} is not forgotten: it may hold what nobody else has"
        elif not copies:
            yield "untold", f"{taken} never told what it holds"
    named: set[str] = set()
    for shard_id, primary in situation.primaries.items():
        if primary.node_id == taken:
            named.add(shard_id)
            yield f"primary {shard_id}", f"{taken} is the primary of shard {shard_id}"
        elif not case.gives_up and taken in primary.claimants:
            named.add(shard_id)
            yield f"claimant {shard_id}", f"{taken} calls itself primary of shard {shard_id}"
    for copy in copies:
        others = [
            other
            for other in situation.view.copies(copy.shard_id)
            if other.node_id != taken and other.is_fresh and other.role is ShardRole.PRIMARY
        ]
        if not others and copy.shard_id not in named:
            told = f"no other node is seen as primary of shard {copy.shard_id}"
            yield f"copy {copy.shard_id}", told


DATA_RULES = (
    Rule(
        name="candidate_fit",
        promise="Nobody becomes primary who recovers, is unhealthy, or has another history.",
        judge=_candidate_fit,
        measures=("overrides",),
    ),
    Rule(
        name="loss_bounded",
        promise="No copy is promoted that may lack more than the declared bound, unless asked.",
        judge=_loss_bounded,
        measures=("known_min", "unheard_of"),
    ),
    Rule(
        name="claims_respected",
        promise="Who calls itself primary is not demoted, nor is a copy taken from it, unless it"
        " is known to have been replaced, or a person approves.",
        judge=_claims_respected,
        measures=("shards", "follows"),
    ),
    Rule(
        name="initialise_only_virgin",
        promise="A cluster is begun only when every node says that it is in none.",
        judge=_initialise_only_virgin,
        measures=("nodes", "shards"),
        is_yielding=True,
    ),
    Rule(
        name="grow_from_primary",
        promise="Nodes are taken in from a healthy member that holds a primary.",
        judge=_grow_from_primary,
        measures=("why", "member"),
        is_yielding=True,
    ),
    Rule(
        name="majority_kept",
        promise="What is done leaves a majority healthy, or asks.",
        judge=_majority_kept,
        measures=("missing",),
        is_yielding=True,
    ),
    Rule(
        name="primary_not_removed",
        promise="The only primary of a shard is never demoted or removed.",
        judge=_primary_not_removed,
        measures=("why",),
        is_yielding=True,
    ),
)

"""Defects of what is believed of a named action: who claims, who is heard, what its words say."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ACTING = "orchestrate/actions/acting.py"
_CLAIMS = "orchestrate/roles/claims.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_DATA = "orchestrate/safety/rules_data.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_NAMED_ARGS = "orchestrate/named_args.py"
_PRIMARIES = "orchestrate/roles/primaries.py"
_PROGRESS = "orchestrate/memory/progress.py"
_PROPOSAL = "orchestrate/proposal.py"


def _args(name: str) -> str:
    return unit_test("orchestrate_by_name_args", name)


def _evidence(name: str) -> str:
    return unit_test("orchestrate_by_name_evidence", name)


def _follow(name: str) -> str:
    return unit_test("orchestrate_by_name_follow", name)


NAMED_MUTANTS = (
    Mutant(
        "a_claim_silences_the_witnesses",
        "another node's claim does not hide that a copy hears the primary (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "        claimants=claimants,\n        suspicions=",
                "        claimants=claimants,\n        witnesses={},\n        suspicions=",
            ),
        ),
        test=_evidence("a_claim_of_another_node_does_not_hide_that_copies_hear_the_primary"),
    ),
    Mutant(
        "a_third_primary_where_none_was_appointed",
        "nobody is promoted beside a claim of another node, known or not (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                "    if proposal.action_kind == STORE_FENCE:\n        return tuple(",
                "    if proposal.is_asked_for:\n        return tuple(",
            ),
        ),
        test=_evidence("nobody_approves_a_third_primary_beside_two_of_which_none_was_appointed"),
    ),
    Mutant(
        "a_claim_that_nobody_was_shown",
        "who approved beside one claim did not approve beside two (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                '"since_ms", "claimants", "successors"),\n',
                '"since_ms", "successors"),\n',
            ),
        ),
        test=_evidence("a_fence_approved_beside_one_claim_is_asked_about_again_beside_two"),
    ),
    Mutant(
        "a_sick_primary_hands_over_unasked",
        "a person asks a sick primary to hand over only knowingly (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                "    if not view.is_healthy(primary):\n        node = ",
                "    if not primary:\n        node = ",
            ),
        ),
        test=_evidence("a_switchover_by_name_of_a_sick_primary_is_asked_about"),
    ),
    Mutant(
        "a_deaf_successor_unasked",
        "a person asks for a successor that does not hear the primary only knowingly (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                "    if upstream is not None and upstream.sight in (Sight.DOWN, Sight.REFUSED):\n",
                "    if upstream is not None and upstream.sight is Sight.REFUSED:\n",
            ),
        ),
        test=_evidence(
            "a_switchover_by_name_to_a_copy_that_does_not_hear_the_primary_is_asked_about"
        ),
    ),
    Mutant(
        "a_join_gives_up_unasked",
        "a member that joins another node anew is judged as one that rejoins (ADR 0102)",
        (
            Edit(
                _PROPOSAL,
                "    if kind != CLUSTER_JOIN and not is_start:\n",
                "    if not is_start:\n",
            ),
        ),
        test=_follow("the_appointed_primary_joins_a_claimant_only_by_approval"),
    ),
    Mutant(
        "a_blank_node_gives_up",
        "a node that has nothing gives up nothing (ADR 0102)",
        (
            Edit(
                _PROPOSAL,
                '    return not view.is_blank(proposal.node_id or "")\n',
                "    return proposal.node_id is not None\n",
            ),
        ),
        test=_follow("a_blank_node_joins_without_a_question"),
    ),
    Mutant(
        "started_as_a_copy_unjudged",
        "a node that is started behind another one is judged before (ADR 0102)",
        (
            Edit(
                _PROPOSAL,
                "        and is_start_as_copy(action.kind, action.args)\n",
                "        and action.args is action\n",
            ),
        ),
        test=_follow("a_dead_primary_is_started_as_a_copy_only_by_approval"),
    ),
    Mutant(
        "started_as_a_copy_beside_another",
        "a start behind a named node disturbs for as long as its agent has it (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "    return does_disturb(action) and not (is_setting and is_recovery)\n",
                "    is_start = action.kind.endswith('service.start')\n"
                "    return does_disturb(action) and not is_start and not (is_setting and"
                " is_recovery)\n",
            ),
        ),
        test=_follow("nothing_disturbs_beside_a_start_behind_a_named_node_without_a_question"),
    ),
    Mutant(
        "started_as_a_copy_and_forgotten",
        "a start behind a named node that was cancelled at a silent agent may run (ADR 0102)",
        (
            Edit(
                _PROGRESS,
                "        if does_disturb(action):\n",
                "        is_start = action.kind.endswith('service.start')\n"
                "        if does_disturb(action) and not is_start:\n",
            ),
        ),
        test=_follow("a_start_that_was_cancelled_at_a_silent_agent_may_run_still"),
    ),
    Mutant(
        "a_claim_ends_by_another_name",
        "a claim is ended only by approval, whatever the action is called (ADR 0102)",
        (
            Edit(
                _DATA,
                "    if proposal.action_kind not in _TAKES_AWAY and not case.gives_up"
                " and not is_fence:\n",
                "    if proposal.action_kind not in (*_TAKES_AWAY, STORE_FENCE):\n",
            ),
        ),
        test=_follow("a_dead_claimant_is_started_as_a_copy_only_by_approval"),
    ),
    Mutant(
        "judged_on_one_sent_to_another",
        "the address that is sent is that of the node that was judged (ADR 0102)",
        (
            Edit(
                _NAMED_ARGS,
                "    if found == named or (found is None and own in (None, address)):\n",
                "    if found is not None or own in (None, address):\n",
            ),
        ),
        test=_args("an_address_that_is_not_that_of_the_named_node_is_refused"),
    ),
    Mutant(
        "sent_as_it_was_written",
        "what was judged is what is sent and remembered (ADR 0102)",
        (
            Edit(
                _ACTING,
                "            after = as_judged(after, proposal)\n",
                "            code = code or None\n",
            ),
        ),
        test=_args("a_promotion_without_args_is_remembered_as_what_it_was_judged_to_be"),
    ),
    Mutant(
        "nobody_known_and_one_replaced",
        "where no primary is known, nobody counts as replaced (ADR 0102)",
        (
            Edit(
                _NAMED_ARGS,
                '        args["replaces"] = None if primary is None else primary.node_id\n',
                '        args.setdefault("replaces", primary and primary.node_id)\n',
            ),
        ),
        test=_args("where_no_primary_is_known_nobody_counts_as_replaced_by_what_a_person_wrote"),
    ),
    Mutant(
        "told_directly_and_believed",
        "whom an agent was told to replace exempts only the primary that is known (ADR 0102)",
        (
            Edit(
                _CLAIMS,
                "    return named if is_judged or named == appointed else None\n",
                "    return named\n",
            ),
        ),
        test=_args("what_an_agent_was_told_directly_exempts_only_the_primary_that_is_known"),
    ),
)

"""Defects of what is believed of a named action: who claims, who is heard, what its words say."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_DATA = "orchestrate/safety/rules_data.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_PRIMARIES = "orchestrate/primaries.py"
_PROPOSAL = "orchestrate/proposal.py"


def _evidence(name: str) -> str:
    return unit_test("orchestrate_by_name_evidence", name)


def _follow(name: str) -> str:
    return unit_test("orchestrate_by_name_follow", name)


NAMED_MUTANTS = (
    Mutant(
        "a_claim_silences_the_witnesses",
        "another node's claim does not hide that a copy hears the primary (ADR 0102)",
        (
            Edit(
                _PRIMARIES,
                "            witnesses={} if known is None else"
                " _witnesses(view, shard_id, primary=known),\n",
                "            witnesses={},\n",
            ),
        ),
        test=_evidence("a_claim_of_another_node_does_not_hide_that_copies_hear_the_primary"),
    ),
    Mutant(
        "a_third_primary_where_none_was_appointed",
        "nobody is promoted beside a claim of another node, known or not (ADR 0102)",
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
                '        measures=("primary", "verdict", "since_ms", "claimants"),\n',
                '        measures=("primary", "verdict", "since_ms"),\n',
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
                "    does_disturb = action.kind in DISRUPTIVE_KINDS or is_start_as_copy("
                "action.kind, action.args)\n",
                "    does_disturb = action.kind in DISRUPTIVE_KINDS\n",
            ),
        ),
        test=_follow("a_dead_primary_is_started_as_a_copy_only_by_approval"),
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
)

"""Defects of what is believed of a named action: who claims, who is heard, what its words say."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_PRIMARIES = "orchestrate/primaries.py"


def _evidence(name: str) -> str:
    return unit_test("orchestrate_by_name_evidence", name)


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
)

"""Defects of what is known of a primary that is not there: who may be it in its place."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_PRIMARIES = "orchestrate/roles/primaries.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_CONDITIONS = "orchestrate/conditions.py"


def _successors(name: str) -> str:
    return unit_test("orchestrate_successors", name)


def _demoted(name: str) -> str:
    return unit_test("orchestrate_demoted", name)


SUCCESSOR_MUTANTS = (
    Mutant(
        "chain_hides_a_demoted_primary",
        "whoever hears a node that is primary no more hears no primary (ADR 0105)",
        (Edit(_PRIMARIES, "        if is_none:\n", "        if False:\n"),),
        test=_demoted("who_is_behind_one_that_hears_nobody_hears_no_primary"),
    ),
    Mutant(
        "chain_is_not_followed",
        "a copy behind another one hears whom that one hears (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "        current = None if above.role is ShardRole.PRIMARY else above\n",
                "        current = None\n",
            ),
            Edit(
                _PRIMARIES,
                "for it in view.copies(shard_id) if it.is_fresh}\n",
                "for it in view.copies(shard_id) if it.is_fresh and it.node_id != known}\n",
            ),
        ),
        test=_demoted("who_is_behind_one_that_hears_another_one_hears_that_one"),
    ),
    Mutant(
        "measured_by_what_it_was",
        "a former primary that is a copy now is measured by what it holds (ADR 0105)",
        (
            Edit(
                "orchestrate/roles/candidates.py",
                "not is_primary and not is_copy:",
                "not is_primary:",
            ),
        ),
        test=_demoted("who_went_over_to_another_history_is_followed_by_who_did_so_too"),
    ),
    Mutant(
        "outsider_is_nobody",
        "an address that is none of a node's may be the primary's (ADR 0105)",
        (Edit(_PRIMARIES, "return source or upstream.address\n", "return source\n"),),
        test=_demoted("an_address_that_is_none_of_a_node_is_asked_about_too"),
    ),
    Mutant(
        "looks_at_a_living_successor_count",
        "looks in which a copy hears the successor prove nothing of its death (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "        suspicions |= _standing_still(look, found)\n",
                "        suspicions[demoted] = _next(before.get(demoted), now_ms)\n",
            ),
        ),
        test=_demoted("a_copy_behind_it_does_not_hide_that_the_primary_said_it_is_none"),
    ),
    Mutant(
        "successor_passed_by_on_a_word",
        "a person's word does not go past one that may be primary in its place (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                "        if proposal.is_asked_for and successors:\n",
                "        if False:\n",
            ),
            Edit(
                _EVIDENCE,
                "        if proposal.is_asked_for and primary and primary.has_stepped_down:\n",
                "        if proposal.is_asked_for and primary and primary.proof is Proof.DEMOTED:"
                "\n",
            ),
        ),
        test=_successors("a_successor_that_was_seen_a_look_ago_is_not_passed_by_on_a_persons_word"),
    ),
    Mutant(
        "second_claimant_passed_by_on_a_word",
        "who was primary by its last word may be it still (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                "sorted({*primary.unseen, *primary.heard})",
                "sorted({*primary.heard})",
            ),
        ),
        test=_successors("nor_one_of_two_claimants_of_before"),
    ),
    Mutant(
        "lost_switchover_came_to_nothing",
        "a switchover that its agent forgot may have come through (ADR 0105)",
        (
            Edit(
                "orchestrate/memory/progress.py",
                "action.kind in HANDOVER_KINDS and action.phase is NActionPhase.LOST and",
                "False and",
            ),
        ),
        test=_successors("a_switchover_that_was_lost_may_have_come_through"),
    ),
    Mutant(
        "question_without_the_successor",
        "a question names who may be primary (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                '"claimants", "successors"),',
                '"claimants"),',
            ),
        ),
        test=_successors("who_asks_by_name_is_told_who_may_be_primary"),
    ),
    Mutant(
        "forgotten_with_its_machine",
        "a primary that left discovery is missed still (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "    if appointed is not None:\n        return appointed\n",
                "    if appointed in view.node_ids:\n        return appointed\n",
            ),
        ),
        test=_successors("a_primary_that_left_discovery_is_missed_still"),
    ),
    Mutant(
        "outage_without_a_word",
        "a shard of which nobody is known to be primary is told of (ADR 0105)",
        (
            Edit(
                _CONDITIONS,
                "            case PrimaryVerdict.DISPUTED | PrimaryVerdict.NEVER:\n"
                '                yield "primary_unknown", subject, primary.reason, evidence\n',
                "            case PrimaryVerdict.DISPUTED | PrimaryVerdict.NEVER:\n"
                "                pass\n",
            ),
        ),
        test=_successors("a_shard_that_two_nodes_led_and_none_leads_is_told_of"),
    ),
)

"""Defects of what is known of a primary that is not there: who may be it in its place."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_PRIMARIES = "orchestrate/roles/primaries.py"
_WITNESSES = "orchestrate/roles/witnesses.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_CONDITIONS = "orchestrate/conditions.py"


def _successors(name: str) -> str:
    return unit_test("orchestrate_successors", name)


def _demoted(name: str) -> str:
    return unit_test("orchestrate_demoted", name)


def _heard(name: str) -> str:
    return unit_test("orchestrate_heard", name)


def _beside(name: str) -> str:
    return unit_test("orchestrate_heard_beside", name)


SUCCESSOR_MUTANTS = (
    Mutant(
        "any_role_but_primary_is_none",
        "a role that says nothing of a copy ends no veto (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "    return own.role is ShardRole.SECONDARY or is_copying\n",
                "    return own.role is not ShardRole.PRIMARY\n",
            ),
        ),
        test=_beside("a_role_that_says_nothing_of_a_copy_ends_no_veto"),
    ),
    Mutant(
        "hearsay_beside_who_is_heard",
        "hearsay makes no question of a primary that copies hear (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "        heard = heard | {known} if said_so else set()\n",
                "        heard = heard | {known} if said_so else heard\n",
            ),
            Edit(
                _PRIMARIES,
                "    if found.is_seen_by_a_copy and not found.has_stepped_down:\n",
                "    if found.is_seen_by_a_copy and not found.heard:\n",
            ),
            Edit(
                _EVIDENCE,
                "    if primary.is_seen_by_a_copy and not primary.has_stepped_down:\n",
                "    if primary.is_seen_by_a_copy and not primary.heard:\n",
            ),
        ),
        test=_beside("nor_does_a_claim_that_another_copy_hears"),
    ),
    Mutant(
        "pointing_is_going_over",
        "who was started anew is measured by what it told as the primary (ADR 0105)",
        (
            Edit(
                "orchestrate/roles/candidates.py",
                "        and old.history_id != led.history_id\n",
                "",
            ),
        ),
        test=_beside(
            "who_was_started_anew_behind_another_one_is_measured_by_what_it_told_as_the_primary"
        ),
    ),
    Mutant(
        "outlived_by_who_stepped_down",
        "one that stepped down itself outlives no promotion (ADR 0100)",
        (
            Edit(
                "orchestrate/memory/outlived.py",
                "(is_heard and not primary.has_stepped_down)\n",
                "is_heard\n",
            ),
        ),
        test=_beside("one_that_stepped_down_itself_outlives_no_promotion"),
    ),
    Mutant(
        "lost_switchover_of_anybody",
        "a lost switchover says something of its own primary alone (ADR 0105)",
        (
            Edit(
                "orchestrate/memory/progress.py",
                "        if is_lost and shard_id and may_lead:\n",
                "        if is_lost and shard_id:\n",
            ),
        ),
        test=_beside("the_lost_switchover_of_a_former_primary_says_nothing_of_the_new_one"),
    ),
    Mutant(
        "untold_end_vetoes_for_ever",
        "a link whose end nobody tells is a question past a primary that refuses (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "is_veto = sight is Sight.UP and not is_gone\n",
                "is_veto = sight is Sight.UP\n",
            ),
        ),
        test=_beside("a_link_whose_end_nobody_tells_does_not_veto_past_a_primary_that_refuses"),
    ),
    Mutant(
        "names_without_end",
        "what is remembered of whom copies hear is bounded (ADR 0105)",
        (
            Edit(_PRIMARIES, "in latest[:HEARD_NAMES_MAX]}", "in latest}"),
            Edit(_PRIMARIES, "if not _is_confirmed(look, it)}", "if name}"),
        ),
        test=_beside("many_names_that_are_heard_in_turn_are_one_question_and_no_growth"),
    ),
    Mutant(
        "moved_copies_tell_nothing",
        "nobody goes past whom copies were told to follow (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "has_stepped_down or end in unseen or is_moved or",
                "has_stepped_down or",
            ),
        ),
        test=_heard("nor_where_only_one_copy_was"),
    ),
    Mutant(
        "any_chain_asks",
        "a chain of before asks for no person (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "has_stepped_down or end in unseen or is_moved or",
                "end or",
            ),
        ),
        test=_heard("a_chain_that_was_there_before_slows_no_failover"),
    ),
    Mutant(
        "full_copy_of_a_primary",
        "who copies another one is primary no more (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "    return own.role is ShardRole.SECONDARY or is_copying\n",
                "    return own.role is ShardRole.SECONDARY\n",
            ),
        ),
        test=_heard("nor_does_anybody_hear_a_primary_in_it_when_its_source_has_died"),
    ),
    Mutant(
        "one_silent_look_forgets_who_was_heard",
        "a link that is down for a look ends no question (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "    names |= dict.fromkeys(found.heard, now)\n",
                "    names = dict.fromkeys(found.heard, now)\n",
            ),
        ),
        test=_heard("a_link_that_flaps_ends_in_a_question"),
    ),
    Mutant(
        "untold_is_nobody",
        "a link whose end no agent tells may be one to the successor (ADR 0105)",
        (Edit(_WITNESSES, "            return UNTOLD\n", "            return None\n"),),
        test=_heard("where_no_agent_tells_whom_a_copy_follows_a_person_is_asked"),
    ),
    Mutant(
        "any_link_vetoes_for_one_without_address",
        "a copy of another node does not hear one that left discovery (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "is_any = end is None or (address is None and view.node_at(end) is None)",
                "is_any = end is None or address is None",
            ),
        ),
        test=_heard("one_whose_address_is_not_known_is_not_whom_copies_of_others_hear"),
    ),
    Mutant(
        "stepped_down_and_vetoed_for_ever",
        "copies of one that stepped down and is silent lead to a question (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "    if found.is_seen_by_a_copy and not found.has_stepped_down:\n",
                "    if found.is_seen_by_a_copy:\n",
            ),
        ),
        test=_heard(
            "one_that_stepped_down_and_is_heard_while_its_agent_is_silent_ends_in_a_question"
        ),
    ),
    Mutant(
        "chain_hides_a_demoted_primary",
        "whoever hears a node that is primary no more hears no primary (ADR 0105)",
        (
            Edit(
                _WITNESSES,
                "        if is_none or not (is_direct or is_any):\n",
                "        if not (is_direct or is_any):\n",
            ),
        ),
        test=_demoted("who_is_behind_one_that_hears_nobody_hears_no_primary"),
    ),
    Mutant(
        "chain_is_not_followed",
        "a copy behind another one hears whom that one hears (ADR 0105)",
        (
            Edit(_WITNESSES, "        current = above\n", "        current = None\n"),
            Edit(
                _WITNESSES,
                "_end_of_chain(view, copy) if copy.is_fresh else None",
                "_end_of_chain(view, copy) if copy.is_fresh and copy.node_id != known else None",
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
                "not is_primary and not has_gone_over:",
                "not is_primary:",
            ),
        ),
        test=_demoted("who_went_over_to_another_history_is_followed_by_who_did_so_too"),
    ),
    Mutant(
        "outsider_is_nobody",
        "an address that is none of a node's may be the primary's (ADR 0105)",
        (Edit(_WITNESSES, "return source or address\n", "return source\n"),),
        test=_demoted("an_address_that_is_none_of_a_node_is_asked_about_too"),
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
                "is_lost = action.kind in HANDOVER_KINDS and action.phase is NActionPhase.LOST\n",
                "is_lost = False\n",
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

"""Defects of how much is done at once: beside a platform's call, and what is held for long."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ACTING = "orchestrate/actions/acting.py"
_BY_NAME = "orchestrate/actions/by_name.py"
_CANDIDATES = "orchestrate/roles/candidates.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_OACTIONS = "orchestrate/actions/oactions.py"
_VIEW = "orchestrate/view.py"


def _held(name: str) -> str:
    return unit_test("orchestrate_by_name_held", name)


def _taken_away(name: str) -> str:
    return unit_test("orchestrate_by_name_taken_away", name)


DISTURBANCE_MUTANTS = (
    Mutant(
        "promoted_while_taken_away",
        "nobody becomes primary whom a platform is taking away (ADR 0105)",
        (
            Edit(
                _CANDIDATES,
                "    if order_id is not None:\n",
                "    if order_id is not None and copy.node_id not in view.node_ids:\n",
            ),
        ),
        test=_taken_away("a_failover_passes_over_a_node_that_is_being_taken_away"),
    ),
    Mutant(
        "failed_call_counts_as_unheard",
        "a platform may have heard a call that failed (ADR 0105)",
        (
            Edit(
                _VIEW,
                "            and it.phase is OActionPhase.RUNNING\n",
                '            and isinstance(it.payload, dict) and it.payload.get("requested")\n',
            ),
        ),
        test=_taken_away("a_call_that_failed_may_have_been_heard"),
    ),
    Mutant(
        "asked_of_a_node_in_its_last_cycle",
        "nothing is asked of a node in the cycle in which it is taken away (ADR 0105)",
        (
            Edit(
                _DISTURBANCE,
                "is_platform and is_urgent and (kind == STORE_FENCE or not is_concerned)\n",
                "is_platform and is_urgent\n",
            ),
        ),
        test=_taken_away(
            "automation_asks_nothing_of_a_node_in_the_cycle_in_which_it_is_taken_away"
        ),
    ),
    Mutant(
        "call_costs_a_fence",
        "a primary that hangs is ended though it is being taken away (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "is_platform and is_urgent and (kind == STORE_FENCE or not is_concerned)\n",
                "is_platform and is_urgent and not is_concerned\n",
            ),
        ),
        test=_taken_away("a_primary_that_hangs_is_ended_in_the_cycle_in_which_it_is_taken_away"),
    ),
    Mutant(
        "every_role_goes_beside_a_call",
        "a switchover, or a rejoin by hand, waits for the cycle after a call (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "is_recovery and (not proposal.is_asked_for or kind in PAST_A_PRIMARY_KINDS)\n",
                "is_recovery\n",
            ),
        ),
        test=_taken_away("what_a_person_asks_of_roles_waits_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "promotion_waits_for_a_call",
        "a promotion by hand goes beside the call of a platform (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "is_recovery and (not proposal.is_asked_for or kind in PAST_A_PRIMARY_KINDS)\n",
                "is_recovery and not proposal.is_asked_for\n",
            ),
        ),
        test=_taken_away("a_promotion_by_name_goes_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "switchover_fails_beside_a_call",
        "a switchover waits for the cycle after a call, and does not fail (ADR 0106)",
        (
            Edit(
                _OACTIONS,
                "action.kind == CORE_SWITCHOVER and any(",
                "action.kind == CORE_FAILOVER and any(",
            ),
        ),
        test=_taken_away("a_switchover_waits_for_the_cycle_after_a_call_and_does_not_fail"),
    ),
    Mutant(
        "approved_and_held_costs_a_failover",
        "what was approved and is held costs no recovery (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "(it.phase is NActionPhase.PENDING_APPROVE or not _has_its_turn(case, it))\n",
                "it.phase is NActionPhase.PENDING_APPROVE\n",
            ),
        ),
        test=_held("an_approved_failover_whose_successor_is_sick_holds_up_no_recovery"),
    ),
    Mutant(
        "automation_overtakes_an_approval",
        "who approved a successor has that one (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "(it.phase is NActionPhase.PENDING_APPROVE or not _has_its_turn(case, it))\n",
                "it.phase.is_pending\n",
            ),
        ),
        test=_held("who_approved_a_successor_has_that_one_and_not_the_choice_of_automation"),
    ),
    Mutant(
        "what_left_counts_as_asking",
        "a switchover that left holds up what disturbs until its end is known (ADR 0105)",
        (
            Edit(
                _DISTURBANCE,
                "        and is_person_waiting(it)\n        and (it.phase",
                "        and it.phase\n        and (it.phase",
            ),
        ),
        test=_held("a_switchover_that_left_holds_up_what_it_did"),
    ),
    Mutant(
        "two_promotions_by_approval",
        "nobody approves a promotion beside one that left (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "            is_rivalled |= _is_rival(case, action)\n",
                "",
            ),
        ),
        test=_held("two_promotions_of_one_shard_do_not_run_beside_each_other"),
    ),
    Mutant(
        "cancelled_promotion_is_no_rival",
        "a promotion that was cancelled ends at its agent before the next one (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "any(_is_rival(case, it) for it in case.situation.cancelled_at_agents)\n",
                "False\n",
            ),
        ),
        test=_held("a_promotion_that_was_cancelled_ends_at_its_agent_first"),
    ),
    Mutant(
        "question_that_nobody_can_answer",
        "a call that began is not asked about after an hour (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "    has_begun = action.phase is OActionPhase.RUNNING\n",
                "    has_begun = action.phase is OActionPhase.RUNNING and bool(action.asked)\n",
            ),
        ),
        test=_held("a_call_that_began_is_repeated_after_an_hour_and_asks_nobody"),
    ),
    Mutant(
        "held_call_told_as_a_question",
        "what holds a call that may have left is told as no question (ADR 0104)",
        (
            Edit(
                _ACTING,
                "AWAITS_APPROVAL and action.phase is OActionPhase.RUNNING:\n",
                "AWAITS_APPROVAL and action.phase is OActionPhase.DONE:\n",
            ),
        ),
        test=_held("what_holds_a_call_that_may_have_left_is_told_as_no_question"),
    ),
    Mutant(
        "served_and_approved_for_ever",
        "an approval of what serves a failover counts for an hour (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "    return is_old and (action.cause is None or action.approved_ms is not None)\n",
                "    return is_old and action.cause is None\n",
            ),
        ),
        test=_held("an_approval_of_what_serves_a_failover_counts_for_an_hour"),
    ),
)

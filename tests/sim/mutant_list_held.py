"""Defects of switchovers and failovers that something held before they began or left."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_HELD = "orchestrate/actions/held_orders.py"
_OACTIONS = "orchestrate/actions/oactions.py"
_ROLES = "orchestrate/actions/role_changes.py"


def _held(name: str) -> str:
    return unit_test("orchestrate_held_orders", name)


HELD_MUTANTS = (
    Mutant(
        "failover_waits_for_a_death_in_a_pause",
        "a failover that is held beside the primary does not wait for its death (ADR 0106)",
        (
            Edit(
                _OACTIONS,
                "        if is_past_its_reason(action, acting.situation):\n",
                "        if may_act and is_past_its_reason(action, acting.situation):\n",
            ),
        ),
        test=_held("a_failover_that_is_held_does_not_wait_for_the_death_of_the_primary"),
    ),
    Mutant(
        "failover_ended_by_a_pause",
        "a failover that is held while the primary is gone goes after that (ADR 0106)",
        (
            Edit(
                _HELD,
                "    is_there = primary is not None and primary.verdict is PrimaryVerdict"
                ".PRESENT\n",
                "    is_there = primary is not None\n",
            ),
        ),
        test=_held("a_failover_that_a_pause_holds_while_the_primary_is_gone_goes_after_it"),
    ),
    Mutant(
        "order_of_long_ago_begins",
        "a switchover or failover that was held for an hour is asked about (ADR 0106)",
        (
            Edit(
                _OACTIONS,
                "        if is_asked_about(acting, action):\n",
                "        if action.phase is OActionPhase.PENDING_APPROVE:\n",
            ),
        ),
        test=_held(
            "what_was_held_for_an_hour_is_asked_about_and_goes_when_it_is_wanted_still",
        ),
    ),
    Mutant(
        "question_of_long_ago_untold",
        "what is asked about is in every decision, so explain names it (ADR 0106)",
        (
            Edit(
                _HELD,
                "    if since_ms is None or (is_waiting and APPROVAL_RULE not in action.asked):\n",
                "    if since_ms is None or is_waiting:\n",
            ),
        ),
        test=_held(
            "what_was_held_for_an_hour_is_asked_about_and_goes_when_it_is_wanted_still",
        ),
    ),
    Mutant(
        "question_about_what_cannot_be",
        "what cannot be done any more fails, and no person is asked about it (ADR 0106)",
        (
            Edit(
                _HELD,
                "    if isinstance(proposal, str):\n        return is_waiting\n",
                "    if isinstance(proposal, str):\n        return True\n",
            ),
        ),
        test=_held("what_cannot_be_done_any_more_fails_and_is_not_asked_about"),
    ),
    Mutant(
        "failover_open_beside_the_primary",
        "a failover whose promotion never left ends with the return of the primary (ADR 0106)",
        (
            Edit(
                _ROLES,
                "    if served.kind in PAST_A_PRIMARY_KINDS and primary.verdict is"
                " PrimaryVerdict.PRESENT:\n",
                "    if served.kind in PAST_A_PRIMARY_KINDS and primary.verdict is"
                " PrimaryVerdict.NEVER:\n",
            ),
        ),
        test=_held(
            "a_failover_whose_promotion_was_taken_back_ends_with_the_return_of_the_primary",
        ),
    ),
)

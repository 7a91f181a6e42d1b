"""Defects of how much is done at once: beside the call of a platform."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_CANDIDATES = "orchestrate/candidates.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_OACTIONS = "orchestrate/oactions.py"
_VIEW = "orchestrate/view.py"


def _taken_away(name: str) -> str:
    return unit_test("orchestrate_by_name_taken_away", name)


DISTURBANCE_MUTANTS = (
    Mutant(
        "promoted_while_taken_away",
        "nobody becomes primary whom a platform is taking away (ADR 0102)",
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
        "a platform may have heard a call that failed (ADR 0102)",
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
        "nothing is asked of a node in the cycle in which it is taken away (ADR 0102)",
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
        "a primary that hangs is ended though it is being taken away (ADR 0102)",
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
        "a switchover, or a rejoin by hand, waits for the cycle after a call (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "is_recovery and (not proposal.is_asked_for or kind in _PAST_A_PRIMARY)\n",
                "is_recovery\n",
            ),
        ),
        test=_taken_away("what_a_person_asks_of_roles_waits_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "promotion_waits_for_a_call",
        "a promotion by hand goes beside the call of a platform (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "is_recovery and (not proposal.is_asked_for or kind in _PAST_A_PRIMARY)\n",
                "is_recovery and not proposal.is_asked_for\n",
            ),
        ),
        test=_taken_away("a_promotion_by_name_goes_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "switchover_fails_beside_a_call",
        "a switchover waits for the cycle after a call, and does not fail (ADR 0102)",
        (
            Edit(
                _OACTIONS,
                "action.kind == CORE_SWITCHOVER and any(",
                "action.kind == CORE_FAILOVER and any(",
            ),
        ),
        test=_taken_away("a_switchover_waits_for_the_cycle_after_a_call_and_does_not_fail"),
    ),
)

"""Defects of what waits beside other work: whom it holds up, and when it is past its reason."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_DISPATCH = "orchestrate/dispatch.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_ROLE_CHANGES = "orchestrate/role_changes.py"


def _asks(name: str) -> str:
    return unit_test("orchestrate_by_name", name)


def _beside(name: str) -> str:
    return unit_test("orchestrate_by_name_beside", name)


BESIDE_MUTANTS = (
    Mutant(
        "role_waits_behind_a_question",
        "a change of roles that a person asked for goes past what only waits (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "    return (*roles, *(it for it in oldest if not _is_asked_role(it)))\n",
                "    return (*oldest, *(it for it in roles if not oldest))\n",
            ),
        ),
        test=_beside("an_approved_failover_goes_past_what_only_waits_on_its_node"),
    ),
    Mutant(
        "held_role_holds_the_node",
        "a change of roles that does not go holds nothing that waits before it (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "    return (*roles, *(it for it in oldest if not _is_asked_role(it)))\n",
                "    return tuple(roles) or oldest\n",
            ),
        ),
        test=_beside("a_promotion_that_is_held_does_not_hold_what_waits_before_it"),
    ),
    Mutant(
        "platform_costs_a_failover",
        "a failover does not wait for a node that is being taken away (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "is_platform and proposal.purpose is Purpose.RECOVERY and not is_concerned\n",
                "is_platform and proposal.is_by_name and not is_concerned\n",
            ),
        ),
        test=_beside("a_failover_does_not_wait_for_a_node_that_a_person_has_taken_away"),
    ),
    Mutant(
        "promoted_while_taken_away",
        "who is asked of a platform in a cycle is not promoted in it (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "is_platform and proposal.purpose is Purpose.RECOVERY and not is_concerned\n",
                "is_platform and proposal.purpose is Purpose.RECOVERY\n",
            ),
        ),
        test=_beside("a_node_that_is_asked_of_the_platform_is_not_promoted_in_that_cycle"),
    ),
    Mutant(
        "silent_agent_asked_for_an_owner",
        "nothing leaves for the first time for an agent that is silent (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                "    if proposal.action_id is not None and proposal.node_id is not None:\n",
                "    if proposal.is_by_name and proposal.node_id is not None:\n",
            ),
        ),
        test=_beside("what_serves_a_switchover_is_not_sent_to_a_silent_agent"),
    ),
    Mutant(
        "first_disruption_named_alone",
        "a question names all that is under way (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "    action_ids: list[Value] = [*sorted({*under_way, *maybe})]\n",
                "    action_ids: list[Value] = [*(*under_way, *maybe)][:1]\n",
            ),
        ),
        test=_beside("who_approved_beside_one_action_did_not_approve_it_beside_two"),
    ),
    Mutant(
        "question_outlives_its_primary",
        "a switchover that waits ends with its primary (ADR 0102)",
        (
            Edit(
                _ROLE_CHANGES,
                "    if is_handover and primary.verdict is PrimaryVerdict.GONE:\n",
                "    if is_handover and primary.verdict is PrimaryVerdict.NEVER:\n",
            ),
        ),
        test=_beside("a_switchover_that_waits_ends_with_its_primary_and_holds_up_no_failover"),
    ),
    Mutant(
        "question_of_another_primary",
        "what waits is of the primary that it was about (ADR 0102)",
        (
            Edit(
                _ROLE_CHANGES,
                "    if primary.node_id != replaced:\n",
                "    if not replaced:\n",
            ),
        ),
        test=_beside("a_failover_that_waits_is_not_sent_against_another_primary"),
    ),
    Mutant(
        "handover_of_a_doubtful_primary",
        "a switchover is asked only of a primary that is there (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                'refuse(f"a switchover needs a healthy primary: {primary.reason}", **evidence)\n',
                'allow("it is asked", **evidence)\n',
            ),
        ),
        test=_beside("a_switchover_that_waits_is_not_released_while_its_primary_is_in_doubt"),
    ),
    Mutant(
        "asking_owner_holds_up_recoveries",
        "a change of roles that only asks holds up no recovery (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "is_in_its_way = oaction.kind in _ROLE_WORK and not _only_asks(case, oaction)\n",
                "is_in_its_way = oaction.kind in _ROLE_WORK\n",
            ),
        ),
        test=_beside("a_recovery_goes_past_a_switchover_that_only_waits"),
    ),
    Mutant(
        "third_primary_by_approval",
        "nobody sets aside that another node is there as primary (ADR 0102)",
        (
            Edit(
                _EVIDENCE,
                "        if proposal.is_asked_for and claims:\n",
                "        if not proposal.is_asked_for and claims:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_by_name_evidence", "nobody_is_promoted_beside_a_claim_of_another_node"
        ),
    ),
)

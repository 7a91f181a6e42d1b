"""Defects of what waits beside other work: whom it holds up, and when it is past its reason."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ACTING = "orchestrate/actions/acting.py"
_BY_NAME = "orchestrate/actions/by_name.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_OVERTAKING = "orchestrate/actions/overtaking.py"
_ROLE_CHANGES = "orchestrate/actions/role_changes.py"


def _asks(name: str) -> str:
    return unit_test("orchestrate_by_name", name)


def _beside(name: str) -> str:
    return unit_test("orchestrate_by_name_beside", name)


def _overtaking(name: str) -> str:
    return unit_test("orchestrate_overtaking", name)


BESIDE_MUTANTS = (
    Mutant(
        "role_waits_behind_a_question",
        "a change of roles that a person asked for goes past what only waits (ADR 0106)",
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
        "a change of roles that does not go holds nothing that waits before it (ADR 0106)",
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
        "a failover does not wait for a node that is being taken away (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "    is_recovery = proposal.purpose is Purpose.RECOVERY\n    is_urgent",
                "    is_recovery = proposal.is_by_name\n    is_urgent",
            ),
        ),
        test=_beside("a_failover_does_not_wait_for_a_node_that_a_person_has_taken_away"),
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
        "a switchover that waits ends with its primary (ADR 0106)",
        (
            Edit(
                _ROLE_CHANGES,
                "    if served.kind in HANDOVER_KINDS and primary.verdict is"
                " PrimaryVerdict.GONE:\n",
                "    if served.kind in HANDOVER_KINDS and primary.verdict is"
                " PrimaryVerdict.NEVER:\n",
            ),
        ),
        test=_beside("a_switchover_that_waits_ends_with_its_primary_and_holds_up_no_failover"),
    ),
    Mutant(
        "question_of_another_primary",
        "what waits is of the primary that it was about (ADR 0106)",
        (
            Edit(
                _ROLE_CHANGES,
                "        return None\n    if primary.node_id != replaced:\n        return"
                ' f"{replaced} is the primary no more, {primary.node_id} is: ask anew"\n'
                "    if served",
                "        return None\n    if served",
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
        "a change of roles that only asks holds up no recovery (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "    is_over = _only_asks(case, oaction) or _is_at",
                "    is_over = _is_at",
            ),
        ),
        test=_beside("a_recovery_goes_past_a_switchover_that_only_waits"),
    ),
    Mutant(
        "third_primary_by_approval",
        "nobody sets aside that another node is there as primary (ADR 0105)",
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
    Mutant(
        "grace_of_what_never_left",
        "the grace of what people have done begins when it leaves (ADR 0102)",
        (
            Edit(
                _ACTING,
                "        if not proposal.is_question and not proposal.is_asked_for:\n",
                "        if not proposal.is_question:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_graces", "a_switchover_that_never_left_costs_its_failover_no_grace"
        ),
    ),
    Mutant(
        "grace_over_before_it_leaves",
        "a grace begins with what leaves, however long it waited (ADR 0102)",
        (Edit(_DISPATCH, "        acting.remember_sent(sent)\n", ""),),
        test=unit_test(
            "orchestrate_graces", "after_what_was_approved_late_its_effect_is_observed_first"
        ),
    ),
    Mutant(
        "served_without_a_grace",
        "what serves a change of roles has a grace, in whatever cycle it leaves (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "        serves=None if owner is None else served_step(action),\n",
                "",
            ),
        ),
        test=unit_test(
            "orchestrate_graces",
            "the_grace_of_a_switchover_that_was_approved_begins_when_it_leaves",
        ),
    ),
    Mutant(
        "by_name_and_not_judged_beside",
        "what people ask for by name is judged beside a running action, too (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "        if not is_judged:\n",
                "        if not is_judged and choice is not"
                " SchedulingChoice.FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING:\n",
            ),
        ),
        test=_beside("a_promotion_beside_a_switchover_that_runs_is_judged_and_told"),
    ),
    Mutant(
        "promoted_while_it_is_taken_away",
        "a node that a platform is taking away is not promoted by name (ADR 0105)",
        (
            Edit(
                _DISTURBANCE,
                "    if proposal.is_by_name and oaction.kind == PLATFORM_DEPROVISION:\n",
                "    if not proposal.node_id and oaction.kind == PLATFORM_DEPROVISION:\n",
            ),
        ),
        test=_beside("a_node_that_a_platform_is_taking_away_is_not_promoted_by_name"),
    ),
    Mutant(
        "failover_waits_behind_a_switchover_in_doubt",
        "a failover goes past a switchover whose primary is not seen (ADR 0106)",
        (
            Edit(
                _OVERTAKING,
                "        if is_running and found is not None and _is_of(found, proposal):\n",
                "        if is_running and found is None:\n",
            ),
        ),
        test=_overtaking(
            "a_failover_ends_the_switchover_and_waits_for_what_that_left_at_its_agent"
        ),
    ),
    Mutant(
        "failover_fails_behind_what_a_switchover_left",
        "a failover waits until the agent tells how the switchover ended (ADR 0106)",
        (
            Edit(
                _OVERTAKING,
                "        if is_answering and is_left and action.may_be_at_agent and"
                " _is_of(action, proposal):\n",
                "        if is_answering and is_left and not action.may_be_at_agent:\n",
            ),
        ),
        test=_overtaking(
            "a_failover_ends_the_switchover_and_waits_for_what_that_left_at_its_agent"
        ),
    ),
    Mutant(
        "switchover_given_up_for_nothing",
        "a failover that no rule lets go leaves the switchover (ADR 0106)",
        (
            Edit(
                _OVERTAKING,
                "        if not _may_go(acting, proposal, owner, served):\n",
                "        if not proposal:\n",
            ),
        ),
        test=_overtaking("a_failover_that_no_rule_lets_go_leaves_the_switchover"),
    ),
    Mutant(
        "past_the_successor",
        "a failover does not go past the successor of a switchover that came through (ADR 0106)",
        (
            Edit(
                _ROLE_CHANGES,
                "        if it.action_id == overtaken and it.phase is SeenPhase.DONE:\n",
                "        if it.action_id != overtaken and it.phase is SeenPhase.DONE:\n",
            ),
        ),
        test=_overtaking("a_switchover_that_came_through_after_all_ends_the_failover"),
    ),
    Mutant(
        "end_and_effect_in_one_look",
        "the look after the end of a switchover shows what it left (ADR 0106)",
        (
            Edit(
                _OVERTAKING,
                "or bool(settling_in(situation.just_over, proposal.shard_id))\n",
                "or proposal.shard_id is None\n",
            ),
        ),
        test=_overtaking(
            "a_failover_ends_the_switchover_and_waits_for_what_that_left_at_its_agent"
        ),
    ),
    Mutant(
        "past_one_that_yielded_a_look_ago",
        "of a primary that says that it is none a person's word is no proof (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                "        if proposal.is_asked_for and primary and primary.has_stepped_down:\n",
                "        if proposal.is_asked_for and not primary:\n",
            ),
        ),
        test=_overtaking(
            "of_a_primary_that_says_that_it_is_none_the_rules_wait_for_a_confirmation"
        ),
    ),
)

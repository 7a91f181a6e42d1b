"""Defects of what left and did not arrive: when it is sent again, held, or ended."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ACTING = "orchestrate/actions/acting.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_OVERTAKING = "orchestrate/actions/overtaking.py"
_PROGRESS = "orchestrate/memory/progress.py"
_RESENDS = "orchestrate/actions/resends.py"


def _resent(name: str) -> str:
    return unit_test("orchestrate_resends", name)


def _beside(name: str) -> str:
    return unit_test("orchestrate_resends_beside", name)


RESEND_MUTANTS = (
    Mutant(
        "sent_again_beside_another_primary",
        "a promotion ends when another node became the primary (ADR 0070)",
        (
            Edit(
                _RESENDS,
                '    return not is_missed or primary.node_id != args.get("replaces")\n',
                "    return primary.verdict is PrimaryVerdict.PRESENT and not is_missed\n",
            ),
        ),
        test=_resent("a_promotion_is_not_sent_again_beside_another_primary"),
    ),
    Mutant(
        "automation_sent_again_unjudged",
        "what convergence sent and what did not arrive is judged again (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    elif end is None and may_go_again(acting, action):\n",
                "    elif end is None and (may_go_again(acting, action) or True):\n",
            ),
        ),
        test=_resent("a_promotion_is_held_while_the_death_that_it_was_of_is_in_doubt_again"),
    ),
    Mutant(
        "held_by_its_own_grace",
        "the grace of an action does not hold up that very action (ADR 0104)",
        (
            Edit(
                _DISTURBANCE,
                "    if any(_is_own(case, action) for action in _unfinished(case)):\n",
                "    if any(_is_own_wish(case, action) for action in _unfinished(case)):\n",
            ),
        ),
        test=_resent("what_no_rule_forbids_is_sent_again_at_once_under_its_first_time"),
    ),
    Mutant(
        "approved_and_held_when_sent_again",
        "what a person approved is sent again without another question (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "    if is_only_told or outcome is Outcome.DONE or is_approved:\n",
                "    if is_only_told or outcome is Outcome.DONE:\n",
            ),
        ),
        test=_resent("what_a_person_approved_is_sent_again_without_another_question"),
    ),
    Mutant(
        "carried_out_and_not_asked_again",
        "who was promoted is appointed also where its agent lost its list (ADR 0100)",
        (
            Edit(
                _RESENDS,
                "    return primary.claimants == (action.node_id,)\n",
                "    return primary.claimants == ()\n",
            ),
        ),
        test=_resent(
            "a_promotion_that_was_carried_out_is_asked_again_of_the_agent_that_lost_its_list"
        ),
    ),
    Mutant(
        "leaves_beside_what_is_sent_again",
        "one thing that disturbs leaves in a cycle, sent again or anew (ADR 0104)",
        (Edit(_RESENDS, "        acting.doing.append(proposal)\n", ""),),
        test=_resent("nothing_leaves_beside_what_is_sent_again_in_the_same_cycle"),
    ),
    Mutant(
        "sent_again_after_what_leaves",
        "what is sent again goes before what leaves (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    rank = (is_first, was_sent, is_asked_role, True).index(True)\n",
                "    rank = (is_first, is_asked_role, was_sent and is_first, True).index(True)\n",
            ),
        ),
        test=_resent("what_a_person_asked_for_and_is_sent_again_lets_nothing_leave_beside_it"),
    ),
    Mutant(
        "sent_again_as_it_left",
        "what is judged is what is sent, again too (ADR 0104)",
        (Edit(_EVIDENCE, "    if unlike is not None:\n", "    if unlike == proposal:\n"),),
        test=unit_test(
            "orchestrate_by_name_lost",
            "what_left_and_names_another_primary_than_what_is_judged_leaves_anew",
        ),
    ),
    Mutant(
        "held_and_never_ended",
        "what a rule holds makes way for what is right now once its grace is over (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    if is_in_its_grace(situation, action) or not situation.is_denied(action):\n",
                "    if situation.is_denied(action):\n",
            ),
        ),
        test=_resent("what_is_held_ends_with_its_grace_and_the_next_best_copy_is_promoted"),
    ),
    Mutant(
        "ended_in_its_grace",
        "what a rule holds goes again within its grace when that allows it (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    if is_in_its_grace(situation, action) or not situation.is_denied(action):\n",
                "    if not situation.is_denied(action):\n",
            ),
        ),
        test=_resent("a_promotion_is_held_while_the_death_that_it_was_of_is_in_doubt_again"),
    ),
    Mutant(
        "starves_beside_a_platform",
        "what left is judged and has its time also beside an orchestrator action (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    is_judged = action.action_id in allowed or action.sent_epoch is not None\n"
                "    if was",
                "    is_judged = action.action_id in allowed\n    if was",
            ),
        ),
        test=_beside("a_promotion_that_did_not_arrive_is_sent_again_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "observes_and_never_ends",
        "what automation sent ends where it only looks, and holds up no person (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "        if choice is SchedulingChoice.DEFAULT_TO_ALL or is_held:\n",
                "        if choice is SchedulingChoice.DEFAULT_TO_ALL and not is_held:\n",
            ),
        ),
        test=_beside(
            "a_failover_that_a_person_asks_for_goes_past_the_lost_fence_of_automation_that_observes"
        ),
    ),
    Mutant(
        "sent_again_by_who_observes",
        "where automation only looks nothing of it is sent again (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "    is_only_told = is_active and is_carried_out(",
                "    is_only_told = is_carried_out(",
            ),
        ),
        test=_beside("what_is_carried_out_is_not_sent_again_by_who_observes"),
    ),
    Mutant(
        "fence_without_its_grace",
        "a fence that a rule holds goes again within its grace (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "    if action.kind == STORE_FENCE and step is Step.FAILOVER:\n",
                "    if action.kind == STORE_FENCE and step is Step.REJOIN:\n",
            ),
        ),
        test=_beside("a_moment_of_observe_ends_nothing_of_what_automation_sent"),
    ),
    Mutant(
        "waits_for_what_nobody_tells_of",
        "a failover waits only for a fence that is soon over (ADR 0104)",
        (
            Edit(
                _OVERTAKING,
                "    return is_sent_again or not action.phase.is_pending\n",
                "    return is_sent_again or action.phase.is_pending\n",
            ),
        ),
        test=_beside("a_failover_does_not_wait_for_a_fence_of_which_the_agent_says_nothing"),
    ),
    Mutant(
        "resent_without_its_fence",
        "a process that hangs is ended before a promotion that did not arrive goes (ADR 0104)",
        (
            Edit(
                _DISTURBANCE,
                "        if _is_fenced_before(case, action):\n",
                "        if not action and _is_fenced_before(case, action):\n",
            ),
        ),
        test=_beside("a_process_that_hangs_is_ended_before_a_promotion_goes_again"),
    ),
    Mutant(
        "fence_beside_what_may_be_there",
        "a fence goes beside a promotion only where its agent does not have that (ADR 0104)",
        (
            Edit(
                _DISTURBANCE,
                "    is_lacking = situation.is_denied(action) and action.node_id not in",
                "    is_lacking = action.node_id not in",
            ),
        ),
        test=_beside("a_fence_waits_for_a_promotion_of_which_its_agent_says_nothing"),
    ),
    Mutant(
        "fence_beside_what_a_person_sent",
        "automation's fence waits for a promotion that a person asked for (ADR 0104)",
        (
            Edit(
                _DISTURBANCE,
                "    is_ours = action.requester is Requester.CORE_DECLARATIVE and not"
                " proposal.is_asked_for\n",
                "    is_ours = not proposal.is_asked_for\n",
            ),
        ),
        test=_beside("a_fence_waits_for_a_promotion_that_a_person_asked_for"),
    ),
    Mutant(
        "question_about_what_left",
        "what left is no question, for nobody could answer it (ADR 0104)",
        (
            Edit(
                _ACTING,
                "        if has_left and outcome is Outcome.AWAITS_APPROVAL:\n",
                "        if not has_left and outcome is Outcome.AWAITS_APPROVAL:\n",
            ),
        ),
        test=_beside("what_was_sent_and_a_rule_asks_about_is_no_question"),
    ),
    Mutant(
        "persons_backup_held_by_a_mode",
        "what a person asked for and disturbs nothing waits for no mode of automation (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "    if action.requester is not Requester.CORE_DECLARATIVE:\n",
                "    if action.requester is Requester.AGENT_API:\n",
            ),
        ),
        test=_beside("a_backup_that_did_not_arrive_is_sent_again_beside_a_call_of_a_platform"),
    ),
    Mutant(
        "leaves_beside_a_promotion_carried_out",
        "nothing that disturbs leaves beside a promotion that is sent again (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "    is_only_told = is_active and is_carried_out(acting.situation, action)\n",
                "    is_only_told = False\n"
                "    if is_active and is_carried_out(acting.situation, action):\n"
                "        return True\n",
            ),
        ),
        test=_resent("nothing_leaves_beside_a_promotion_of_which_its_agent_is_asked_again"),
    ),
    Mutant(
        "doubted_agent_ends_what_was_cancelled",
        "an agent in doubt is not believed that it lacks an action (ADR 0084)",
        (
            Edit(
                _PROGRESS,
                "            it.node_id in doubted\n            or not",
                "            not",
            ),
        ),
        test=unit_test(
            "orchestrate_cancelled",
            "an_agent_in_doubt_is_not_believed_that_it_has_it_no_more",
        ),
    ),
)

"""Defects of a failover that a person asks for past a primary that hangs."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_FAILOVER = "orchestrate/converge/failover.py"
_FENCES = "orchestrate/memory/fences.py"
_FENCING = "orchestrate/actions/fencing.py"


def _fence(name: str) -> str:
    return unit_test("orchestrate_asked_fence", name)


def _bounds(name: str) -> str:
    return unit_test("orchestrate_fence_bounds", name)


FENCING_MUTANTS = (
    Mutant(
        "asked_failover_leaves_who_hangs",
        "a person's failover ends the process of a primary that hangs first (ADR 0046)",
        (
            Edit(
                _FENCING,
                "if _FENCE in known or not hangs(acting.situation, node_id):",
                "if True:",
            ),
        ),
        test=_fence("the_process_of_a_primary_that_hangs_is_ended_first"),
    ),
    Mutant(
        "ended_for_nobody",
        "nothing is ended that nobody may replace (ADR 0046)",
        (
            Edit(
                _FENCING,
                "acting.may_go(proposal) and acting.may_go(fence)",
                "acting.may_go(fence)",
            ),
        ),
        test=_fence("nothing_is_ended_that_the_one_who_is_named_may_not_replace"),
    ),
    Mutant(
        "fenced_again_and_again",
        "a failover fences once (ADR 0046)",
        (Edit(_FENCING, "if _FENCE in known or not hangs", "if not hangs"),),
        test=_fence("however_the_fence_ends_the_promotion_follows_once"),
    ),
    Mutant(
        "asked_failover_waits_for_a_silent_agent",
        "an agent that falls silent does not stand in the way of a failover (ADR 0046)",
        (
            Edit(
                _FENCING,
                "return is_silent and not hung_a_look_ago(situation, served.node_id)",
                "return False",
            ),
        ),
        test=_fence("an_agent_that_falls_silent_meanwhile_holds_it_up_for_one_look"),
    ),
    Mutant(
        "one_lost_answer_passes_by_the_fence_of_a_person",
        "one lost answer of its agent does not let a primary go on (ADR 0046)",
        (
            Edit(
                _FENCING,
                "return is_silent and not hung_a_look_ago(situation, served.node_id)",
                "return is_silent",
            ),
        ),
        test=_fence("an_agent_that_falls_silent_meanwhile_holds_it_up_for_one_look"),
    ),
    Mutant(
        "fence_that_never_arrived_is_waited_for",
        "a fence that its agent never took does not stand in the way (ADR 0046)",
        (
            Edit(
                _FENCING,
                "    if served is None or is_given_up(",
                "    if served is None:\n        return False\n    if is_given_up(",
            ),
        ),
        test=_fence("a_fence_that_its_agent_never_took_does_not_stand_in_the_way"),
    ),
    Mutant(
        "a_person_waits_for_a_fence_for_ever",
        "a fence that does not end holds nobody up for long (ADR 0046)",
        (
            Edit(
                _FENCING,
                "served is None or is_given_up(served, situation.state, now_ms=situation.now_ms)",
                "served is None",
            ),
        ),
        test=_bounds("a_fence_that_nobody_carries_out_holds_a_person_up_for_so_long"),
    ),
    Mutant(
        "automation_fences_again_and_again",
        "a suspicion has one fence, however it came to nothing (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "was_wished or has_failed or was_fenced(state, node_id)",
                "was_wished or has_failed",
            ),
        ),
        test=_bounds("a_suspicion_has_one_fence_however_long_it_takes_to_promote"),
    ),
    Mutant(
        "a_fence_waits_for_a_busy_agent_for_ever",
        "a fence that cannot leave holds nobody up for long (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "if is_busy and not any(it.may_be_at_agent for it in fences):",
                "if False:",
            ),
        ),
        test=_bounds("an_agent_that_is_busy_with_something_else_is_waited_for_as_long"),
    ),
    Mutant(
        "a_busy_agent_is_asked_for_no_fence",
        "an agent that is busy for a moment is waited for (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                " and situation.now_ms - began_ms >= FENCE_MS_MAX",
                "",
            ),
        ),
        test=_bounds("an_agent_that_was_busy_is_asked_as_soon_as_it_is_free"),
    ),
    Mutant(
        "automation_waits_for_a_fence_for_ever",
        "a fence that does not end holds nobody up for long (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "any(is_given_up(it, situation.state, now_ms=situation.now_ms) for it in fences)",
                "False",
            ),
        ),
        test=_bounds("a_fence_that_nobody_carries_out_holds_automation_up_for_so_long"),
    ),
    Mutant(
        "a_fence_that_was_given_up_is_in_the_way",
        "nothing waits for a fence that was given up (ADR 0046)",
        (
            Edit(
                "orchestrate/safety/rules_disturbance.py",
                "return is_given_up(action, situation.state, now_ms=situation.now_ms)",
                "return False",
            ),
        ),
        test=_bounds("who_takes_over_past_a_process_that_cannot_be_ended_gets_its_copies"),
    ),
    Mutant(
        "a_fence_that_was_given_up_is_sent_again",
        "what was given up is not sent again (ADR 0046)",
        (
            Edit(
                "orchestrate/actions/dispatch.py",
                "is_over = serves_failover(action) and is_given_up",
                "is_over = False and is_given_up",
            ),
        ),
        test=_bounds("a_fence_that_was_refused_ends_with_the_words_of_its_agent"),
    ),
    Mutant(
        "one_refusal_of_a_fence_is_enough",
        "an agent that starts anew has the end of the process asked again (ADR 0046)",
        (Edit(_FENCES, "refusals_of(fence) >= FENCE_REFUSALS_MAX", "refusals_of(fence) >= 1"),),
        test=_bounds("an_agent_that_refuses_the_fence_is_asked_twice"),
    ),
    Mutant(
        "refusals_of_a_fence_do_not_count",
        "an agent that refuses the fence stands in nobody's way (ADR 0046)",
        (Edit(_FENCES, "return is_refused(action) or (is_late", "return (is_late"),),
        test=_bounds("a_person_waits_for_an_agent_that_refuses_for_two_looks"),
    ),
    Mutant(
        "a_late_first_look_gives_a_fence_up",
        "a fence that is lost once is sent again (ADR 0046)",
        (Edit(_FENCES, "known.count < FENCE_LOOKS_MIN", "False"),),
        test=_bounds("a_fence_that_is_lost_once_is_sent_again"),
    ),
    Mutant(
        "a_fence_of_an_earlier_silence_counts",
        "each suspicion has a fence of its own (ADR 0046)",
        (
            Edit(
                _FENCES,
                "if known is not None and known.since_ms >= suspicion.since_ms:",
                "if known is not None:",
            ),
            Edit(
                _FENCES,
                "if node_id is None or suspicion is None:\n            continue\n"
                "        key = fence_key(node_id)\n"
                "        known = before.suspicions.get(key)\n",
                "if node_id is None:\n            continue\n"
                "        key = fence_key(node_id)\n"
                "        known = before.suspicions.get(key)\n"
                "        if known is not None:\n            fenced[key] = known\n"
                "        if suspicion is None:\n            continue\n",
            ),
        ),
        test=_bounds("a_fence_of_an_earlier_silence_is_not_one_of_this"),
    ),
    Mutant(
        "the_next_failover_waits_for_a_fence_for_ever",
        "a failover waits for the end of a process only as long as that may end (ADR 0106)",
        (
            Edit(
                "orchestrate/actions/overtaking.py",
                "if is_given_up(action, situation.state, now_ms=situation.now_ms):",
                "if False:",
            ),
        ),
        test=_bounds("a_failover_does_not_wait_for_what_an_earlier_one_left_that_does_not_end"),
    ),
    Mutant(
        "a_lost_fence_asks_about_a_healthy_primary",
        "a failover that did not begin ends with the return of its primary (ADR 0106)",
        (
            Edit(
                "orchestrate/actions/role_changes.py",
                "if served.kind in PAST_A_PRIMARY_KINDS and",
                "if served.kind in PAST_A_PRIMARY_KINDS - {'replicante.io/store.fence'} and",
            ),
        ),
        test=_bounds("a_fence_that_was_lost_is_no_question_about_a_primary_that_is_there"),
    ),
    Mutant(
        "a_person_answers_about_a_fence_that_is_over",
        "a fence that did not arrive and that a rule holds is over after its time (ADR 0046)",
        (
            Edit(
                _FENCING,
                "if not served.may_be_at_agent and is_fenced_for_long(",
                "if False and is_fenced_for_long(",
            ),
        ),
        test=_bounds("what_a_failover_left_behind_and_a_rule_holds_is_withdrawn"),
    ),
    Mutant(
        "a_fence_outlives_its_failover",
        "what a failover has gone past is withdrawn (ADR 0046)",
        (
            Edit(
                "orchestrate/actions/dispatch.py",
                "if is_of_order and is_unsent and action.action_id not in serving:",
                "if False:",
            ),
        ),
        test=_bounds("what_a_failover_left_behind_and_a_rule_holds_is_withdrawn"),
    ),
    Mutant(
        "ended_and_failed_by_one_lost_answer",
        "a failover that ended a process waits for its successor for a while (ADR 0046)",
        (
            Edit(
                "orchestrate/actions/oaction_kinds.py",
                "held = waiting(kept, primary, situation.now_ms)",
                "held = None if primary else waiting(kept, primary, situation.now_ms)",
            ),
        ),
        test=_bounds(
            "one_lost_answer_of_the_successor_does_not_end_a_failover_that_ended_a_process"
        ),
    ),
    Mutant(
        "ended_and_failed_by_a_rule_of_one_look",
        "a failover that ended a process waits for its successor for a while (ADR 0046)",
        (
            Edit(
                "orchestrate/actions/oactions.py",
                "    if held is not None:\n        return Progress(phase=progress.phase",
                "    if held is None:\n        return Progress(phase=progress.phase",
            ),
        ),
        test=_bounds("a_rule_that_stands_against_the_successor_for_a_look_does_not_end_it"),
    ),
    Mutant(
        "ended_and_waits_for_ever",
        "a failover that ended a process does not wait for a successor for ever (ADR 0046)",
        (Edit(_FENCING, "is_over = now_ms - since_ms >= SUCCESSOR_MS_MAX", "is_over = False"),),
        test=_bounds("a_failover_without_a_successor_says_that_a_process_was_ended"),
    ),
    Mutant(
        "a_process_is_ended_with_the_only_copy_of_another_shard",
        "nothing is ended that nobody may replace (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "if not may_be_ended(situation, node_id, shard_id=primary.shard_id):",
                "if False:",
            ),
        ),
        test=_bounds("automation_ends_no_process_that_has_a_shard_which_nobody_may_replace"),
    ),
    Mutant(
        "a_person_ends_a_process_with_the_only_copy_of_another_shard",
        "nothing is ended that nobody may replace (ADR 0046)",
        (
            Edit(
                _FENCING,
                "if not may_be_ended(acting.situation, node_id, shard_id=shard_id):",
                "if False:",
            ),
        ),
        test=_bounds("a_person_ends_no_process_that_has_a_shard_which_nobody_may_replace"),
    ),
    Mutant(
        "no_process_of_two_shards_is_ended",
        "a primary that hangs is ended where each of its shards may be replaced (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "if other.verdict not in _WANTING or not is_replaced:",
                "if True:",
            ),
        ),
        test=_bounds("a_process_is_ended_that_can_be_replaced_for_each_of_its_shards"),
    ),
)

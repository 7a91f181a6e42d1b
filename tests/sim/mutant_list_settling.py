"""Defects of what the look shows in which a change of a primary ended."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_LATE = "orchestrate/memory/late_ends.py"
_OVERTAKING = "orchestrate/actions/overtaking.py"
_PRIMARIES = "orchestrate/roles/primaries.py"
_PROGRESS = "orchestrate/memory/progress.py"
_SETTLING = "orchestrate/memory/settling.py"


def _settling(name: str) -> str:
    return unit_test("orchestrate_settling", name)


SETTLING_MUTANTS = (
    Mutant(
        "past_a_primary_in_the_look_of_an_end",
        "nobody goes past a primary in the look that shows the end of its change (ADR 0105)",
        (
            Edit(
                _DISTURBANCE,
                "    if settling and proposal.action_kind in PAST_A_PRIMARY_KINDS:\n",
                "    if settling and not proposal.action_kind:\n",
            ),
        ),
        test=_settling("the_rule_alone_holds_a_promotion_by_name_for_that_look"),
    ),
    Mutant(
        "what_vanished_was_never_there",
        "what was cancelled ends when its agent has it no more (ADR 0105)",
        (
            Edit(
                _SETTLING,
                "        is_over = action_id not in state.sent and sent.kind in"
                " MAKE_A_PRIMARY_KINDS\n",
                "        is_over = action_id is None\n",
            ),
        ),
        test=_settling("what_may_be_on_its_way_is_remembered_until_it_is_refused"),
    ),
    Mutant(
        "cancelled_handover_is_no_act",
        "a switchover that was cancelled and came through is an act that is known (ADR 0105)",
        (Edit(_LATE, "HANDOVER_KINDS | {STORE_PROMOTE}\n", "frozenset({STORE_PROMOTE})\n"),),
        test=_settling(
            "automation_promotes_nobody_in_the_look_in_which_the_switchover_came_through"
        ),
    ),
    Mutant(
        "late_handover_past_a_claim",
        "a handover behind which the role moved on appoints nobody (ADR 0105)",
        (Edit(_LATE, "claimants <= {successor} and", "successor is not None and"),),
        test=_settling("a_late_handover_behind_which_the_role_moved_on_appoints_nobody"),
    ),
    Mutant(
        "forgotten_when_it_arrives",
        "what arrived after it was cancelled is remembered until it ends (ADR 0105)",
        (
            Edit(
                _PROGRESS,
                "    for action in (*at_agents, *left):\n",
                "    for action in left:\n",
            ),
        ),
        test=_settling(
            "what_arrived_after_it_was_cancelled_is_remembered_at_an_agent_that_falls_silent"
        ),
    ),
    Mutant(
        "forgotten_on_its_way",
        "what may still arrive is remembered until an epoch refuses it (ADR 0070)",
        (
            Edit(
                _PROGRESS,
                "    return is_fenced and is_unknown and action_id in sent_ids\n",
                "    return is_fenced and is_unknown and not sent_ids\n",
            ),
        ),
        test=_settling("what_may_be_on_its_way_is_remembered_until_it_is_refused"),
    ),
    Mutant(
        "what_ended_may_still_arrive",
        "only what its agent does not have may be on its way (ADR 0070)",
        (
            Edit(
                _PROGRESS,
                "    return is_fenced and is_unknown and action_id in sent_ids\n",
                "    return is_fenced and action_id in sent_ids\n",
            ),
        ),
        test=_settling("what_ended_at_its_agent_is_not_on_its_way"),
    ),
    Mutant(
        "silence_proves_a_demotion",
        "looks from before a primary stepped down prove nothing of its successor (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "    if found.has_stepped_down:\n        decisive",
                "    if not found.node_id:\n        decisive",
            ),
        ),
        test=_settling("looks_from_before_it_said_that_it_is_none_prove_nothing_of_its_successor"),
    ),
    Mutant(
        "each_demotion_counts_anew",
        "a primary that steps down again and again is failed over (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "kept[demoted] = next_look(before.get(demoted), now_ms)\n",
                "kept[demoted] = next_look(None, now_ms)\n",
            ),
        ),
        test=_settling("one_that_steps_down_again_and_again_is_failed_over_once_confirmed"),
    ),
    Mutant(
        "death_after_a_demotion_is_proof",
        "the death of one that stepped down proves nothing of its successor (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "    has_rival = found.has_stepped_down or bool",
                "    has_rival = bool",
            ),
        ),
        test=_settling("its_death_after_it_stepped_down_proves_nothing_of_its_successor"),
    ),
    Mutant(
        "successor_inherits_the_suspicion",
        "who is appointed is suspected for itself (ADR 0105)",
        (
            Edit(
                _PROGRESS,
                "                if appointed.get(shard_id) != successor:\n",
                "                if successor not in view.node_ids:\n",
            ),
        ),
        test=_settling("the_successor_of_a_switchover_is_suspected_for_itself"),
    ),
    Mutant(
        "failed_beside_a_fence",
        "a failover waits while the process of the primary is being ended (ADR 0105)",
        (
            Edit(
                _OVERTAKING,
                "    return is_being_ended or bool(",
                "    return bool(",
            ),
        ),
        test=_settling("a_failover_waits_while_the_process_of_the_primary_is_being_ended"),
    ),
    Mutant(
        "waits_for_a_fence_at_a_silent_agent",
        "a failover does not wait for a fence at an agent that is silent (ADR 0105)",
        (
            Edit(
                _OVERTAKING,
                "    is_being_ended = _is_answering(situation, node_id) and any(\n",
                "    is_being_ended = any(\n",
            ),
        ),
        test=_settling("a_failover_does_not_wait_for_a_fence_at_an_agent_that_is_silent"),
    ),
    Mutant(
        "asked_after_ten_minutes",
        "a switchover at a primary that died with its agent is a question at once (ADR 0105)",
        (
            Edit(
                _DISTURBANCE,
                "    is_ours = case.takes_for_dead and not case.proposal.is_asked_for\n",
                "    is_ours = case.takes_for_dead and case.proposal.is_asked_for\n",
            ),
        ),
        test=_settling("a_person_is_asked_at_once_where_the_primary_died_with_its_switchover"),
    ),
)

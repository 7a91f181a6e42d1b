"""Defects of what is decided about orders, blind times, ways out, and nodes that leave."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

GROWTH_MUTANTS = (
    Mutant(
        "order_called_unjudged",
        "what is wished of a platform is judged again before each call (ADR 0093)",
        (
            Edit(
                "orchestrate/oactions.py",
                "    run.calls += [it for it in run.orders if it.action_id in right]\n",
                "    run.calls += run.orders\n",
            ),
        ),
        test=unit_test(
            "orchestrate_orders",
            "a_call_that_failed_is_held_by_every_rule_and_explain_names_it",
        ),
    ),
    Mutant(
        "granted_counts_as_approved",
        "only a person approves (ADR 0093)",
        (
            Edit(
                "orchestrate/acting.py",
                "    return wish.phase is not _waiting(wish) and ASKED_METADATA in wish.metadata\n",
                "    return wish.phase is not _waiting(wish)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_orders", "a_wish_that_nobody_approved_waits_when_a_rule_asks_meanwhile"
        ),
    ),
    Mutant(
        "blind_time_is_free",
        "a loss that nobody can bound asks (ADR 0094)",
        (
            Edit(
                "orchestrate/safety/rules_data.py",
                "    if not loss.unheard:\n",
                "    if loss.known_min is not None:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_unheard",
            "a_copy_that_lost_the_primary_before_it_was_seen_last_asks_and_says_why",
        ),
    ),
    Mutant(
        "forced_without_a_person",
        "what stands against a copy is set aside by a person alone (ADR 0095)",
        (
            Edit(
                "orchestrate/safety/rules_data.py",
                "    if case.proposal.is_question:\n        return ask(\n",
                "    if case.proposal.is_question:\n        return allow(\n",
            ),
        ),
        test=unit_test(
            "orchestrate_forced",
            "it_stays_and_explains_every_way_out_with_its_price_and_its_action[kept_out]",
        ),
    ),
    Mutant(
        "leaving_node_started_again",
        "a node that is stopped to leave is left alone",
        (
            Edit(
                "orchestrate/converge/rejoin.py",
                "if is_gone and not leaves(situation, copy.node_id) else",
                "if is_gone else",
            ),
        ),
        test=unit_test(
            "orchestrate_midpoints_growth", "a_surplus_node_that_is_down_is_not_started_again"
        ),
    ),
    Mutant(
        "forgotten_node_stays_a_member",
        "what a dead node told last keeps it no member for ever",
        (
            Edit(
                "orchestrate/progress.py",
                "            removed[forgotten] = now_ms\n",
                "            removed.pop(forgotten, None)\n",
            ),
        ),
        test=unit_test("orchestrate_midpoints_growth", "the_stories_come_to_their_ends"),
    ),
    Mutant(
        "controller_forgotten_at_once",
        "a controller that is cut off for a minute finds its roles as it left them",
        (
            Edit(
                "orchestrate/controllers.py",
                "for it, rest_ms in rests_ms.items() if rest_ms > 0}",
                "for it, rest_ms in rests_ms.items() if rest_ms < 0}",
            ),
        ),
        test=unit_test(
            "orchestrate_controllers",
            "a_controller_that_nobody_declared_counts_for_a_while_after_it_was_seen_last",
        ),
    ),
    Mutant(
        "serving_primary_believed_gone",
        "a primary that is seen to serve is not gone because its platform forgot it (ADR 0032)",
        (
            Edit(
                "orchestrate/discovery_guard.py",
                "    if is_minor and not primaries and count",
                "    if is_minor and count",
            ),
        ),
        test=unit_test(
            "orchestrate_discovery",
            "a_missing_primary_is_held_while_it_is_seen_to_serve",
        ),
    ),
    Mutant(
        "cancelled_action_does_not_disturb",
        "at most one action that disturbs is under way",
        (
            Edit(
                "orchestrate/safety/rules_disturbance.py",
                "        if _disturbs(case, cancelled):\n",
                "        if _disturbs(case, cancelled) and not cancelled.kind:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_cancelled",
            "nothing_disturbs_beside_it_until_its_agent_has_ended_it",
        ),
    ),
    Mutant(
        "cancelled_at_a_silent_agent_is_forgotten",
        "what was cancelled may still run where nobody answers",
        (
            Edit(
                "orchestrate/safety/rules_disturbance.py",
                "        if action_id not in known and sent.kind != STORE_FENCE:\n",
                "        if action_id in known and sent.kind != STORE_FENCE:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_cancelled",
            "one_at_a_silent_agent_may_run_still_so_a_person_is_asked",
        ),
    ),
)

"""Defects of what is decided about orders, blind times, ways out, and nodes that leave."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

GROWTH_MUTANTS = (
    Mutant(
        "order_called_unjudged",
        "what is wished of a platform is judged again before each call (ADR 0093)",
        (
            Edit(
                "orchestrate/actions/oactions.py",
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
                "orchestrate/safety/approvals.py",
                "    return all(rule in shown and",
                "    return not shown or all(rule in shown and",
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
                "        return ask(by_a_word, overrides=overrides)\n",
                "        return allow(by_a_word, overrides=overrides)\n",
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
                "orchestrate/memory/progress.py",
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
                "orchestrate/roles/controllers.py",
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
                "orchestrate/looking/discovery_guard.py",
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
                "        if _disturbs(case, it)\n",
                "        if _disturbs(case, it) and not it.kind\n",
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
                "        if action_id in known or sent.kind == STORE_FENCE:\n",
                "        if action_id not in known or sent.kind == STORE_FENCE:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_cancelled",
            "one_at_a_silent_agent_may_run_still_so_a_person_is_asked",
        ),
    ),
    Mutant(
        "approval_covers_what_nobody_asked",
        "an approval covers the rules that asked, and no others (ADR 0030)",
        (
            Edit(
                "orchestrate/safety/approvals.py",
                "    return all(rule in shown and",
                "    return any(rule in shown and",
            ),
        ),
        test=unit_test(
            "orchestrate_approvals",
            "a_rule_that_asks_after_the_approval_is_asked_about_and_then_answered",
        ),
    ),
    Mutant(
        "question_grows_under_its_id",
        "who approves an id approves at most what was shown of it (ADR 0030)",
        (
            Edit(
                "orchestrate/actions/acting.py",
                "            elif not covers(wish.asked, asked):\n",
                "            elif not wish.asked:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_approvals",
            "who_approves_what_was_shown_a_while_ago_never_approves_more[approval_granted]",
        ),
    ),
    Mutant(
        "question_names_what_is_no_more_asked",
        "who approves answers the rules that ask now (ADR 0030)",
        (
            Edit(
                "orchestrate/actions/acting.py",
                "            after = msgspec.structs.replace(after, asked=asked)\n",
                "            after = msgspec.structs.replace(after, asked={**asked, **after.asked})"
                "\n",
            ),
        ),
        test=unit_test(
            "orchestrate_approvals",
            "a_question_of_which_less_is_left_is_the_same_one_and_says_so_without_an_event",
        ),
    ),
    Mutant(
        "cancelled_switchover_goes_on",
        "what serves an orchestrator action that has ended is not sent",
        (
            Edit(
                "orchestrate/actions/dispatch.py",
                "action.phase.is_pending and action.cause not in owners:\n",
                "action.phase.is_final and action.cause not in owners:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_owners",
            "cancelling_a_switchover_stops_what_was_not_delivered[undelivered]",
        ),
    ),
    Mutant(
        "cancelled_switchover_arrives_late",
        "a copy that is on its way when its owner ends is refused (ADR 0070)",
        (
            Edit(
                "orchestrate/actions/dispatch.py",
                "            found.is_epoch_spent |= situation.may_be_on_its_way(action)\n",
                "",
            ),
        ),
        test=unit_test(
            "orchestrate_owners",
            "what_left_under_this_epoch_ends_the_epoch_so_that_no_copy_of_it_is_obeyed",
        ),
    ),
    Mutant(
        "adopted_wish_outlives_its_owner",
        "a wish that serves a person ends with what that person asked for",
        (
            Edit(
                "orchestrate/actions/acting.py",
                "        if proposal.cause is not None:\n            # A person",
                "        if proposal.is_question:\n            # A person",
            ),
        ),
        test=unit_test(
            "orchestrate_owners",
            "what_convergence_had_asked_about_serves_the_person_who_asks_for_the_same",
        ),
    ),
    Mutant(
        "owner_ends_before_its_question",
        "an owner waits with its node action for a person",
        (
            Edit(
                "orchestrate/actions/oactions.py",
                "    if record.outcome in (Outcome.DONE, Outcome.AWAITS_APPROVAL):\n",
                "    if record.outcome is Outcome.DONE:\n",
            ),
        ),
        test=unit_test("orchestrate_owners", "an_owner_waits_with_its_node_action_for_a_person"),
    ),
    Mutant(
        "no_node_is_as_good_as_one",
        "an order that brings no node is a failure, and three failures ask a person",
        (
            Edit(
                "orchestrate/actions/oaction_kinds.py",
                "type(count) is not int or not 1 <= count <= DEFINITION_NODES_MAX",
                "type(count) is not int or not 0 <= count <= DEFINITION_NODES_MAX",
            ),
            Edit(
                "orchestrate/actions/oaction_kinds.py",
                '    if int(payload["expected"]) < 1:\n',
                '    if int(payload["expected"]) < 0:\n',
            ),
        ),
        test=unit_test(
            "orchestrate_orders",
            "a_platform_that_promises_no_node_is_not_ordered_from_for_ever",
        ),
    ),
    Mutant(
        "count_is_believed_against_the_names",
        "what a platform promises agrees with what it names",
        (
            Edit(
                "orchestrate/actions/oaction_kinds.py",
                "        if len(set(node_ids)) != count:\n",
                "        if count is None:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_orders",
            "a_promise_that_cannot_be_kept_is_a_failure_of_the_platform",
        ),
    ),
    Mutant(
        "platform_elsewhere_accepted",
        "a cluster names a platform of its own namespace: another one's nodes are filed there",
        (
            Edit(
                "model/cluster_spec.py",
                "    if cluster.ns_id and cluster.is_platform_elsewhere:\n",
                "    if not cluster.ns_id and cluster.is_platform_elsewhere:\n",
            ),
        ),
        test=unit_test(
            "model_cluster_spec", "a_platform_of_another_namespace_is_refused_by_its_place"
        ),
    ),
    Mutant(
        "platform_elsewhere_ordered_from",
        "a cluster stored with a platform elsewhere orders nothing that would not be seen",
        (
            Edit(
                "workers/orchestrate_job.py",
                "    if spec.platform_name is not None and not spec.is_platform_elsewhere:\n",
                "    if spec.platform_name is not None:\n",
            ),
            Edit(
                "workers/orchestrate_job.py",
                "        owner = (spec.ns_id, spec.platform_name)\n",
                "        owner = (spec.platform_ns_id or spec.ns_id, spec.platform_name)\n",
            ),
        ),
        test=unit_test(
            "workers_orders",
            "a_cluster_stored_with_a_platform_elsewhere_is_watched_and_orders_nothing",
        ),
    ),
)

"""Defects of how what people ask for by name is judged, and of what an approval covers."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_APPROVALS = "orchestrate/safety/approvals.py"
_BY_NAME = "orchestrate/actions/by_name.py"
_CASE = "orchestrate/safety/case.py"
_DATA = "orchestrate/safety/rules_data.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_NAMED_ARGS = "orchestrate/named_args.py"
_LATE = "orchestrate/memory/late_ends.py"
_OACTIONS = "orchestrate/actions/oactions.py"
_SCOPE = "orchestrate/safety/rules_scope.py"


def _asks(name: str) -> str:
    return unit_test("orchestrate_by_name", name)


def _roles(name: str) -> str:
    return unit_test("orchestrate_by_name_roles", name)


def _orders(name: str) -> str:
    return unit_test("orchestrate_by_name_orders", name)


BY_NAME_MUTANTS = (
    Mutant(
        "asked_for_and_not_judged",
        "what people ask of a node and what disturbs is judged before it leaves (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "is_judged = action.action_id in allowed or not is_person_waiting(action)\n",
                "is_judged = action.action_id in allowed or action.cause is None\n",
            ),
        ),
        test=_asks("two_restarts_that_are_asked_for_at_once_happen_one_after_the_other"),
    ),
    Mutant(
        "served_and_not_judged_again",
        "what serves an orchestrator action is judged in the cycle that sends it (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "is_judged = action.action_id in allowed or not is_person_waiting(action)\n",
                "is_judged = action.cause is not None or not is_person_waiting(action)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_owners", "what_serves_an_owner_is_judged_again_when_it_is_sent"
        ),
    ),
    Mutant(
        "denied_and_sent",
        "what a rule denies waits (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "    if outcome is not Outcome.DONE:\n",
                "    if outcome is Outcome.AWAITS_APPROVAL:\n",
            ),
        ),
        test=_roles("beside_another_controller_nobody_changes_roles_by_hand"),
    ),
    Mutant(
        "every_denial_yields",
        "what nobody may set aside is no question (ADR 0102)",
        (
            Edit(
                _CASE,
                "        is_asking = self.is_yielding and case.proposal.is_by_name and not"
                " finding.is_firm\n",
                "        is_asking = case.proposal.is_by_name\n",
            ),
        ),
        test=_roles("no_approval_promotes_beside_a_healthy_primary"),
    ),
    Mutant(
        "waits_for_a_death",
        "a promotion held beside the primary does not wait for that one's death (ADR 0105)",
        (
            Edit(
                "orchestrate/actions/held_promotions.py",
                "not is_marked and _denied(acting, action) & _ENDS_A_REASON:\n",
                "not is_marked and _denied(acting, action) > _ENDS_A_REASON:\n",
            ),
        ),
        test=_roles("a_promotion_that_was_held_beside_the_primary_does_not_wait_for_its_death"),
    ),
    Mutant(
        "asking_says_that_it_is_gone",
        "who asks an agent for a promotion is asked whether the primary is gone (ADR 0105)",
        (
            Edit(
                _EVIDENCE,
                "        if proposal.is_by_name:\n            return ask(f",
                "        if not proposal.requester:\n            return ask(f",
            ),
        ),
        test=_roles(
            "a_promotion_past_a_primary_that_is_not_known_to_be_dead_asks_for_that_very_death"
        ),
    ),
    Mutant(
        "replaces_whom_it_says",
        "who is the primary is no matter of what an action says (ADR 0102)",
        (
            Edit(
                _NAMED_ARGS,
                '        args["replaces"] = action.node_id\n',
                '        args.setdefault("replaces", action.node_id)\n',
            ),
        ),
        test=_roles("whom_a_fence_says_to_replace_does_not_hide_the_primary"),
    ),
    Mutant(
        "restart_takes_nobody_out",
        "a restart takes a node out for a while (ADR 0102)",
        (
            Edit(
                _DATA,
                "    return is_away or (is_process and not case.takes_for_dead)\n",
                "    return is_away\n",
            ),
        ),
        test=_asks("the_primary_is_stopped_or_restarted_by_approval_only"),
    ),
    Mutant(
        "claim_ended_by_who_asks",
        "a claim is ended by hand only by who was told of it (ADR 0102)",
        (
            Edit(
                _DATA,
                "    if shards:\n        evidence",
                "    if shards and not proposal.is_asked_for:\n        evidence",
            ),
        ),
        test=_roles("a_claim_is_ended_by_hand_only_by_who_was_told_of_it"),
    ),
    Mutant(
        "forgotten_question_costs_a_failover",
        "what a person asked for and a rule holds back costs no failover (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "        is_waiting = action.phase is NActionPhase.PENDING_APPROVE or not"
                " has_begun\n",
                "        is_waiting = action.phase is NActionPhase.PENDING_APPROVE\n",
            ),
        ),
        test=_asks("what_a_person_asked_for_and_what_waits_costs_no_failover"),
    ),
    Mutant(
        "wanted_for_ever",
        "what was held back for long is sent when a person wants it still (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "        return is_old or not action.asked or APPROVAL_RULE in action.asked\n",
                "        return not action.asked or APPROVAL_RULE in action.asked\n",
            ),
        ),
        test=_asks("what_waited_for_long_is_sent_only_when_a_person_wants_it_still"),
    ),
    Mutant(
        "let_in_by_no_rule",
        "what its asker wants approved waits though no rule asks (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "        return is_old or not action.asked or APPROVAL_RULE in action.asked\n",
                "        return is_old or APPROVAL_RULE in action.asked\n",
            ),
        ),
        test=_asks("one_that_was_made_to_wait_waits_though_no_rule_asks"),
    ),
    Mutant(
        "platform_asked_by_name_unjudged",
        "what people ask of a platform is judged before each call (ADR 0102)",
        (
            Edit(
                _OACTIONS,
                "    is_judged = action.kind in DISRUPTIVE_KINDS and not _is_wished(action)\n",
                "    is_judged = action.kind in DISRUPTIVE_KINDS and bool(action.asked)\n",
            ),
        ),
        test=_orders("a_primary_is_taken_away_only_by_who_was_told_that_it_is_one"),
    ),
    Mutant(
        "cancelled_promotion_is_no_act",
        "a promotion that was cancelled and carried out is an act that is known (ADR 0100)",
        (Edit(_LATE, "HANDOVER_KINDS | {STORE_PROMOTE}\n", "HANDOVER_KINDS\n"),),
        test=unit_test("orchestrate_late_ends", "the_former_primary_rejoins_without_a_person"),
    ),
    Mutant(
        "late_end_moves_the_role_back",
        "a role that moved on meanwhile is not moved back (ADR 0100)",
        (
            Edit(
                _LATE,
                "    return is_so and state.appointed.get(shard_id) in (former, successor)\n",
                "    return is_so and shard_id in state.appointed\n",
            ),
        ),
        test=unit_test("orchestrate_late_ends", "a_role_that_moved_on_meanwhile_is_not_moved_back"),
    ),
    Mutant(
        "greater_loss_counts_as_approved",
        "an approval is of what was shown: equal or better (ADR 0102)",
        (
            Edit(
                _APPROVALS,
                "        return now <= shown\n",
                "        return now >= 0\n",
            ),
        ),
        test=unit_test(
            "orchestrate_approvals",
            "a_greater_loss_than_the_one_that_was_approved_is_asked_about_anew",
        ),
    ),
    Mutant(
        "other_nodes_count_as_approved",
        "an approval is of the nodes that were named (ADR 0102)",
        (
            Edit(
                _APPROVALS,
                "        return all(it in shown for it in now)\n",
                "        return len(now) <= len(shown)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_approvals",
            "other_nodes_than_those_that_were_named_are_asked_about_anew",
        ),
    ),
    Mutant(
        "another_role_counts_as_approved",
        "who approved it of a copy did not approve it of a primary (ADR 0102)",
        (
            Edit(
                _DATA,
                '        measures=("why",),\n',
                "",
            ),
        ),
        test=_asks("who_approved_that_a_copy_is_restarted_did_not_approve_it_of_a_primary"),
    ),
    Mutant(
        "approved_until_the_next_look",
        "what moves with the clock alone is no figure of an approval (ADR 0102)",
        (
            Edit(
                _DATA,
                '        measures=("known_min", "unheard_of"),\n',
                '        measures=("known_min", "unheard"),\n',
            ),
        ),
        test=unit_test(
            "orchestrate_unheard",
            "one_question_of_unheard_loss_stays_the_same_and_its_approval_counts",
        ),
    ),
    Mutant(
        "first_shard_stands_for_all",
        "a question names all that stands against it, so that more of it shows (ADR 0102)",
        (
            Edit(
                _DATA,
                '        return deny("; ".join(why.values()), why=list(why))\n',
                '        return deny("; ".join(why.values()), why=list(why)[:1])\n',
            ),
        ),
        test=_asks("who_approved_it_of_the_primary_of_one_shard_did_not_approve_it_of_two"),
    ),
    Mutant(
        "first_copy_stands_for_all",
        "a question names each shard whose last copy may be ended (ADR 0102)",
        (
            Edit(
                _DATA,
                "        if source:\n            follows[copy.shard_id] = source\n",
                "        if source and not follows:\n            follows[copy.shard_id] = source\n",
            ),
        ),
        test=_roles("who_approved_to_end_one_copy_of_a_claim_did_not_approve_it_of_two"),
    ),
    Mutant(
        "any_member_counts_as_approved",
        "a join is approved of what was wrong with its member, and of no other (ADR 0102)",
        (
            Edit(
                _DATA,
                '        measures=("why", "member"),\n',
                "",
            ),
        ),
        test=_asks("who_approved_to_join_a_sick_primary_did_not_approve_to_join_a_copy"),
    ),
    Mutant(
        "approved_for_ever",
        "an approval counts for an hour (ADR 0102)",
        (
            Edit(
                _BY_NAME,
                "    return is_old and (action.cause is None or action.approved_ms is not None)\n",
                "    return is_old and action.cause is None and not action.asked\n",
            ),
        ),
        test=_asks("what_was_approved_and_held_for_long_is_asked_about_once_more"),
    ),
    Mutant(
        "an_old_approval_answers_the_next_wait",
        "an approval is of the wait before it (ADR 0102)",
        (
            Edit(
                _SCOPE,
                '        measures=("known_min", "wanted_ms"),\n',
                '        measures=("known_min",),\n',
            ),
        ),
        test=_asks("an_approval_counts_for_an_hour_each_time"),
    ),
    Mutant(
        "asked_for_ever",
        "what was held for long leaves once it was approved again (ADR 0102)",
        (
            Edit(
                "state/apply_actions.py",
                '        value["approved_ms"] = writer.counters.clock_ms\n',
                '        value["approved_ms"] = value["created_ms"]\n',
            ),
        ),
        test=unit_test("state_actions", "an_action_that_needs_approval_waits_for_it"),
    ),
    Mutant(
        "approved_when_it_was_asked",
        "people are told when an action was approved, not when it was asked for (ADR 0102)",
        (
            Edit(
                "state/apply_actions.py",
                '        value["approved_wall_ms"] = writer.wall_ms\n',
                '        value["approved_wall_ms"] = value["created_wall_ms"]\n',
            ),
        ),
        test=unit_test("state_actions", "an_action_that_needs_approval_waits_for_it"),
    ),
    Mutant(
        "approval_is_not_told",
        "an answer about an action tells when it was approved (ADR 0102)",
        (
            Edit(
                "api/actions.py",
                "        approved_time=_time(action.approved_wall_ms),\n",
                "        approved_time=_time(action.finished_wall_ms),\n",
            ),
        ),
        test=unit_test("api_clusters", "an_action_is_created_approved_and_shown_with_its_history"),
    ),
)

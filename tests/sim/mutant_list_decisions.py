"""Defects of what is decided: of the safety rules, the witnesses, the discoveries (ADR 0030).

Each has to be found by a named test.
"""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_CASE = "orchestrate/safety/case.py"
_CONTROLLERS = "orchestrate/roles/controllers.py"
_CYCLE = "orchestrate/cycle.py"
_FAILOVER = "orchestrate/converge/failover.py"
_GUARD = "orchestrate/looking/discovery_guard.py"
_PRIMARIES = "orchestrate/roles/primaries.py"
_DATA = "orchestrate/safety/rules_data.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_REJOIN = "orchestrate/converge/rejoin.py"
_SCOPE = "orchestrate/safety/rules_scope.py"
_DISCOVER = "workers/discover_job.py"


def _rule(name: str) -> str:
    return unit_test("orchestrate_rules", f"the_rule_alone_stands_in_the_way[{name}]")


DECISION_MUTANTS = (
    Mutant(
        "overtaken_worker_decides",
        "a worker that lost the cluster writes and sends nothing",
        (
            Edit(
                _CYCLE,
                "    if overtaken is not None:\n",
                "    if overtaken is not None and not inputs.observations:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_defects",
            "defect_13_a_worker_that_lost_the_cluster_writes_and_sends_nothing",
        ),
    ),
    Mutant(
        "veto_of_witnesses_ignored",
        "no primary is replaced while a copy still hears it",
        (
            Edit(
                _EVIDENCE,
                "    if primary.is_seen_by_a_copy and not primary.has_stepped_down:\n",
                "    if not primary.shard_id:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_role_changes",
            "nobody_forces_a_failover_past_a_primary_that_is_there_or_heard",
        ),
    ),
    Mutant(
        "suspicion_grows_while_a_copy_hears",
        "one copy that still hears the primary ends every suspicion",
        (
            Edit(
                _PRIMARIES,
                "    if found.is_seen_by_a_copy and not found.has_stepped_down:\n",
                "    if not found.witnesses:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_failover", "the_time_for_which_a_copy_heard_the_primary_does_not_count"
        ),
    ),
    Mutant(
        "refusal_towards_us_is_proof",
        "silence or refusal towards us alone proves nothing",
        (
            Edit(
                _PRIMARIES,
                "return Proof.REFUSED if is_refused and are_refused else Proof.NONE",
                "return Proof.REFUSED if is_refused else Proof.NONE",
            ),
        ),
        test=unit_test("orchestrate_failover", "refusal_towards_us_alone_proves_nothing"),
    ),
    Mutant(
        "confirmation_skipped",
        "no primary is replaced on one silent look",
        (Edit(_PRIMARIES, "    elif is_confirmed:\n", "    elif suspicion.count:\n"),),
        test=unit_test(
            "orchestrate_failover",
            "a_silent_primary_is_replaced_after_looks_and_time_not_before",
        ),
    ),
    Mutant(
        "confirmed_by_looks_alone",
        "fast looks do not shorten the time",
        (
            Edit(
                _PRIMARIES,
                "    return is_enough and look.now_ms - suspicion.since_ms >=",
                "    return is_enough and look.now_ms >=",
            ),
        ),
        test=unit_test("orchestrate_failover", "fast_looks_do_not_shorten_the_time"),
    ),
    Mutant(
        "loss_bound_ignored",
        "no copy is promoted that lacks more than the declared bound",
        (Edit(_DATA, "    if known > bound:\n", "    if known < 0:\n"),),
        test=_rule("loss_bounded"),
    ),
    Mutant(
        "unknown_loss_accepted",
        "a loss that cannot be said is not accepted",
        (
            Edit(
                _DATA,
                '    if known is None:\n        return deny("what would be lost cannot be said")\n',
                '    if known is None:\n        return allow("what would be lost is not known")\n',
            ),
        ),
        test=unit_test("orchestrate_rules", "a_loss_that_cannot_be_said_is_denied"),
    ),
    Mutant(
        "unfit_candidate_promoted",
        "nobody becomes primary who recovers, is unhealthy, or has another history",
        (Edit(_DATA, "    if candidate.is_eligible:\n", "    if candidate.copy:\n"),),
        test=_rule("candidate_fit"),
    ),
    Mutant(
        "healthy_majority_ignored",
        "what is done leaves a majority healthy, or asks",
        (Edit(_DATA, "    if 2 * len(left) <= len(known):\n", "    if not known:\n"),),
        test=unit_test("orchestrate_steps", "nobody_goes_while_no_majority_is_healthy"),
    ),
    Mutant(
        "only_primary_taken_out",
        "the only primary of a shard is never demoted or removed",
        (
            Edit(
                _DATA,
                "        if primary.node_id == taken:\n",
                "        if primary.node_id is None:\n",
            ),
            Edit(
                _DATA,
                "        elif not case.gives_up and taken in primary.claimants:\n",
                "        elif kind is None:\n",
            ),
            Edit(
                _DATA,
                "        if not others and copy.shard_id not in named:\n",
                "        if not copies:\n",
            ),
        ),
        test=_rule("primary_not_removed"),
    ),
    Mutant(
        "begun_cluster_begun_again",
        "a cluster is begun only when every node says that it is in none",
        (Edit(_DATA, "    if wrong:\n", "    if len(wrong) == len(others):\n"),),
        test=unit_test("orchestrate_steps", "one_node_in_doubt_keeps_a_cluster_from_being_begun"),
    ),
    Mutant(
        "two_disruptions_at_once",
        "at most one action that disturbs is under way in a cluster",
        (
            Edit(
                _DISTURBANCE,
                "if not _disturbs(case, action) or _is_own(case, action):",
                "if _disturbs(case, action):",
            ),
        ),
        test=_rule("one_disruption"),
    ),
    Mutant(
        "two_disruptions_in_one_cycle",
        "at most one action that disturbs is under way in a cluster",
        (
            Edit(
                _DISTURBANCE,
                "        if earlier.is_disruptive and not",
                "        if earlier.is_disruptive and earlier.is_asked_for and not",
            ),
        ),
        test=unit_test("orchestrate_rules", "two_disruptions_are_never_begun_in_one_cycle"),
    ),
    Mutant(
        "quiet_period_ignored",
        "a flapping node costs one recovery, not many",
        (
            Edit(
                _DISTURBANCE,
                '    if rest_ms > 0:\n        return ask(\n            f"roles changed',
                '    if rest_ms > 1 << 62:\n        return ask(\n            f"roles changed',
            ),
        ),
        test=unit_test("orchestrate_failover", "a_second_failure_in_the_quiet_period_asks"),
    ),
    Mutant(
        "grace_ignored",
        "a step waits until the effect of its last act could be seen",
        (
            Edit(
                _DISTURBANCE,
                '    if rest_ms > 0:\n        return deny(\n            f"it acted',
                '    if rest_ms > 1 << 62:\n        return deny(\n            f"it acted',
            ),
        ),
        test=_rule("grace_over"),
    ),
    Mutant(
        "foreign_controller_ignored",
        "roles are never changed beside Sentinel or another controller",
        (
            Edit(
                _EVIDENCE,
                "if case.proposal.changes_roles and others.names:",
                "if case.proposal.changes_roles and not others.seen and others.names:",
            ),
        ),
        test=unit_test("orchestrate_modes", "beside_sentinel_roles_are_left_alone"),
    ),
    Mutant(
        "declared_controller_forgotten_when_not_seen",
        "roles are not changed past a declared controller that is cut off for a while",
        (Edit(_CONTROLLERS, " | {*self.declared})", ")"),),
        test=unit_test(
            "orchestrate_controllers",
            "roles_are_not_changed_past_a_declared_controller_that_is_not_seen",
        ),
    ),
    Mutant(
        "controller_appoints_whoever_it_names",
        "the word of a controller appoints only who calls itself primary",
        (Edit(_CONTROLLERS, "return found if is_so else None", "return found"),),
        test=unit_test(
            "orchestrate_controllers",
            "a_word_of_few_agents_or_for_one_that_is_no_primary_appoints_nobody",
        ),
    ),
    Mutant(
        "unfenced_agents_acted_upon",
        "automation acts only where a worker of the past is refused, unless declared",
        (
            Edit(
                _EVIDENCE,
                "        and not node.is_fenced\n",
                "        and node.seen_ms is None\n",
            ),
        ),
        test=unit_test(
            "orchestrate_modes", "unfenced_agents_are_acted_on_only_when_that_is_declared"
        ),
    ),
    Mutant(
        "blind_disruption",
        "what disturbs is done only when every node concerned was seen",
        (Edit(_EVIDENCE, "    if blind:\n", "    if len(blind) > len(view.node_ids):\n"),),
        test=_rule("information_complete"),
    ),
    Mutant(
        "observe_mode_acts",
        "automation starts nothing unless namespace and cluster are in active mode",
        (
            Edit(
                _SCOPE,
                "    if situation.mode is not Mode.ACTIVE:\n",
                "    if situation.mode is Mode.PAUSED:\n",
            ),
        ),
        test=unit_test("orchestrate_modes", "observe_says_what_would_have_been_done"),
    ),
    Mutant(
        "held_discovery_acted_upon",
        "nothing planned is done while a suspicious answer of the platform is held",
        (
            Edit(
                _EVIDENCE,
                "    if discovery.held is not None:\n",
                "    if discovery.held is not None and not discovery.nodes:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_discovery", "a_held_answer_is_a_condition_and_stops_planned_work"
        ),
    ),
    Mutant(
        "held_discovery_believed",
        "half of the nodes or more are gone only when a person says so",
        (
            Edit(
                _GUARD,
                "    is_minor = 2 * len(doubtful) < len(before.nodes)\n",
                "    is_minor = True\n",
            ),
        ),
        test=unit_test(
            "orchestrate_discovery", "an_empty_or_much_shrunken_answer_is_held_for_ever"
        ),
    ),
    Mutant(
        "shrunken_discovery_believed_at_once",
        "a missing node is believed after the same answer several times",
        (
            Edit(
                _GUARD,
                "    if is_minor and not primaries and count >= DISCOVERY_CONFIRMATIONS_MIN:\n",
                "    if is_minor and not primaries:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_discovery",
            "a_minority_that_is_missing_is_believed_after_the_same_answer_thrice",
        ),
    ),
    Mutant(
        "failed_discovery_is_an_empty_one",
        "a platform that fails takes nothing away",
        (
            Edit(
                _DISCOVER,
                "        return nothing, said.failure\n",
                '        said = type(said)(value={"clusters": []})\n',
            ),
            Edit(_GUARD, "    if not doubtful or is_confirmed:\n", "    if before.nodes:\n"),
        ),
        test=unit_test("workers", "a_platform_that_fails_or_forgets_takes_nothing_away"),
    ),
    Mutant(
        "replaced_before_it_is_ended",
        "a primary that hangs is ended before another takes over",
        (
            Edit(
                _FAILOVER,
                "    return _fence_first(situation, primary, chosen) or promotion(",
                "    return promotion(",
            ),
        ),
        test=unit_test(
            "orchestrate_fence",
            "a_primary_that_hangs_is_ended_before_another_takes_over",
        ),
    ),
    Mutant(
        "ended_without_judgement",
        "nothing is ended that nobody may replace",
        (
            Edit(
                _CASE,
                ' or primary.node_id in (None, proposal.args.get("replaces"))\n',
                "\n",
            ),
        ),
        test=unit_test(
            "orchestrate_fence",
            "nothing_is_ended_that_nobody_may_replace",
        ),
    ),
    Mutant(
        "waits_for_a_silent_fence",
        "an agent that falls silent does not stand in the way of a failover",
        (
            Edit(
                _DISTURBANCE,
                "        elif action.kind != STORE_FENCE:\n",
                "        elif action.kind:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_fence",
            "an_agent_that_falls_silent_meanwhile_does_not_stand_in_the_way",
        ),
    ),
    Mutant(
        "chain_is_left",
        "a switchover ends with every copy behind the new primary",
        (
            Edit(
                _REJOIN,
                "    if upstream.sight is Sight.UP and view.node_at(upstream.address) is None:\n",
                "    if upstream.sight is Sight.UP:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_role_changes",
            "a_switchover_ends_with_every_copy_behind_the_new_primary",
        ),
    ),
)

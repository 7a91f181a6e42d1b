"""Defects of failovers, as edits of the code: the world with a simulated store finds them."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_CLAIMS = "orchestrate/roles/claims.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_FAILOVER = "orchestrate/converge/failover.py"
_PRIMARIES = "orchestrate/roles/primaries.py"
_PROGRESS = "orchestrate/memory/progress.py"
_DATA = "orchestrate/safety/rules_data.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_WORLD = unit_test("workers_failovers", "failovers_break_no_promise")
_ALONE = unit_test("orchestrate_rules", "the_rule_alone_stands_in_the_way")

FAILOVER_MUTANTS = (
    Mutant(
        "a_stopped_primary_is_left",
        "never do two servers take writes at once (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "        and node.contact is StoreContact.SILENT\n        and node.is_fenced",
                "        and node.contact is StoreContact.REFUSED\n        and node.is_fenced",
            ),
        ),
        test=unit_test(
            "workers_failovers",
            "a_stopped_primary_that_goes_on_takes_no_write_beside_its_successor",
        ),
    ),
    Mutant(
        "one_lost_answer_spares_a_hung_primary",
        "one lost answer of its agent does not let a primary that hangs go on (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "        and node.node_status is NodeStatus.UNREACHABLE\n",
                "        and node.node_status is NodeStatus.UNKNOWN\n",
            ),
        ),
        test=unit_test("orchestrate_fence", "one_lost_answer_of_its_agent_does_not_let_it_go_on"),
    ),
    Mutant(
        "a_silent_agent_is_waited_for",
        "an agent that stays silent holds a failover up for one look (ADR 0046)",
        (
            Edit(
                _FAILOVER,
                "        and condition_key(_HANGING, node_id) in situation.state.conditions\n",
                "        and condition_key(_HANGING, node_id)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_fence", "an_agent_that_stays_silent_holds_a_failover_up_for_one_look"
        ),
    ),
    Mutant(
        "proof_waits_for_an_answer",
        "where all connections are refused no waiting makes that surer (ADR 0031)",
        (
            Edit(
                _FAILOVER,
                "primary.proof is not Proof.REFUSED and hung_a_look_ago(",
                "primary.proof is not Proof.DEMOTED and hung_a_look_ago(",
            ),
        ),
        test=unit_test(
            "orchestrate_fence",
            "where_all_connections_are_refused_nobody_waits_for_a_lost_answer",
        ),
    ),
    Mutant(
        "promotion_sent_again_past_its_reason",
        "no copy is promoted past a primary that is seen (ADR 0070)",
        (
            Edit(
                _DISPATCH, "    elif is_past_its_reason(situation, action):\n", "    elif False:\n"
            ),
        ),
        test=unit_test(
            "orchestrate_failover",
            "a_promotion_that_never_arrived_is_given_up_when_its_primary_is_seen",
        ),
    ),
    Mutant(
        "loss_not_bounded",
        "no copy is promoted beyond the declared loss",
        (Edit(_DATA, "    if known > bound:\n", "    if known > bound + 1_000:\n"),),
        test=_ALONE,
    ),
    Mutant(
        "witnesses_not_heard",
        "no copy is promoted while one still sees the primary (ADR 0031)",
        (
            Edit(
                _PRIMARIES,
                "    if found.is_seen_by_a_copy and not found.has_stepped_down:\n",
                "    if not known:\n",
            ),
            Edit(
                _EVIDENCE,
                "    if primary.is_seen_by_a_copy and not primary.has_stepped_down:\n",
                "    if not primary.node_id:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_failover", "a_partition_between_us_and_the_primary_is_no_failover"
        ),
    ),
    Mutant(
        "no_quiet_after_a_recovery",
        "a flapping primary costs one recovery, not many",
        (
            Edit(
                _DISTURBANCE,
                "    if proposal.is_asked_for or recovered_ms is None:\n",
                "    if proposal.is_asked_for or recovered_ms is not situation:\n",
            ),
        ),
        test=_ALONE,
    ),
    Mutant(
        "what_a_primary_had_is_forgotten",
        "a primary that was started anew is replaced, and by what it had",
        (
            Edit(
                _PROGRESS,
                "        if earlier is not None and earlier.role is ShardRole.PRIMARY:\n",
                "        if earlier is not None and earlier.role is ShardRole.OTHER:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_restarts",
            "a_primary_that_was_started_anew_is_replaced_by_what_it_was",
        ),
    ),
    Mutant(
        "every_claim_is_ended",
        "who calls itself primary is demoted only if it is known as replaced (ADR 0100)",
        (
            Edit(
                _DATA,
                "    if shards:\n",
                "    if len(shards) > len(view.shards):\n",
            ),
        ),
        test=unit_test(
            "orchestrate_claims",
            "a_look_torn_by_a_failover_by_hand_demotes_nobody",
        ),
    ),
    Mutant(
        "first_sight_appoints",
        "nobody is appointed before every node told what it holds (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "            if is_all_told:\n",
                "            if is_all_told or primaries:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_claims",
            "the_right_primary_is_not_demoted_because_another_one_was_seen_first[n3-n2]",
        ),
    ),
    Mutant(
        "copy_is_torn_from_a_claim",
        "a copy of a claim is not taken from it (ADR 0100)",
        (
            Edit(
                _CLAIMS,
                "        if source in claimed or source in unknown:\n",
                "        if source in unknown:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_claims",
            "a_primary_that_discovery_learns_of_later_waits_for_a_person_and_so_does_its_copy",
        ),
    ),
    Mutant(
        "a_new_start_settles_a_claim",
        "a claim is settled by following the appointed primary alone (ADR 0100)",
        (
            Edit(
                _CLAIMS,
                "    return appointed in _sources(view, copy)\n",
                "    return appointed is not None\n",
            ),
        ),
        test=unit_test(
            "orchestrate_claims",
            "a_right_primary_that_is_started_anew_is_not_taken_for_one_that_yielded",
        ),
    ),
    Mutant(
        "what_we_replaced_is_forgotten",
        "a former primary that comes back rejoins without a person (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "        known[former] = by\n",
                "        known.pop(former, None)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_claims",
            "one_that_we_replaced_rejoins_by_itself_however_late_it_comes_back[primary-None]",
        ),
    ),
    Mutant(
        "successor_follows_its_former_primary",
        "a primary that crashed begins as nobody's copy, also the successor of a switchover",
        (
            Edit(
                "agents/stores/redis/store.py",
                "        if is_stale and follows == self._leads_beside:\n",
                "        if False:\n",
            ),
        ),
        test="tests/contract/test_agents_redis.py::"
        "test_a_successor_that_was_killed_comes_back_as_nobodys_copy",
    ),
)

"""Defects of the gate before the log and of raising the feature level (ADR 0004, ADR 0045)."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_LEVELS, _LEVELS_TEST = "api/routes_levels.py", "tests/unit/test_api_levels.py"

STATE_MUTANTS = (
    Mutant(
        "level_over_a_peer_that_was_not_heard",
        "a level is proposed only when every member said that it supports it",
        (Edit(_LEVELS, "if found is None or found < level}", "if (found or level) < level}"),),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "level_over_a_peer_of_an_older_version",
        "a member that supports less keeps the level where it is",
        (Edit(_LEVELS, "if found is None or found < level}", "if found is None}"),),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "level_of_a_peer_that_is_away",
        "what a member that is away supported says nothing of what comes back",
        (
            Edit(
                _LEVELS,
                "    return member.level_max if member.is_connected else None\n",
                "    return member.level_max\n",
            ),
        ),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "gate_that_lets_tokens_of_nobody_pass",
        "what apply's own decoder cannot read is refused before it is proposed",
        (
            Edit(
                "state/queue_admission.py",
                '    check_positive(token, f"{where}token", what="a token")\n',
                "",
            ),
        ),
        test="tests/unit/test_state_refusals.py",
    ),
    Mutant(
        "sweep_of_any_size",
        "no entry gives back more bytes of jobs than a claim holds",
        (
            Edit(
                "state/sweep_room.py",
                "return self.records_left > 0 and self.bytes_left > 0",
                "return self.records_left > 0",
            ),
        ),
        test=unit_test(
            "state_queue_sweeps", "claims_that_run_out_together_are_given_back_by_their_size"
        ),
    ),
    Mutant(
        "rest_of_a_lease_is_forgotten",
        "what was claimed under a lease that is over is given back, all of it",
        (
            Edit(
                "state/apply_leases.py",
                "        if _is_left(writer, token):\n            return\n",
                "        if _is_left(writer, token) and not room.is_left:\n"
                "            writer.delete(tables.lease_ended_key(token))\n"
                "            continue\n",
            ),
        ),
        test=unit_test(
            "state_queue_sweeps",
            "a_lease_of_which_a_part_was_given_back_keeps_the_rest_for_later",
        ),
    ),
    Mutant(
        "batch_gives_back_any_size",
        "no command writes more bytes of jobs anew than a claim holds",
        (
            Edit(
                "state/apply_queue.py",
                "writer.command_job_bytes >= CLAIM_BYTES_MAX",
                "writer.command_job_bytes < 0",
            ),
        ),
        test=unit_test(
            "state_queue_sweeps",
            "what_a_batch_writes_anew_is_bounded_by_its_size_and_the_rest_holds_on",
        ),
    ),
    Mutant(
        "filter_that_reads_for_nothing",
        "no question holds the loop (R14)",
        (
            Edit(
                "state/queries.py",
                "or (scanned and size > bytes_max):",
                "or (items and size > bytes_max):",
            ),
        ),
        test=unit_test(
            "state_events",
            "the_bytes_of_what_a_filter_passes_over_end_a_page_that_holds_nothing_too",
        ),
    ),
    Mutant(
        "survey_of_queues_looks_at_all",
        "no question holds the loop (R14)",
        (
            Edit(
                "state/queue_queries.py",
                "if row.ready_count and looks_count < QUEUE_LOOKS_MAX:",
                "if row.ready_count:",
            ),
        ),
        test=unit_test(
            "state_queue_bounds",
            "a_survey_of_queues_counts_all_and_says_how_many_ages_it_left_out",
        ),
    ),
    Mutant(
        "purge_that_begins_anew",
        "a purge finds what waits behind any number of other jobs",
        (
            Edit(
                "state/apply_queue.py",
                '        start = t.job_key(queue, command.after) + b"\\x00"\n',
                "        pass\n",
            ),
        ),
        test=unit_test(
            "state_queue_operators",
            "a_purge_finds_what_waits_behind_any_number_of_dead_letters_and_claimed_jobs",
        ),
    ),
    Mutant(
        "redrive_of_the_same_again",
        "a redrive meets each dead letter once",
        (
            Edit(
                "state/apply_queue.py",
                '        start = t.dead_key(queue, after) + b"\\x00"\n',
                "        pass\n",
            ),
        ),
        test=unit_test(
            "state_queue_operators",
            "dead_letters_are_redriven_each_once_and_purged_portion_by_portion",
        ),
    ),
    Mutant(
        "histories_of_namesakes_in_one_table",
        "an action's history is its own, and goes with it",
        (
            Edit(
                "state/record_tables.py",
                "    RecordKind.OACTION: OACTION_HISTORY,\n",
                "    RecordKind.OACTION: NACTION_HISTORY,\n",
            ),
        ),
        test=unit_test(
            "state_actions", "an_action_that_is_forgotten_leaves_the_history_of_its_namesake"
        ),
    ),
    Mutant(
        "keys_with_their_values",
        "a list of keys alone sends no values",
        (
            Edit(
                "api/routes_kv.py",
                "tuple(map(_key_of, page.items)) if is_keys_only else await _items(page.items)",
                "await _items(page.items)",
            ),
        ),
        test=unit_test("api_kv", "a_range_of_keys_alone_brings_no_values_and_the_same_pages"),
    ),
)

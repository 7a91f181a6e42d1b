"""Defects of queues, leases, transactions and events, which clients of the product's own state
machine meet in the simulator (ADR 0061), and of the worker, which tests of it meet."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_LEASES = "state/apply_leases.py"
_QUEUE = "state/apply_queue.py"
_WORKER = "client/worker.py"

WORK_MUTANTS = (
    Mutant(
        "any_token_acknowledges",
        "a token of a claim that is over does nothing",
        (Edit(_QUEUE, "    if is_over or row.token != token:\n", "    if is_over:\n"),),
    ),
    Mutant(
        "operations_of_a_stale_acknowledgement",
        "an acknowledgement and its operations are one write",
        (
            Edit(
                _QUEUE,
                "    if refused is not None:\n        return refused\n    done",
                "    if refused is not None:\n"
                "        for one in command.operations:\n"
                "            carry_out(writer, one)\n"
                "        return refused\n    done",
            ),
        ),
        test=unit_test("state_queue", "a_stale_token_does_nothing_and_none_of_its_operations"),
    ),
    Mutant(
        "claim_of_half_its_time",
        "a claim lasts as long as its worker was told",
        (
            Edit(
                "state/queue_moves.py",
                "        deadline_ms=clock_ms + visibility_ms,\n        visibility_ms",
                "        deadline_ms=clock_ms + visibility_ms // 2,\n        visibility_ms",
            ),
        ),
    ),
    Mutant(
        "lease_granted_too_early",
        "one holder at a time",
        (
            Edit(
                _LEASES,
                "        if before.deadline_ms > clock_ms:\n            left_ms",
                "        if before.deadline_ms > clock_ms + before.duration_ms // 2:\n"
                "            left_ms",
            ),
        ),
    ),
    Mutant(
        "old_token_renews",
        "a token of a grant that is over prolongs nothing",
        (
            Edit(
                _LEASES,
                "    before = _held_with(writer, command.name, command.token)\n"
                "    if isinstance(before, Rejected):\n"
                "        return before\n"
                "    revision = writer.stamp()\n"
                "    duration_ms",
                "    before = leases.held(\n"
                "        writer, command.name, clock_ms=writer.counters.clock_ms\n"
                "    )\n"
                "    if before is None:\n"
                "        return Rejected(RejectCode.STALE_TOKEN, {'held': None})\n"
                "    revision = writer.stamp()\n"
                "    duration_ms",
            ),
        ),
    ),
    Mutant(
        "one_comparison_is_enough",
        "a transaction happens when every comparison holds",
        (
            Edit(
                "state/apply_txn.py",
                "    is_success = all(_holds(writer, compare) for compare in command.compares)\n",
                "    is_success = not command.compares or any(\n"
                "        _holds(writer, compare) for compare in command.compares\n"
                "    )\n",
            ),
        ),
    ),
    Mutant(
        "leases_forgotten_by_a_restart",
        "what is due is due on every peer, however often it was restarted",
        (
            Edit(
                "state/leases.py",
                "        self.earliest_ms = _earliest_ms(reader, from_ms=0)\n",
                "        self.earliest_ms: int | None = None\n",
            ),
        ),
    ),
    Mutant(
        "change_without_its_event",
        "a change and its event are one write",
        (
            Edit(
                "state/queue_moves.py",
                "    write_job(writer, queue, job, claimed)\n    _set_due",
                "    write_job(writer, queue, job, claimed)\n"
                "    if claimed.attempts > 1:\n"
                "        writer.begin_command(request_id='', actor='')\n"
                "    _set_due",
            ),
        ),
    ),
    Mutant(
        "event_numbered_by_the_process",
        "events are numbered without gaps, whoever is asked (design: one event log)",
        (
            Edit(
                "state/writer.py",
                "        seq = counters.events_seq + 1\n",
                "        seq = counters.events_seq + (1 if self.request_id else 2)\n",
            ),
        ),
    ),
    Mutant(
        "ready_job_behind_the_start",
        "a claim finds every job that is ready",
        (
            Edit(
                "state/queue_rows.py",
                "        if start is not None and key < start:\n",
                "        if start is None:\n",
            ),
        ),
        test=unit_test(
            "state_queue_rows",
            "what_becomes_ready_before_the_place_of_the_last_claim_is_claimed_next",
        ),
    ),
    Mutant(
        "start_behind_jobs_that_wait",
        "a claim leaves what it did not take to the next one",
        (
            Edit(
                "state/apply_queue.py",
                'until = key + b"\\x00"\n',
                "until = end\n",
            ),
        ),
        test=unit_test(
            "state_queue_rows", "the_scan_of_a_claim_begins_behind_the_claims_before_it"
        ),
    ),
    Mutant(
        "claim_of_any_size",
        "a claim holds no more than an answer that can be read",
        (
            Edit(
                "state/apply_queue.py",
                "if taken and size > CLAIM_BYTES_MAX:",
                "if taken and False:",
            ),
        ),
        test=unit_test(
            "state_queue_bounds",
            "a_claim_ends_at_what_an_answer_holds_and_the_rest_stays_ready",
        ),
    ),
    Mutant(
        "large_job_is_never_claimed",
        "every job that is ready can be claimed",
        (
            Edit(
                "state/apply_queue.py",
                "if taken and size > CLAIM_BYTES_MAX:",
                "if size > CLAIM_BYTES_MAX:",
            ),
        ),
        test=unit_test("state_queue_bounds", "one_job_is_claimed_whatever_its_size"),
    ),
    Mutant(
        "late_claim_counts_as_fresh",
        "a job is begun under a claim that its worker can rely on",
        (
            Edit(
                _WORKER,
                "        if now_ms - claim.sent_ms < claim.duty.visibility_ms // EXTENSIONS:\n",
                "        if now_ms >= claim.sent_ms:\n",
            ),
        ),
        test=unit_test(
            "client_worker_claims",
            "a_claim_that_came_late_is_made_sure_of_before_its_job_is_handled",
        ),
    ),
    Mutant(
        "job_given_back_while_it_runs",
        "a worker gives nothing back that it still works on",
        (
            Edit(
                _WORKER,
                "            if await _has_ended(handling, within_ms=HANDLER_END_MS_MAX):\n"
                "                await self._give_back(claim)\n",
                "            await self._give_back(claim)\n"
                "            if await _has_ended(handling, within_ms=HANDLER_END_MS_MAX):\n"
                "                pass\n",
            ),
        ),
        test=unit_test(
            "client_worker_claims",
            "a_job_is_given_back_when_its_handler_has_ended_and_not_before",
        ),
    ),
    Mutant(
        "lost_session_asks_first",
        "a handler ends when the lease of its worker must be counted lost",
        (
            Edit(
                _WORKER,
                "            if await _has_ended(handling, within_ms=HANDLER_END_MS_MAX):\n",
                "            await self._client.queues.get(claim.job.queue)\n"
                "            if await _has_ended(handling, within_ms=HANDLER_END_MS_MAX):\n",
            ),
        ),
        test=unit_test(
            "client_worker_claims",
            "a_lost_session_cancels_the_handlers_and_asks_nobody",
        ),
    ),
    Mutant(
        "refused_effect_is_left_out",
        "what comes with an acknowledgement happens with it or not at all (ADR 0023)",
        (
            Edit(
                "state/apply_queue.py",
                "carried.refusal(writer, command.operations)",
                "None",
            ),
        ),
        test=unit_test("state_carried", "one_that_is_refused_refuses_all_and_the_claim_stays"),
    ),
    Mutant(
        "redrive_of_any_size",
        "no command moves more bytes than a claim holds",
        (
            Edit(
                "state/apply_queue.py",
                "if moved_count and size > CLAIM_BYTES_MAX:",
                "if moved_count and False:",
            ),
        ),
        test=unit_test("state_queue_bounds", "what_is_moved_at_once_is_bounded_by_its_size"),
    ),
    Mutant(
        "purge_of_any_size",
        "no command moves more bytes than a claim holds",
        (
            Edit(
                "state/apply_queue.py",
                "if is_full or (count and size > CLAIM_BYTES_MAX):",
                "if is_full:",
            ),
        ),
        test=unit_test("state_queue_bounds", "what_is_moved_at_once_is_bounded_by_its_size"),
    ),
    Mutant(
        "page_of_queues_looks_at_all",
        "no question holds the loop (R14)",
        (
            Edit(
                "state/queue_queries.py",
                "if len(items) == limit or looks_count > QUEUE_LOOKS_MAX:",
                "if len(items) == limit:",
            ),
        ),
        test=unit_test("state_queue_bounds", "a_page_of_queues_ends_after_so_many_looks"),
    ),
    Mutant(
        "page_of_jobs_passes_all_dead_letters",
        "no question holds the loop (R14)",
        (
            Edit(
                "state/queue_queries.py",
                "len(items) == limit or count == JOBS_LOOKED_AT_MAX",
                "len(items) == limit",
            ),
        ),
        test=unit_test("state_queue_bounds", "a_page_of_jobs_ends_after_so_many_rows_of_others"),
    ),
)

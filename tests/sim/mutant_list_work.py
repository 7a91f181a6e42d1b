"""Defects of the place where claims begin to look for ready jobs (ADR 0023)."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

WORK_MUTANTS = (
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
                'until = end if len(keys) < count else keys[-1] + b"\\x00"\n',
                "until = end\n",
            ),
        ),
        test=unit_test(
            "state_queue_rows", "the_scan_of_a_claim_begins_behind_the_claims_before_it"
        ),
    ),
)

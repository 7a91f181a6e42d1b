"""Defects of what has to be kept: in a copy, over a restart, on the disk, in the order and under
the number that it had."""

from __future__ import annotations

from mutant_parts import LOG, PROPOSALS, Edit, Mutant, unit_test

_QUEUE_MOVES = "state/queue_moves.py"

KEEPING_MUTANTS = (
    Mutant(
        "copy_without_its_configuration",
        "a copy of the state says who the members are (thesis §4.1, figure 5.3)",
        (
            Edit(
                LOG,
                "self._configurations = [(base.configuration_index, base.configuration)]",
                "self._configurations = self._configurations[-1:]",
            ),
        ),
    ),
    Mutant(
        "memory_of_before_a_copy",
        "after a copy nothing counts that the state held before",
        (
            Edit(
                "state/machine.py",
                "        self._store.install(path, index=index)\n        self._begin()\n",
                "        self._store.install(path, index=index)\n",
            ),
        ),
    ),
    Mutant(
        "claims_forgotten_by_a_restart",
        "a claim is over at one entry on all peers, whatever their processes remember",
        (
            Edit(
                "state/queue_times.py",
                '        self.earliest_ms = _earliest_ms(reader, from_ms=0)\n        "',
                '        self.earliest_ms: int | None = None\n        "',
            ),
        ),
    ),
    Mutant(
        "token_from_the_clock",
        "a later grant has a greater token, also in one instant (design R6)",
        (
            Edit(
                "state/apply_leases.py",
                "    token = writer.stamp()\n    row = LeaseRow(",
                "    token = (clock_ms + 1) << 16\n    row = LeaseRow(",
            ),
        ),
        test=unit_test("state_leases", "a_later_token_is_greater_also_within_one_entry"),
    ),
    Mutant(
        "given_back_job_loses_its_place",
        "jobs of a group are done in the order in which they were sent",
        (
            Edit(
                _QUEUE_MOVES,
                "            _place(writer, queue, job, back)\n"
                "        else:\n"
                "            _place_head(writer, queue, row.group)\n",
                "            _place(writer, queue, job, back)\n"
                "        else:\n"
                "            place = t.group_key(queue, row.group, job)\n"
                "            writer.delete(place)\n"
                "            _place_head(writer, queue, row.group)\n"
                '            writer.put(place, b"")\n',
            ),
        ),
        test=unit_test("state_queue", "a_group_waits_for_its_head_also_while_that_is_delayed"),
    ),
    Mutant(
        "failed_sync_is_swallowed",
        "what could not be written is never promised (design, sentence 3)",
        (
            Edit(
                "raft/commit_thread.py",
                "                loop.call_soon_threadsafe(_fail, done, error)\n",
                "                loop.call_soon_threadsafe(_succeed, done, None)\n",
            ),
        ),
        test=unit_test(
            "raft_commit_thread", "what_work_raises_reaches_the_caller_and_the_thread_lives_on"
        ),
    ),
    Mutant(
        "sent_again_under_a_new_number",
        "what may have arrived is sent again under its old number (ADR 0014)",
        (
            Edit(
                PROPOSALS,
                "        for pending in self._sent.values():\n            pending.sent_term = 0\n",
                "        again = [self._sent[sequence] for sequence in sorted(self._sent)]\n"
                "        self._sent.clear()\n"
                "        for pending in again:\n"
                "            pending.sequence, pending.sent_term = 0, 0\n"
                "        self._waiting.extendleft(reversed(again))\n",
            ),
        ),
    ),
    Mutant(
        "names_are_not_durable",
        "a file is durable when its name is, too (ADR 0015)",
        (
            Edit(
                "raft/lmdb_file.py",
                "            os.fsync(descriptor)\n        finally:",
                "            pass\n        finally:",
            ),
        ),
        test="tests/unit/test_raft_durable_names.py",
    ),
)

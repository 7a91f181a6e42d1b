"""Defects of trimming and of snapshots; see mutant_list."""

from __future__ import annotations

from mutant_parts import DRIVER, ENGINE, LOG, PROPOSALS, Edit, Mutant, unit_test

HOST = "raft/host.py"
SIZES = "raft/log_sizes.py"
SNAPSHOTS = "raft/snapshots.py"
PARTS = "raft/snapshot_parts.py"
IN_MEMORY = "raft/in_memory.py"
LOG_STORE = "raft/log_store.py"

SNAPSHOT_MUTANTS = (
    Mutant(
        "trims_what_the_state_lacks",
        "nothing is trimmed before the state has it durably (ADR 0019)",
        (
            Edit(
                DRIVER,
                "= self._log_kept_bytes, self.host.machine.durable_index\n",
                "= self._log_kept_bytes, self.applied_index\n",
            ),
        ),
    ),
    Mutant(
        "older_snapshot_is_installed",
        "a snapshot that is not ahead of the own state is ignored",
        (
            Edit(
                SNAPSHOTS,
                "        if chunk.index <= applied_index:\n",
                "        if chunk.index <= applied_index - 3:\n",
            ),
        ),
    ),
    Mutant(
        "sessions_are_not_restored",
        "sessions travel with the state (ADR 0014)",
        (
            Edit(
                HOST,
                "        self.sessions = SessionTable(self.machine.sessions)\n\n    def apply(",
                "        pass\n\n    def apply(",
            ),
        ),
    ),
    Mutant(
        "conflicting_tail_survives",
        "what follows a snapshot stays only when it follows that very entry",
        (
            Edit(
                LOG,
                "        if keeps_tail:\n            self._begin_at(base.index)\n",
                "        if self.last_index > base.index:\n"
                "            self._begin_at(base.index)\n",
            ),
        ),
    ),
    Mutant(
        "half_done_installation_is_forgotten",
        "an installation whose state was replaced is ended at the next start",
        (
            Edit(
                "raft/installations.py",
                "    if machine.applied_index == base.index:\n",
                "    if machine.applied_index < base.index:\n",
            ),
        ),
    ),
    Mutant(
        "chunk_moves_the_commit_index",
        "a snapshot on its way moves no commit index (paper, figure 13)",
        (
            Edit(
                ENGINE,
                "        self._follow(key)\n        return True\n",
                "        self._follow(key)\n"
                "        self._commit_up_to(min(chunk.index, self.log.last_index))\n"
                "        return True\n",
            ),
        ),
    ),
    Mutant(
        "damaged_snapshot_is_taken",
        "a snapshot is installed only when its digest is right",
        (
            Edit(
                SNAPSHOTS,
                "is_whole and self._digest.digest() == self._name.digest\n",
                "True\n",
            ),
            Edit(
                SNAPSHOTS,
                "chunk.offset == incoming.offset and not incoming.is_complete and has_room:\n",
                "not incoming.is_complete and has_room:\n",
            ),
        ),
    ),
    Mutant(
        "parts_are_trusted_without_checksum",
        "what an earlier process received counts as far as it is what its list says (ADR 0074)",
        (
            Edit(
                PARTS,
                "if len(data) != length or new_digest(data).digest() != digest:\n",
                "if len(data) != length:\n",
            ),
        ),
        test="tests/unit/test_raft_snapshot_parts.py",
    ),
    Mutant(
        "parts_of_another_copy_are_taken",
        "what an earlier process received goes on under the same name only (ADR 0074)",
        (
            Edit(
                PARTS,
                "is_same = found is not None and found.name == name\n",
                "is_same = found is not None\n",
            ),
        ),
        test="tests/unit/test_raft_snapshot_parts.py",
    ),
    Mutant(
        "parts_are_listed_before_they_are_durable",
        "a part enters the list when it is durable (ADR 0074)",
        (Edit(PARTS, "        os.fdatasync(self._copy)\n        length", "        length"),),
        test="tests/unit/test_raft_snapshot_parts.py",
    ),
    Mutant(
        "log_forgets_who_restarts",
        "a peer that restarts while it takes a copy goes on with that copy (ADR 0074)",
        (
            Edit(
                SNAPSHOTS, "bool(self._transfers) or self._is_awaited\n", "bool(self._transfers)\n"
            ),
        ),
        test="tests/unit/test_raft_snapshots_resumed.py",
    ),
    Mutant(
        "jumped_proposals_wait_for_ever",
        "who waits for an entry that a snapshot jumped over is answered",
        (
            Edit(
                PROPOSALS,
                "            elif session.has_applied(sequence):\n",
                "            elif session.has_applied(sequence) and sequence < 0:\n",
            ),
        ),
        test="tests/unit/test_raft_proposals.py",
    ),
    Mutant(
        "terms_have_no_reserve",
        "a term is written on a full disk too (ADR 0020)",
        (Edit(LOG_STORE, "            self._reserve.release()\n", ""),),
        test="tests/unit/test_raft_log_reserve.py",
    ),
    Mutant(
        "entries_take_the_reserve",
        "entries never take what terms and trims need (ADR 0020)",
        (
            Edit(
                LOG_STORE,
                "if not self._reserve_bytes or (records and not may_use_reserve):\n",
                "if not self._reserve_bytes:\n",
            ),
        ),
        test="tests/unit/test_raft_log_reserve.py",
    ),
    Mutant(
        "saved_without_sessions",
        "the snapshot of a machine in memory holds the sessions",
        (
            Edit(
                IN_MEMORY,
                "encode_snapshot(index=index, sessions=sessions, chunks=chunks)",
                "encode_snapshot(index=index, sessions={}, chunks=chunks)",
            ),
        ),
    ),
    Mutant(
        "snapshot_is_of_the_moment_when_it_is_packed",
        "a snapshot is the state as of its index, sessions too (ADR 0019)",
        (
            Edit(
                IN_MEMORY,
                "self.applied_index, dict(self._sessions)\n",
                "self.applied_index, self._sessions\n",
            ),
        ),
        test=unit_test(
            "raft_in_memory",
            "what_is_saved_is_the_state_of_that_moment_though_it_is_packed_later",
        ),
    ),
    Mutant(
        "copy_for_a_machine_in_memory_is_read_on_the_loop",
        "a peer votes and acknowledges while it reads a copy that arrived (ADR 0019)",
        (
            Edit(
                "raft/peer_snapshots.py",
                "if not self._is_checked(driver, *desk.arrived):\n",
                "if False:\n",
            ),
        ),
        test=unit_test(
            "raft_backup_and_jump",
            "what_arrives_for_a_machine_in_memory_is_checked_while_steps_are_taken",
        ),
    ),
)

"""Defects of what a peer does beside its steps: saving, copying and replacing its state."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

IN_MEMORY = "raft/in_memory.py"
COPYING = "raft/copying.py"
PEER = "raft/peer.py"
PEER_SNAPSHOTS = "raft/peer_snapshots.py"
GIVEN_UP = "raft_copies_given_up"

COPY_MUTANTS = (
    Mutant(
        "failed_save_is_told_to_nobody",
        "a failure of the disk other than for room ends the peer (DESIGN of the Raft room)",
        (
            Edit(
                IN_MEMORY,
                "        elif not (self._lacks_room or isinstance(failure, MemoryError)):\n"
                "            self._failed = (index, failure)\n",
                "",
            ),
        ),
        test=unit_test("raft_in_memory", "a_disk_that_fails_ends_the_peer"),
    ),
    Mutant(
        "who_gives_up_a_backup_leaves_its_thread",
        "the state does not jump under the thread that copies it (ADR 0060)",
        (Edit(COPYING, "        while not working.done():\n", "        while False:\n"),),
        test=unit_test(
            GIVEN_UP,
            "a_backup_that_is_given_up_guards_the_state_until_its_thread_is_done",
        ),
    ),
    Mutant(
        "backup_that_is_given_up_leaves_its_manifest",
        "a folder with a manifest is a whole backup (ADR 0060)",
        (
            Edit(
                "raft/backup.py",
                'in (folder / MANIFEST, folder / f"{MANIFEST}.new", folder / STATE):\n',
                'in (folder / f"{MANIFEST}.new", folder / STATE):\n',
            ),
        ),
        test=unit_test(GIVEN_UP, "a_backup_that_is_given_up_at_its_very_end_leaves_no_half_of_one"),
    ),
    Mutant(
        "state_is_replaced_while_it_is_saved",
        "a peer votes and acknowledges while its state is saved (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "if self._is_copying or (in_memory is not None and in_memory.is_saving):\n",
                "if self._is_copying:\n",
            ),
        ),
        test=unit_test(GIVEN_UP, "what_arrived_waits_for_a_save_that_began_while_it_was_checked"),
    ),
    Mutant(
        "state_is_saved_while_it_is_replaced",
        "what is begun on the loop waits for no save (ADR 0019)",
        (
            Edit(
                IN_MEMORY,
                "        if self._failed is not None or self._is_replaced:\n",
                "        if self._failed is not None:\n",
            ),
        ),
        test=unit_test(GIVEN_UP, "no_save_begins_while_the_state_is_replaced"),
    ),
    Mutant(
        "copy_that_cannot_be_made_is_made_for_ever",
        "a leader that cannot make a copy leads on, and makes it later (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "        except (RuntimeError, MemoryError) as error:  # no thread",
                "        except RecursionError as error:  # no thread",
            ),
        ),
        test=unit_test(GIVEN_UP, "a_leader_that_cannot_make_a_copy_for_want_of_anything_leads_on"),
    ),
    Mutant(
        "failure_of_a_state_that_is_copied_is_lost",
        "a failure of the disk other than for room ends the peer (DESIGN of the Raft room)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "        self._check_making()\n        self._read",
                "        self._read",
            ),
        ),
        test=unit_test(GIVEN_UP, "a_state_that_is_not_known_any_more_ends_the_peer_that_copies_it"),
    ),
    Mutant(
        "backup_waits_for_a_peer_that_has_stopped",
        "who waits for a peer that stops is told so (ADR 0060)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "        self._turns.refuse_when_closed()\n        asked: ",
                "        asked: ",
            ),
        ),
        test=unit_test(
            GIVEN_UP,
            "a_backup_whose_peer_stops_while_it_copies_waits_for_no_step_any_more",
        ),
    ),
    Mutant(
        "backup_waits_for_a_full_disk_without_end",
        "a question gets an answer while the disk is full (ADR 0020)",
        (
            Edit(
                COPYING,
                "                if not self._copies_count:\n",
                "                if False:\n",
            ),
        ),
        test=unit_test(GIVEN_UP, "a_backup_behind_an_installation_that_stands_still_is_told_so"),
    ),
    Mutant(
        "later_copy_passes_by_an_earlier_check",
        "what is installed is what was checked (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "            self._checking = None  # the next copy is checked anew\n",
                "",
            ),
        ),
        test=unit_test(GIVEN_UP, "what_was_checked_counts_for_no_later_copy"),
    ),
    Mutant(
        "refused_start_leaves_a_thread",
        "one process at a time writes in a data directory (ADR 0074)",
        (
            Edit(
                PEER,
                "                await self._snapshots.close()\n                raise\n",
                "                raise\n",
            ),
        ),
        test=unit_test("raft_peer_ends", "a_start_that_is_refused_leaves_no_thread_behind"),
    ),
    Mutant(
        "failed_end_keeps_the_directory",
        "a peer that ended lets go of its directory",
        (
            Edit(
                PEER,
                "                ending.enter_context(self._opened)\n",
                "",
            ),
        ),
        test=unit_test("raft_peer_ends", "a_directory_is_let_go_whatever_fails_at_the_end"),
    ),
    Mutant(
        "one_failure_keeps_the_rest_from_its_end",
        "threads that copy the state are waited for before it is closed, whatever failed",
        (
            Edit(
                PEER,
                "                ending.push_async_callback(self._neighbours.stop)\n",
                "                await self._neighbours.stop()\n",
            ),
            Edit(
                PEER,
                "                ending.push_async_callback(self._snapshots.close)\n",
                "",
            ),
        ),
        test=unit_test("raft_peer_ends", "what_fails_at_the_end_keeps_nothing_else_from_its_end"),
    ),
    Mutant(
        "step_waits_between_two_backups",
        "a peer takes steps while its state is copied (ADR 0060)",
        (Edit(COPYING, "self._copies_count > 0 or self._lock", "self._lock"),),
        test=unit_test(
            "raft_two_backups",
            "a_step_between_two_backups_does_not_wait_for_the_second",
        ),
    ),
    Mutant(
        "note_of_a_failed_commit_is_lost_by_a_power_cut",
        "a meta page that the disk refused is no damage (ADR 0015)",
        (Edit("lmdb_commits.py", "        os.fsync(file)\n", "        pass\n"),),
        test=unit_test(
            "raft_durable_names", "a_note_of_a_failed_commit_is_there_after_a_power_cut"
        ),
    ),
    Mutant(
        "who_stops_reads_all_that_was_left",
        "a peer that stops, or may not start, is told so at once (ADR 0074)",
        (
            Edit(
                "raft/snapshot_parts.py",
                "            if is_given_up():\n                return None\n",
                "",
            ),
        ),
        test=unit_test(
            "raft_snapshot_parts",
            "who_stops_waits_for_one_part_and_not_for_all_that_was_left",
        ),
    ),
)

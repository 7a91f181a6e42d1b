"""Defects of the copies that a leader sends, and of what keeps one from its place."""

from __future__ import annotations

from mutant_parts import SNAPSHOTS, Edit, Mutant, unit_test

IN_MEMORY = "raft/in_memory.py"
PEER_SNAPSHOTS = "raft/peer_snapshots.py"
GIVEN_UP = "raft_copies_given_up"
UNREADABLE = "raft_snapshots_unreadable"

OUTGOING_MUTANTS = (
    Mutant(
        "copy_that_cannot_be_read_is_kept",
        "a peer below the leader's base is never stuck (ADR 0019)",
        (
            Edit(
                SNAPSHOTS,
                "            self._drop_file()\n            self.failed(now_ms)\n",
                "            self.failed(now_ms)\n",
            ),
        ),
        test=unit_test(UNREADABLE, "a_copy_that_cannot_be_read_is_made_anew_after_a_while"),
    ),
    Mutant(
        "copy_is_removed_while_it_is_made",
        "a peer below the leader's base is never stuck (ADR 0019)",
        (
            Edit(
                SNAPSHOTS,
                "            self._drop_file()\n            outgoing = None\n",
                "            outgoing = None\n",
            ),
        ),
        test=unit_test(UNREADABLE, "a_file_is_not_taken_away_from_who_makes_it"),
    ),
    Mutant(
        "copy_that_took_long_is_dropped_at_its_end",
        "a snapshot waits for the next one who needs it (SNAPSHOT_IDLE_MS_MAX)",
        (
            Edit(
                SNAPSHOTS,
                "            self._used_ms = now_ms  # who is away",
                "            pass  #",
            ),
        ),
        test=unit_test(
            UNREADABLE, "a_file_that_took_long_to_make_waits_for_who_is_away_at_its_end"
        ),
    ),
    Mutant(
        "who_dropped_a_whole_copy_is_sent_nothing",
        "what could not be installed is asked for again (ADR 0019)",
        (Edit(SNAPSHOTS, "min(transfer.acked, outgoing.size_bytes - 1)\n", "transfer.acked\n"),),
        test=unit_test(UNREADABLE, "who_had_to_drop_a_copy_that_was_whole_is_sent_it_again"),
    ),
    Mutant(
        "file_that_ends_too_early_is_sent_without_end",
        "a peer below the leader's base is never stuck (ADR 0019)",
        (Edit("raft/snapshot_files.py", "        if not data:\n", "        if False:\n"),),
        test=unit_test(UNREADABLE, "a_file_that_ends_too_early_cannot_be_read"),
    ),
    Mutant(
        "backups_that_overlap_keep_a_copy_from_its_place",
        "backups hold up no peer that lags for good (ADR 0060)",
        (Edit(PEER_SNAPSHOTS, "        self._turns.hold_up()\n", ""),),
        test=unit_test(
            "raft_two_backups", "what_has_arrived_goes_before_a_backup_that_comes_later"
        ),
    ),
    Mutant(
        "backups_wait_for_what_was_dropped",
        "a copy that is not installed holds up no backup for good (ADR 0060)",
        (Edit(PEER_SNAPSHOTS, "            self._turns.let_in()\n", ""),),
        test=unit_test(
            "raft_two_backups",
            "what_arrived_and_is_not_installed_holds_up_no_backup_for_good",
        ),
    ),
    Mutant(
        "copy_for_a_follower_leaves_its_thread",
        "the state is closed when no thread copies it",
        (
            Edit(
                PEER_SNAPSHOTS,
                "await to_its_end(lambda: driver.host.machine.export(outgoing))\n",
                "await asyncio.to_thread(driver.host.machine.export, outgoing)\n",
            ),
        ),
        test=unit_test(
            GIVEN_UP,
            "a_copy_for_a_follower_is_waited_for_though_all_tasks_are_cancelled",
        ),
    ),
    Mutant(
        "want_of_memory_ends_who_checks_a_copy",
        "want of memory or of a thread is waited for (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "            if not is_for_want(error):\n"
                "                raise\n"
                "            self._refuse(",
                "            raise\n            self._refuse(",
            ),
        ),
        test=unit_test(
            GIVEN_UP,
            "a_follower_that_cannot_check_a_copy_for_want_of_anything_goes_on",
        ),
    ),
    Mutant(
        "save_that_cannot_begin_ends_the_peer",
        "want of memory or of a thread is waited for (ADR 0019)",
        (
            Edit(
                IN_MEMORY,
                "                if not is_for_want(error):\n                    raise\n",
                "                raise\n",
            ),
        ),
        test=unit_test("raft_in_memory", "a_save_that_could_not_begin_is_tried_again"),
    ),
    Mutant(
        "save_without_memory_ends_the_peer",
        "want of memory or of a thread is waited for (ADR 0019)",
        (
            Edit(
                IN_MEMORY,
                "(self._lacks_room or isinstance(failure, MemoryError))",
                "self._lacks_room",
            ),
        ),
        test=unit_test("raft_in_memory", "a_save_that_found_no_memory_is_tried_again"),
    ),
    Mutant(
        "folder_of_snapshots_is_lost_by_a_power_cut",
        "what is durable is so under its name",
        (Edit("raft/snapshot_files.py", "    sync_upwards(data_dir)\n", ""),),
        test=unit_test(
            "raft_durable_names", "the_folder_of_snapshots_is_found_again_after_a_power_cut"
        ),
    ),
    Mutant(
        "backup_is_lost_with_its_folder_by_a_power_cut",
        "what is told as a backup is durable (ADR 0060)",
        (
            Edit(
                "raft/lmdb_file.py",
                "in (folder, *folder.resolve().parents):\n",
                "in (folder, folder.parent):\n",
            ),
        ),
        test=unit_test(
            "raft_durable_names",
            "a_backup_is_found_again_after_a_power_cut_however_deep_its_folder",
        ),
    ),
    Mutant(
        "failing_disk_at_a_start_is_a_defect",
        "a disk that fails at a start is told as such",
        (
            Edit(
                "raft/lmdb_file.py",
                "    except OSError as error:\n        if error.errno",
                "    except ValueError as error:\n        if error.errno",
            ),
        ),
        test=unit_test("raft_start_on_a_failing_disk", "a_folder_whose_name_cannot_be_kept"),
    ),
)

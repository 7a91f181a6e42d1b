"""Defects of what everything stands on: syncs, checksums, greetings, apply, the start; see
mutant_list."""

from __future__ import annotations

from mutant_parts import PEER, PROPOSALS, Edit, Mutant, unit_test

LOG_STORE = "raft/log_store.py"
LOG_TABLES = "raft/log_tables.py"
RECORDS = "raft/records.py"
FRAMES = "raft/frames.py"
WELCOME = "raft/welcome.py"
PEER_SNAPSHOTS = "raft/peer_snapshots.py"
_BARRIER = unit_test(
    "raft_peer_barrier",
    "nothing_that_depends_on_a_write_is_said_before_the_write_is_durable",
)
_LOG_TABLES_TEST = "tests/unit/test_raft_log_tables.py"
HOST = "raft/host.py"

GROUND_MUTANTS = (
    Mutant(
        "promises_leave_before_the_write",
        "a vote and an acknowledgement leave after they are durable (paper figure 2)",
        (
            Edit(
                PEER,
                "        self._neighbours.send(effects.early)\n",
                "        self._neighbours.send(effects.early)\n"
                "        self._neighbours.send(effects.late)\n"
                "        effects.late.clear()\n",
            ),
        ),
        test=_BARRIER,
    ),
    Mutant(
        "leader_counts_itself_before_its_write",
        "a leader counts its own log after the write, as any other's (thesis §10.2.1)",
        (
            Edit(
                PEER,
                "            await self._committing.commit("
                "writes, is_awaited=bool(effects.early))\n"
                "            driver.persisted()\n",
                "            driver.persisted()\n"
                "            await self._committing.commit("
                "writes, is_awaited=bool(effects.early))\n",
            ),
        ),
        test=_BARRIER,
    ),
    Mutant(
        "log_is_trimmed_past_a_copy_that_is_made",
        "what follows a snapshot stays in the log while it is made (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "served = [self._begun_index, self._desk.held_index]\n",
                "served = [self._desk.held_index]\n",
            ),
        ),
        test=unit_test(
            "raft_backup_and_jump",
            "what_follows_a_file_is_held_in_the_log_while_the_file_is_made",
        ),
    ),
    Mutant(
        "log_is_not_synced",
        "what is promised is on the disk, not in the memory of a kernel (ADR 0002)",
        (
            Edit(
                LOG_STORE,
                "                sync=True,\n                metasync=True,\n",
                "                sync=False,\n                metasync=False,\n",
            ),
        ),
        test="tests/stock/test_stock_persistence.py::test_ours_syncs_every_write_of_the_log",
    ),
    Mutant(
        "log_is_trimmed_in_pieces",
        "every change of the log is one transaction (ADR 0015)",
        (
            Edit(
                LOG_STORE,
                "                if trim_to is not None:\n"
                "                    delete_below(txn, self._entries, _KEY.pack(trim_to))\n",
                "            if trim_to is not None:\n"
                "                for at in range(trim_to):\n"
                "                    with self._env.begin(write=True) as txn:\n"
                "                        delete_below(txn, self._entries, _KEY.pack(at + 1))\n",
            ),
        ),
        test="tests/stock/test_stock_persistence.py"
        "::test_ours_a_kill_while_the_log_is_cut_leaves_all_of_it_or_what_was_to_stay",
    ),
    Mutant(
        "damaged_record_is_replayed",
        "a record is what its checksum says, or the peer does not start (ADR 0015)",
        (
            Edit(
                RECORDS,
                "zlib.crc32(_INDEX.pack(index)))) != crc:\n",
                "zlib.crc32(_INDEX.pack(index)))) != crc and not payload:\n",
            ),
        ),
        test=unit_test("raft_records", "every_flipped_bit_of_a_record_is_seen"),
    ),
    Mutant(
        "record_of_another_history_is_replayed",
        "a record follows the one before it, or the peer does not start (ADR 0015)",
        (
            Edit(
                RECORDS,
                "        if expected.chain != chain:\n",
                "        if expected.term != term:\n",
            ),
        ),
        test=unit_test("raft_records", "a_record_of_another_history_is_seen"),
    ),
    Mutant(
        "damaged_frame_is_delivered",
        "a frame is what its checksum says, or the link ends (ADR 0011)",
        (
            Edit(
                FRAMES,
                "            if crc32(body) != checksum:\n                raise _damaged(length)\n",
                "",
            ),
        ),
        test=unit_test("raft_frames", "a_flipped_bit_is_never_delivered"),
    ),
    Mutant(
        "another_cluster_is_let_in",
        "peers of two clusters never speak (design R13, R15)",
        (
            Edit(
                WELCOME,
                "    if hello.cluster_id and hello.cluster_id != header.cluster_id:\n",
                "    if hello.cluster_id and not header.cluster_id:\n",
            ),
        ),
        test=unit_test("raft_welcome", "a_peer_of_another_cluster_is_refused_by_its_id"),
    ),
    Mutant(
        "certificate_of_another_is_believed",
        "over TLS the certificate says who speaks, not the greeting (design R13)",
        (
            Edit(
                "raft/link_board.py",
                "certificate_refusal(hello, certified) if self._is_tls else None\n",
                "None\n",
            ),
        ),
        test="tests/integration/test_raft_transport_tls.py",
    ),
    Mutant(
        "two_processes_speak_for_one",
        "a copied directory gets no link beside its original (ADR 0012)",
        (
            Edit(
                "raft/claims.py", "                return False\n", "                return True\n"
            ),
        ),
        test="tests/unit/test_raft_claims.py",
    ),
    Mutant(
        "entry_that_breaks_is_passed_over",
        "an exception in apply ends the peer with the index of the entry",
        (
            Edit(
                HOST,
                'raise _stopped_at(record, f"{type(error).__name__}: {error}") from error\n',
                "return []\n",
            ),
        ),
        test=unit_test(
            "raft_host", "a_machine_that_raises_ends_the_peer_with_the_index_of_the_entry"
        ),
    ),
    Mutant(
        "queue_without_a_bound",
        "a full queue refuses at once, and definitely",
        (
            Edit(
                PROPOSALS,
                "            self.count >= limits.PROPOSALS_PENDING_MAX\n",
                "            False\n",
            ),
        ),
        test="tests/unit/test_raft_proposals.py",
    ),
    Mutant(
        "another_pysyncobj_is_taken",
        "the engine starts on the very PySyncObj that was read (ADR 0001)",
        (Edit("raft/engine_check.py", "    if differences:\n", "    if missing:\n"),),
        test="tests/stock/test_engine_check.py",
    ),
    Mutant(
        "slow_disk_holds_the_loop",
        "the loop waits for a disk only while that is fast (ADR 0075)",
        (
            Edit(
                "raft/committing.py",
                "is_known and max(self._recent_ms) <= limits.COMMIT_ON_LOOP_MS_MAX\n",
                "is_known\n",
            ),
        ),
        test="tests/unit/test_raft_committing.py",
    ),
    Mutant(
        "a_full_disk_is_tried_again_on_the_loop",
        "a commit that found no room is tried again where nobody waits (ADR 0075)",
        (Edit("raft/committing.py", "self._recent_ms.clear()", "pass"),),
        test=unit_test("raft_committing", "a_full_disk_is_tried_again_where_nobody_waits"),
    ),
    Mutant(
        "inbox_is_bounded_by_count_alone",
        "what others send while the disk is waited for is bounded by bytes",
        (
            Edit(
                "raft/inbox.py",
                "            or self._messages_bytes >= limits.INBOX_BYTES_MAX\n",
                "",
            ),
        ),
        test="tests/unit/test_raft_inbox.py",
    ),
    Mutant(
        "installation_ends_on_a_full_disk",
        "a full disk stands still, in an installation too (ADR 0019)",
        (
            Edit(
                PEER_SNAPSHOTS,
                "            await self._committing.until_room(replace)\n",
                "            await replace()\n",
            ),
        ),
        test=unit_test(
            "raft_backup_and_jump",
            "an_installation_on_a_full_disk_stands_still_and_goes_on_when_there_is_room",
        ),
    ),
    Mutant(
        "pages_of_the_log_are_trusted",
        "an end of the log that its pages do not lead to is missed, not forgotten (ADR 0015)",
        (Edit(LOG_STORE, "        damage = find_damage(path)\n", "        damage = None\n"),),
        test=unit_test(
            "raft_log_store", "an_end_of_the_log_that_its_pages_do_not_lead_to_is_missed"
        ),
    ),
    Mutant(
        "a_table_that_is_missing_is_made",
        "a log that lost a name is damaged, not new (ADR 0015)",
        (
            Edit(LOG_TABLES, "    if not names or (", "    if not names >= {_META, _ENTRIES} or ("),
            Edit(LOG_TABLES, "not has_header and (names or", "False and (names or"),
        ),
        test=_LOG_TABLES_TEST,
    ),
    Mutant(
        "a_row_of_another_name_is_overlooked",
        "a row that lost its name is damaged, not missing (ADR 0015)",
        (Edit(LOG_TABLES, "    if names - _ROWS:\n", "    if False:\n"),),
        test=_LOG_TABLES_TEST,
    ),
    Mutant(
        "tables_are_believed_in_their_order",
        "a log is read in the order in which it was written, or not at all (ADR 0015)",
        (Edit(LOG_TABLES, "    if any(any(table.flags().values()) for", "    if any(False for"),),
        test=_LOG_TABLES_TEST,
    ),
    Mutant(
        "a_log_without_a_header_is_new",
        "a log is new when it holds nothing at all (ADR 0015)",
        (Edit(LOG_TABLES, "not has_header and (names or", "False and (names or"),),
        test=_LOG_TABLES_TEST,
    ),
    Mutant(
        "commits_are_believed_by_their_neighbour",
        "the commit that is opened is the one that was made last (ADR 0015)",
        (
            Edit(
                "lmdb_commits.py",
                "    if noted != (meta.commit if meta.commit > 1 else 0):\n",
                "    if noted and not meta.commit:\n",
            ),
        ),
        test=unit_test(
            "lmdb_commits",
            "a_flipped_bit_in_the_number_of_a_commit_is_seen_whatever_the_number_is",
        ),
    ),
    Mutant(
        "last_commit_of_a_state_is_not_proved",
        "a state is opened as of its last commit, or not at all (ADR 0015)",
        (
            Edit(
                "storage/lmdb_environment.py",
                '        damage = find_commit_damage(self.path / "data.mdb", left=self._left)\n',
                "        damage = None\n",
            ),
        ),
        test=unit_test(
            "lmdb_commits", "a_flipped_bit_in_a_meta_page_is_refused_or_changes_nothing"
        ),
    ),
    Mutant(
        "failed_commits_are_not_noted",
        "a meta page that the disk refused is no damage (ADR 0015)",
        (
            Edit(
                "lmdb_commits.py",
                "            if damage is not None and _mark(read) in (left, _noted(file)):\n",
                "            if damage is not None and _mark(read) == left:\n",
            ),
        ),
        test=unit_test(
            "lmdb_commits",
            "a_meta_page_that_could_not_be_written_is_no_damage_for_whoever_saw_it_fail",
        ),
    ),
    Mutant(
        "notes_of_failed_commits_excuse_whatever_comes",
        "a note excuses the meta pages that were seen, and no others (ADR 0015)",
        (
            Edit(
                "lmdb_commits.py",
                "            if damage is not None and _mark(read) in (left, _noted(file)):\n",
                "            if damage is not None and (left or _noted(file)):\n",
            ),
        ),
        test=unit_test(
            "lmdb_commits", "a_note_of_a_failed_commit_is_of_these_meta_pages_and_no_others"
        ),
    ),
    Mutant(
        "full_map_stays_in_pieces",
        "free room takes what it is large enough for (ADR 0002)",
        (
            Edit(
                "storage/lmdb_flusher.py",
                "            is_compact = exc.is_map_full and self._make_compact()\n",
                "            is_compact = False\n",
            ),
        ),
        test=unit_test(
            "storage_failures", "a_large_value_finds_room_where_only_small_holes_are_free"
        ),
    ),
    Mutant(
        "what_is_deleted_later_makes_no_room",
        "a state that was too large is written when enough was deleted (ADR 0002)",
        (
            Edit(
                "storage/lmdb_store.py",
                "confirm_reopened(self._freeze_newer(flusher.batch_index))\n",
                "confirm_reopened()\n",
            ),
        ),
        test=unit_test(
            "storage_failures",
            "a_state_that_was_too_large_is_written_when_enough_of_it_was_deleted",
        ),
    ),
    Mutant(
        "broken_text_ends_the_peer",
        "a malformed message ends its connection and nothing else (ADR 0011)",
        (
            Edit(
                "raft/messages.py",
                "    except (ValueError, RecursionError) as error:",
                "    except (msgspec.MsgspecError, RecursionError) as error:",
            ),
        ),
        test="tests/unit/test_raft_wire_corpus.py",
    ),
)

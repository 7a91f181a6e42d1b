"""The other part of the defects that the simulator must find (see mutant_list)."""

from __future__ import annotations

from mutant_parts import (
    COMMIT_NOTICES,
    ELECTIONS,
    ENGINE,
    FORWARDING,
    FRESHNESS,
    LOG,
    PEER,
    PROPOSALS,
    READS,
    REPLICATION,
    SERVED_TIME,
    UPSTREAM_PARTS,
    Edit,
    Mutant,
    unit_test,
)

MORE_MUTANTS = (
    Mutant(
        "commits_told_when_callers_pause",
        "a follower is told of a commit one step late at most",
        (
            Edit(
                COMMIT_NOTICES,
                "bool(effects.proposals) and not self._is_late",
                "bool(effects.proposals)",
            ),
        ),
        test=unit_test("raft_commit_notices", "a_commit_is_told_one_step_late_at_most"),
    ),
    Mutant(
        "commits_told_by_the_next_heartbeat",
        "a follower is told of a commit one step late at most",
        (
            Edit(
                COMMIT_NOTICES,
                "self._is_late = effects.has_more = True",
                "self._is_late = True",
            ),
        ),
        test=unit_test(
            "raft_commit_notices",
            "who_asks_again_at_once_has_the_commit_told_with_the_next_entry",
        ),
    ),
    Mutant(
        "commits_told_on_and_on_where_no_append_proves_them",
        "who waits for a copy of the state gets heartbeats, and no more (ADR 0019)",
        (
            Edit(
                ENGINE,
                "return is_owed and self.log.term_at(progress.match_index) is not None\n",
                "return is_owed\n",
            ),
        ),
        test="tests/unit/test_raft_commit_notices.py",
    ),
    Mutant(
        "changes_in_the_inbox_are_left_unanswered",
        "whoever waits is answered when the peer ends",
        (Edit(PEER, "        self._callers.changes.fail_all(rest)\n", ""),),
        test="tests/unit/test_raft_peer_answers.py",
    ),
    Mutant(
        "stop_waits_for_room_and_tells_so",
        "after a stop nothing is told of what ended a peer",
        (
            Edit(
                PEER,
                "            if not self._is_stopping:\n                raise\n",
                "            raise\n",
            ),
        ),
        test="tests/unit/test_raft_peer_answers.py",
    ),
    Mutant(
        "full_disk_is_told_for_ever",
        "an operator is told when a full disk has room again",
        (
            Edit(
                "raft/standing_still.py",
                "            self._tell_room()\n            if",
                "            if",
            ),
        ),
        test="tests/unit/test_raft_committing.py",
    ),
    Mutant(
        "reads_numbered_anew_in_each_process",
        "an answer to an earlier process answers nobody",
        (Edit(READS, "self._number = boot << _BATCH_BITS", "self._number = 0"),),
        5_000,
    ),
    Mutant(
        "old_append_echoed",
        "an answer to an append of an earlier term echoes no round of the present one",
        (
            Edit(
                ENGINE,
                "m.AppendAck(term=self.term, round=0, is_success=False, match_index=0)",
                "m.AppendAck(\n                "
                "term=self.term, round=append.round, is_success=False, match_index=0)",
            ),
        ),
        6_000,
    ),
    Mutant(
        "fresh_without_own_term",
        "a leader vouches for freshness once it knows what is committed (ADR 0009)",
        (
            Edit(
                ENGINE,
                "age_ms = self.quorum_age_ms() if self.is_own_term_committed else None",
                "age_ms = self.quorum_age_ms()",
            ),
        ),
    ),
    Mutant(
        "forgotten_round_noted_again",
        "staleness counts from the first acknowledgement of a round (ADR 0009)",
        (
            Edit(
                FRESHNESS,
                "        if append.round > self._newest_round:\n",
                "        if append.round not in self._acknowledged_ms:\n",
            ),
        ),
    ),
    Mutant(
        "commits_entries_of_old_terms",
        "a leader commits by counting only entries of its own term (paper §5.4.2)",
        (
            Edit(
                UPSTREAM_PARTS,
                '(b"", index, self._log.term_at(index)) for index in range(start, stop)',
                '(b"", index, self._log.hard.term) for index in range(start, stop)',
            ),
        ),
        5_000,
    ),
    Mutant(
        "no_stickiness",
        "a half-deaf peer deposes nobody (thesis §4.2.3)",
        (
            Edit(
                ELECTIONS,
                "        if self.is_leader:\n            # check-quorum",
                "        if self.term >= 0:\n            return False\n"
                "        if self.is_leader:\n            # check-quorum",
            ),
        ),
    ),
    Mutant(
        "lost_append_never_sent_again",
        "what was lost on the way to a follower is sent again",
        (
            Edit(
                REPLICATION,
                "        return bool(self.in_flight) and now_ms",
                "        return bool(self.in_flight) and now_ms < 0 and now_ms",
            ),
        ),
    ),
    Mutant(
        "unknown_called_definite",
        "what was sent and not answered is unknown, never failed (ADR 0014)",
        (
            Edit(
                PROPOSALS,
                "OutcomeUnknown() if pending.was_sent else NoLeader()",
                "NoLeader()",
            ),
        ),
    ),
    Mutant(
        "age_of_the_quorum_ignored",
        "staleness counts from when a majority last followed the leader (ADR 0009)",
        (Edit(FRESHNESS, "acknowledged_ms - append.quorum_age_ms", "acknowledged_ms"),),
        test="tests/unit/test_raft_freshness.py",
    ),
    Mutant(
        "paused_time_counts",
        "time in which the leader did not serve expires nothing (ADR 0013)",
        (
            Edit(
                SERVED_TIME,
                "min(now_ms - self._last_ms, limits.CLOCK_STEP_MS_MAX - self.owed_ms)",
                "now_ms - self._last_ms",
            ),
        ),
    ),
    Mutant(
        "clock_passes_what_waits_for_a_later_entry",
        "inputs already received are proposed before the clock passes a deadline (ADR 0013)",
        (
            Edit(
                SERVED_TIME,
                "while self._owed and _is_gone(self._owed[0][0], queue.gone):\n",
                "while self._owed:\n",
            ),
        ),
        test=unit_test(
            "raft_served_time", "more_than_one_entry_holds_bears_the_clock_of_its_arrival"
        ),
    ),
    Mutant(
        "commands_that_arrived_are_dropped",
        "nothing that had arrived expires before it is proposed (ADR 0013)",
        (
            Edit(
                FORWARDING,
                "        if not engine.is_leader or member is None:\n",
                "        if not engine.is_leader or member is None or self._is_flooded:\n",
            ),
        ),
        test="tests/unit/test_raft_served_time.py",
    ),
    Mutant(
        "commands_are_read_without_a_bound",
        "a leader reads no more commands than it has memory for",
        (Edit(PEER, "        self._neighbours.hold_bulk(is_held=effects.is_flooded)\n", ""),),
        test="tests/unit/test_raft_peer_barrier.py",
    ),
    Mutant(
        "acknowledgements_wait_behind_commands",
        "a leader that reads no commands hears its followers, and stays leader",
        (
            Edit(
                "raft/link_inbound.py",
                "self.host.is_reading_paused or self.channel in self.host.held\n",
                "self.host.is_reading_paused or bool(self.host.held)\n",
            ),
        ),
        test="tests/integration/test_raft_transport.py::"
        "test_one_channel_is_held_while_the_other_is_read_and_loses_nothing",
    ),
    Mutant(
        "clock_stands_while_there_is_a_backlog",
        "the clock of a leader that is never done goes on (ADR 0013)",
        (
            Edit(
                SERVED_TIME,
                "while self._owed and _is_gone(self._owed[0][0], queue.gone):\n",
                "while self._owed and _is_gone(queue.arrived, queue.gone):\n",
            ),
        ),
        test=unit_test("raft_served_time", "the_clock_of_a_leader_that_is_never_done_goes_on"),
    ),
    Mutant(
        "own_commands_wait_behind_all_others",
        "no command waits but for those that came before it (ADR 0013)",
        (Edit(FORWARDING, "        if self._is_own_turn:\n", "        if False:\n"),),
        test=unit_test(
            "raft_served_time", "own_commands_are_proposed_while_those_of_followers_never_end"
        ),
    ),
    Mutant(
        "own_commands_lose_their_turn_where_no_place_is_left",
        "no command waits but for those that came before it (ADR 0013)",
        (
            Edit(
                FORWARDING,
                "        self._is_own_turn = self.own.gone_count(",
                "        self._is_own_turn = bool(self._forwarded) and self.own.gone_count(",
            ),
        ),
        test=unit_test(
            "raft_served_time",
            "own_commands_are_proposed_where_those_of_followers_fill_each_entry_to_the_last_place",
        ),
    ),
    Mutant(
        "holders_forget_the_step_of_the_clock",
        "a holder counts its lease lost before the cluster gives it away (ADR 0013)",
        (Edit("client/margins.py", " // RATE_PARTS - CLOCK_STEP_MS_MAX", " // RATE_PARTS"),),
        test="tests/unit/test_client_margins.py",
    ),
    Mutant(
        "a_cut_tail_counts_as_durable",
        "entries that replace a cut tail are durable after their own write",
        (
            Edit(
                LOG,
                "        self.durable_index = min(self.durable_index, index - 1)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "hand_over_is_not_followed",
        "who is asked to take over does so although it hears the leader (thesis §3.10)",
        (
            Edit(
                ELECTIONS,
                "        if not request.is_transfer and self._sticks_to_leader():",
                "        if self._sticks_to_leader():",
            ),
        ),
    ),
)

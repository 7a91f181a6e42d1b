"""Defects of membership changes, as edits of the product's code (ADR 0021)."""

from __future__ import annotations

from mutant_parts import (
    CHANGES,
    CHANGING,
    DRIVER,
    ELECTIONS,
    ENGINE,
    ENGINE_CORE,
    LOG,
    NEIGHBOURS,
    Edit,
    Mutant,
    unit_test,
)

_PAPER = "tests/paper/test_thesis_membership.py"
_CALLERS = "tests/paper/test_thesis_membership_callers.py"

MEMBER_MUTANTS = (
    Mutant(
        "configuration_at_commit",
        "a configuration counts from its append (thesis §4.1)",
        (
            Edit(
                ENGINE_CORE,
                "        if self.log.configuration == self._newest:\n",
                "        if self.log.configuration == self._newest"
                " or self.commit_index < self.log.configuration[0]:\n",
            ),
            Edit(
                ENGINE_CORE,
                "        if self.is_configuration_committed and not self.roster.is_committed:\n",
                "        self.follow_log()\n"
                "        if self.is_configuration_committed and not self.roster.is_committed:\n",
            ),
        ),
    ),
    Mutant(
        "configuration_kept_at_truncation",
        "a configuration that left the log counts no more (thesis §4.1)",
        (
            Edit(
                LOG,
                "        while self._configurations[-1][0] >= index:\n"
                "            self._configurations.pop()\n",
                "",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "configuration_of_birth_at_start",
        "the newest configuration in the log counts after a restart (thesis §4.1)",
        (
            Edit(
                ENGINE_CORE,
                "read_configuration(payload)\n        self.roster = NOBODY",
                "read_configuration(log.configurations_from(0)[0])\n        self.roster = NOBODY",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "two_changes_at_once",
        "one change at a time (thesis §4.1)",
        (
            Edit(
                CHANGING,
                "if self._proposed is not None or not engine.is_configuration_committed:",
                "if self._proposed is not None:",
            ),
        ),
    ),
    Mutant(
        "two_changes_in_a_step",
        "one change at a time (thesis §4.1)",
        (
            Edit(
                CHANGING,
                "if self._proposed is not None or not engine.is_configuration_committed:",
                "if not engine.is_configuration_committed:",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "change_before_the_no_op",
        "no change before an entry of the term is committed (correction of 2015)",
        (
            Edit(
                CHANGING,
                "if not self._engine.is_own_term_committed or self._hand_over.is_under_way:",
                "if self._hand_over.is_under_way:",
            ),
        ),
    ),
    Mutant(
        "learner_votes",
        "a learner's vote counts for nothing (thesis §4.2.1)",
        (
            Edit(
                ELECTIONS,
                "        if self.configuration.is_voter(key):\n            self._votes.add(key)\n",
                "        self._votes.add(key)\n",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "learner_counts_in_commits",
        "a learner's acknowledgement counts for nothing (thesis §4.2.1)",
        (
            Edit(
                ENGINE_CORE,
                "keys = (voter.key for voter in self.configuration.voters)",
                "keys = (member.key for member in self.configuration.members)",
            ),
        ),
    ),
    Mutant(
        "removed_peer_counts",
        "who was removed counts for nothing (thesis §4.2.3)",
        (
            Edit(
                ENGINE_CORE,
                "        self._SyncObj__otherNodes = self._other_voters()\n"
                "        self._members_changed()\n",
                "        self._SyncObj__otherNodes |= self._other_voters()\n"
                "        self._members_changed()\n",
            ),
        ),
    ),
    Mutant(
        "removed_peer_is_not_told",
        "who is removed learns it from the leader (thesis §4.2.3)",
        (
            Edit(
                ENGINE,
                "kept = {k: p for k, p in self.progress.items() if k in followed or k in"
                " self._leaving}",
                "kept = {k: p for k, p in self.progress.items() if k in followed}",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "empty_learner_is_promoted",
        "who lacks the log is not promoted (thesis §4.2.1)",
        (
            Edit(
                CHANGING,
                "        if lag > limits.PROMOTE_LAG_ENTRIES_MAX:\n",
                "        if lag > 1 << 62:\n",
            ),
        ),
        test=_PAPER,
    ),
    Mutant(
        "majority_may_be_gone",
        "no change leaves a majority that does not answer",
        (
            Edit(
                CHANGING,
                "        if len(there) < majority(len(configuration.voters)):\n",
                "        if not there:\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "token_is_good_twice",
        "a token lets one directory in (ADR 0022)",
        (
            Edit(
                CHANGES,
                "invited = tuple(it for it in configuration.invited if it != token)",
                "invited = configuration.invited",
            ),
        ),
        test="tests/unit/test_raft_changes.py",
    ),
    Mutant(
        "leader_removes_itself",
        "a leader hands over before it is removed (ADR 0021)",
        (
            Edit(
                CHANGING,
                "        if is_own_end and len(engine.configuration.voters) > 1:\n",
                "        if is_own_end and not engine.configuration.voters:\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "removal_overtakes_the_leaders_disk",
        "new members are durable before anybody hears of them (ADR 0076)",
        (
            Edit(
                "raft/driver.py",
                "not (self.log.is_promise_staged or self.log.is_configuration_staged)\n",
                "not self.log.is_promise_staged\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "removed_peer_is_forgotten_with_the_log",
        "a removal is remembered when the log that told of it is trimmed (ADR 0021)",
        (
            Edit(
                CHANGING,
                "        is_former = change.incarnation in self._engine.configuration.former\n",
                "        is_former = False\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "sessions_of_removed_peers_stay",
        "a session ends with the membership of its owner (ADR 0014)",
        (
            Edit(
                "raft/host.py",
                "        if record.kind is EntryKind.CONFIGURATION:\n",
                "        if record.kind is EntryKind.GENESIS:\n",
            ),
        ),
        test=unit_test(
            "raft_host",
            "the_session_of_who_was_removed_ends_with_the_entry_that_removes_it",
        ),
    ),
    Mutant(
        "removed_peer_let_in_again",
        "who was removed comes back with an empty directory (ADR 0021, design R15)",
        (Edit(CHANGING, "            self._check_never_removed(change)\n", "            pass\n"),),
        test=_CALLERS,
    ),
    Mutant(
        "refusal_is_believed_before_the_log_tells",
        "a change that was made is never told as refused (ADR 0021)",
        (
            Edit(
                CHANGING,
                "own.refusal is not None and engine.commit_index >= own.refused_index:\n",
                "own.refusal is not None:\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "what_a_copy_skipped_is_told_as_refused",
        "what became of a change is unknown where nothing tells it (ADR 0021)",
        (
            Edit(
                CHANGING,
                "error=OutcomeUnknown() if own.is_doubtful else own.refusal)\n",
                "error=own.refusal)\n",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "copy_of_a_request_refused_by_the_first_one",
        "what is refused is not made: no copy of the request is (ADR 0021)",
        (
            Edit(
                CHANGING,
                "        if self._proposed is not None and is_made(self._proposed, change):\n"
                "            return True\n",
                "",
            ),
        ),
        test=_CALLERS,
    ),
    Mutant(
        "refused_and_made",
        "what is refused is not made, as the simulator sees it, too (ADR 0021)",
        (
            Edit(
                CHANGING,
                "        if self._proposed is not None and is_made(self._proposed, change):\n"
                "            return True\n",
                "",
            ),
        ),
        2_000,
    ),
    Mutant(
        "agreement_told_to_full_pairs_only",
        "what a peer agreed to at the birth is heard by all, whichever link came first (ADR 0012)",
        (Edit(NEIGHBOURS, "in self._transport.dialled:\n", "in self._connected:\n"),),
        test="tests/integration/test_peers_birth.py",
    ),
    Mutant(
        "time_is_served_during_a_hand_over",
        "nothing that had arrived expires before it is proposed (ADR 0013)",
        (
            Edit(
                DRIVER,
                "not self._hand_over.is_under_way, self._forwarding.queue\n",
                "True, self._forwarding.queue\n",
            ),
        ),
        test="tests/scenarios/test_raft_hand_over.py",
    ),
)

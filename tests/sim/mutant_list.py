"""Defects that the simulator must find, as edits of the product's code.

A mutant is one known way to lose, split or delay what was promised. The tool (`mutants.py`) makes
each of them in a copy of the package. An edit whose text is no longer found exactly once fails:
the code moved, and the mutant has to move with it.
"""

from __future__ import annotations

from mutant_list_beside import BESIDE_MUTANTS
from mutant_list_by_name import BY_NAME_MUTANTS
from mutant_list_copies import COPY_MUTANTS
from mutant_list_decisions import DECISION_MUTANTS
from mutant_list_demoted import DEMOTED_MUTANTS
from mutant_list_disturbance import DISTURBANCE_MUTANTS
from mutant_list_ends import END_MUTANTS
from mutant_list_failovers import FAILOVER_MUTANTS
from mutant_list_fencing import FENCING_MUTANTS
from mutant_list_forwarding import FORWARDING_MUTANTS
from mutant_list_ground import GROUND_MUTANTS
from mutant_list_growth import GROWTH_MUTANTS
from mutant_list_held import HELD_MUTANTS
from mutant_list_keeping import KEEPING_MUTANTS
from mutant_list_members import MEMBER_MUTANTS
from mutant_list_memories import MEMORY_MUTANTS
from mutant_list_named import NAMED_MUTANTS
from mutant_list_outgoing import OUTGOING_MUTANTS
from mutant_list_outlived import OUTLIVED_MUTANTS
from mutant_list_quarantine import QUARANTINE_MUTANTS
from mutant_list_recovery import RECOVERY_MUTANTS
from mutant_list_resends import RESEND_MUTANTS
from mutant_list_rest import MORE_MUTANTS
from mutant_list_settling import SETTLING_MUTANTS
from mutant_list_snapshots import SNAPSHOT_MUTANTS
from mutant_list_state import STATE_MUTANTS
from mutant_list_successors import SUCCESSOR_MUTANTS
from mutant_list_turns import TURN_MUTANTS
from mutant_list_work import WORK_MUTANTS
from mutant_list_workers import WORKER_MUTANTS
from mutant_parts import (
    DRIVER,
    ELECTIONS,
    ENGINE,
    ENGINE_CORE,
    LOG,
    PROPOSALS,
    READING,
    SESSIONS,
    Edit,
    Mutant,
    early,
)

MUTANTS = (
    Mutant(
        "vote_before_sync",
        "a vote leaves after it is durable (paper, figure 2)",
        (early("m.VoteReply"),),
    ),
    Mutant(
        "candidacy_before_sync",
        "a candidate's own vote is durable before it asks for others",
        (early("m.VoteRequest"),),
    ),
    Mutant(
        "sole_voter_hurries",
        "who decides alone leads in a term that is on its disk",
        (
            Edit(
                DRIVER,
                "not (self.log.is_promise_staged or self.log.is_configuration_staged)\n",
                "not self.log.is_configuration_staged\n",
            ),
        ),
        test="tests/scenarios/test_raft_sole_voter.py",
    ),
    Mutant(
        "ack_before_sync",
        "an acknowledgement leaves after the entries are durable",
        (early("m.AppendAck"),),
    ),
    Mutant(
        "term_not_persisted",
        "the term is durable before anything is said in it",
        (
            Edit(
                LOG,
                "            self._is_hard_staged = True\n",
                "            self._is_hard_staged = hard.voted_for is not None\n",
            ),
        ),
    ),
    Mutant(
        "vote_not_persisted",
        "the vote survives a restart",
        (
            Edit(
                LOG,
                "hard=self._hard if self._is_hard_staged else None,",
                "hard=HardState(self._hard.term, None, self._hard.boot)"
                " if self._is_hard_staged else None,",
            ),
        ),
    ),
    Mutant(
        "votes_counted_twice",
        "votes are a set of members: a repeated message is one vote",
        (
            Edit(
                ELECTIONS,
                "            self._votes.add(key)\n",
                "            self._votes.add((key, len(self._votes)))\n",
            ),
        ),
    ),
    Mutant(
        "votes_twice_in_a_term",
        "one vote a term (paper §5.2)",
        (Edit(ELECTIONS, "            and self.log.hard.voted_for in (None, key)\n", ""),),
    ),
    Mutant(
        "votes_for_a_shorter_log",
        "only who has everything may lead (paper §5.4.1)",
        (
            Edit(
                ELECTIONS,
                "return (last_term, last_index) >= (self.log.last_term, self.log.last_index)",
                "return last_index >= 0",
            ),
        ),
    ),
    Mutant(
        "quorum_too_small",
        "a majority decides",
        (
            Edit(
                ENGINE_CORE,
                "return majority(len(self.configuration.voters))",
                "return len(self.configuration.voters) // 2",
            ),
        ),
    ),
    Mutant(
        "truncates_without_conflict",
        "an entry is dropped only where the logs conflict (paper §5.3)",
        (
            Edit(
                ENGINE,
                "            if present == wire.term:\n                continue\n",
                "",
            ),
        ),
    ),
    Mutant(
        "commit_beyond_the_last_new_entry",
        "a follower commits what the message proved equal (paper, figure 2)",
        (
            Edit(
                ENGINE,
                "self._commit_up_to(min(append.commit_index, match_index))",
                "self._commit_up_to(min(append.commit_index, self.log.last_index))",
            ),
        ),
    ),
    Mutant(
        "acks_its_whole_log",
        "an acknowledgement tells what the message proved equal",
        (
            Edit(
                ENGINE,
                "            match_index = append.prev_index + len(append.entries)\n",
                "            match_index = self.log.last_index\n",
            ),
        ),
    ),
    Mutant(
        "acks_of_old_terms_counted",
        "an acknowledgement of another term counts for nothing",
        (
            Edit(
                ENGINE,
                "if not self.is_leader or ack.term != self.term or progress is None:",
                "if not self.is_leader or progress is None:",
            ),
        ),
    ),
    Mutant(
        "no_stickiness_and_no_pre_vote",
        "nobody deposes a leader that a majority hears (thesis §4.2.3, §9.6)",
        (
            Edit(
                ELECTIONS,
                "        if self.is_leader:\n            # check-quorum",
                "        if self.term >= 0:\n            return False\n"
                "        if self.is_leader:\n            # check-quorum",
            ),
            Edit(
                ELECTIONS,
                "        if self._is_transfer:\n            return True\n",
                "        if self.term >= 0:\n            return True\n",
            ),
        ),
    ),
    Mutant(
        "no_check_quorum",
        "a leader that hears no majority steps down",
        (
            Edit(
                ENGINE_CORE,
                "leaderFallbackTimeout=election_ms_min / 1000,",
                "leaderFallbackTimeout=1e6,",
            ),
        ),
    ),
    Mutant(
        "session_dedupe_dropped",
        "a command is applied once (ADR 0014)",
        (
            Edit(
                SESSIONS,
                "return sequence <= self.floor or sequence in self.outcomes",
                "return sequence <= self.floor",
            ),
        ),
    ),
    Mutant(
        "floor_fencing_dropped",
        "what its owner has ended is not applied later (ADR 0014)",
        (
            Edit(
                SESSIONS,
                "return sequence <= self.floor or sequence in self.outcomes",
                "return sequence in self.outcomes",
            ),
            Edit(
                SESSIONS,
                "return self.floor < sequence <= self.floor + limits.SESSION_OUTCOMES_MAX",
                "return sequence <= self.floor + limits.SESSION_OUTCOMES_MAX",
            ),
        ),
    ),
    Mutant(
        "proposals_never_sent_again",
        "a proposal is sent to the next leader until its fate is known (ADR 0014)",
        (
            Edit(
                PROPOSALS,
                "            if pending.sent_term != term or is_overdue:\n",
                "            if pending.sent_term == -1:\n",
            ),
        ),
    ),
    Mutant(
        "answers_before_commit",
        "a caller is answered when its entry is committed",
        (
            Edit(
                DRIVER,
                "is_committed = self.engine.commit_index >= index\n",
                "is_committed = True\n",
            ),
        ),
    ),
    Mutant(
        "applies_what_is_not_durable_here",
        "the state is never ahead of the own log (ADR 0002)",
        (
            Edit(
                DRIVER,
                "is_committed and self.log.durable_index >= index and",
                "is_committed and",
            ),
        ),
    ),
    Mutant(
        "read_without_quorum_echo",
        "a read is confirmed by a majority asked afterwards (thesis §6.4)",
        (
            Edit(
                READING,
                "reads.confirmed(engine.quorum_round())",
                "reads.confirmed(engine.round)",
            ),
        ),
    ),
    Mutant(
        "read_by_an_earlier_echo",
        "the round that confirms a read began after it was asked (thesis §6.4)",
        (
            Edit(
                READING,
                "Confirmation(engine.round + 1, engine.commit_index, requester, number)",
                "Confirmation(engine.round, engine.commit_index, requester, number)",
            ),
        ),
    ),
    Mutant(
        "read_without_own_term_no_op",
        "a new leader knows what is committed after its first entry (paper §8)",
        (
            Edit(
                READING,
                "        if not engine.is_own_term_committed:\n"
                "            return False\n"
                "        requests",
                "        requests",
            ),
        ),
    ),
    *GROUND_MUTANTS,
    *MORE_MUTANTS,
    *SNAPSHOT_MUTANTS,
    *COPY_MUTANTS,
    *MEMBER_MUTANTS,
    *QUARANTINE_MUTANTS,
    *STATE_MUTANTS,
    *WORK_MUTANTS,
    *KEEPING_MUTANTS,
    *END_MUTANTS,
    *FENCING_MUTANTS,
    *SUCCESSOR_MUTANTS,
    *FORWARDING_MUTANTS,
    *HELD_MUTANTS,
    *RESEND_MUTANTS,
    *TURN_MUTANTS,
    *WORKER_MUTANTS,
    *MEMORY_MUTANTS,
    *FAILOVER_MUTANTS,
    *DECISION_MUTANTS,
    *BY_NAME_MUTANTS,
    *NAMED_MUTANTS,
    *OUTLIVED_MUTANTS,
    *BESIDE_MUTANTS,
    *DEMOTED_MUTANTS,
    *DISTURBANCE_MUTANTS,
    *SETTLING_MUTANTS,
    *GROWTH_MUTANTS,
    *RECOVERY_MUTANTS,
    *OUTGOING_MUTANTS,
)

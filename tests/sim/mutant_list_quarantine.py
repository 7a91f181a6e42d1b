"""Defects of comparing the states of peers, as edits of the product's code (ADR 0044)."""

from __future__ import annotations

from mutant_parts import AGREEMENT, COMPARING, DRIVER, ELECTIONS, SNAPSHOTS, Edit, Mutant

_AGREEMENT = "tests/unit/test_raft_agreement.py"
_SNAPSHOTS = "tests/unit/test_raft_snapshots.py"
_NOTES = "tests/unit/test_state_quarantines.py"

QUARANTINE_MUTANTS = (
    Mutant(
        "one_voice_quarantines",
        "a majority decides whose state is right, never one peer",
        (Edit(AGREEMENT, "    needed = majority(len(voters))\n", "    needed = 1\n"),),
        test=_AGREEMENT,
    ),
    Mutant(
        "learners_judge",
        "learners are judged and do not judge",
        (
            Edit(
                AGREEMENT,
                "[voter.key for voter in configuration.voters]",
                "[member.key for member in configuration.members]",
            ),
        ),
        test=_AGREEMENT,
    ),
    Mutant(
        "wrong_until_overwritten",
        "what was wrong stays wrong as long as that incarnation is a member",
        (
            Edit(
                AGREEMENT,
                "                disputed_index = None\n                wrong",
                "                disputed_index = None\n"
                "                self.differs_at.clear()\n                wrong",
            ),
        ),
        test=_AGREEMENT,
    ),
    Mutant(
        "quarantined_candidate",
        "a peer in quarantine never stands for election",
        (Edit(COMPARING, "self.agreement.quarantine is None\n", "True\n"),),
        test=_AGREEMENT,
    ),
    Mutant(
        "quarantined_peer_obeys_a_hand_over",
        "a peer in quarantine does not take leadership over",
        (
            Edit(
                ELECTIONS,
                "if not self._may_stand or self.is_leader:",
                "if self.is_leader:",
            ),
            Edit(
                ELECTIONS,
                "        if not self._may_stand:\n            return False\n"
                "        if self._is_transfer:\n            return True\n",
                "        if self._is_transfer:\n            return True\n"
                "        if not self._may_stand:\n            return False\n",
            ),
        ),
        test=_AGREEMENT,
    ),
    Mutant(
        "quarantined_leader_leads_on",
        "a leader whose state is wrong gives leadership away",
        (Edit(COMPARING, "            self._give_way(now_ms)\n", "            pass\n"),),
        test=_AGREEMENT,
    ),
    Mutant(
        "quarantined_peer_vouches",
        "a peer in quarantine vouches for no age of its state",
        (
            Edit(
                DRIVER,
                "        if self.agreement.quarantine is not None:\n            return None\n",
                "",
            ),
        ),
        test=_AGREEMENT,
    ),
    Mutant(
        "doubtful_state_handed_on",
        "a state that may be wrong is not handed on",
        (
            Edit(
                SNAPSHOTS,
                "if engine.is_leader and is_state_trusted:",
                "if engine.is_leader:",
            ),
        ),
        test=_SNAPSHOTS,
    ),
    Mutant(
        "quarantine_told_by_every_leader",
        "one incarnation is told of once, whoever tells it",
        (
            Edit(
                "state/apply_quarantines.py",
                "if one.incarnation == command.incarnation and one.peer == command.peer:",
                "if one.revision == command.index:",
            ),
        ),
        test=_NOTES,
    ),
    Mutant(
        "quarantine_told_by_the_accused",
        "a leader that is wrong itself accuses nobody",
        (
            Edit(
                "workers/peer_view.py",
                "        if status.quarantine is not None:\n            return ()\n",
                "",
            ),
        ),
        test=_NOTES,
    ),
    Mutant(
        "quarantine_given_up_with_the_first_refusal",
        "what could not be written is written by a later pass",
        (
            Edit(
                "workers/quarantines.py",
                "                pass  # there is a next pass, here or at another leader\n",
                "                return\n",
            ),
        ),
        test=_NOTES,
    ),
)

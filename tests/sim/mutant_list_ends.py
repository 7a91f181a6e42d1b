"""Defects of how a peer begins and ends, and of what its callers ask of its members."""

from __future__ import annotations

from mutant_parts import PEER, Edit, Mutant, unit_test

_DATA_DIR = "raft/data_dir.py"
_LMDB_FILE = "raft/lmdb_file.py"
_MEMBER_DOOR = "raft/member_door.py"


END_MUTANTS = (
    Mutant(
        "stop_swallows_a_cancellation",
        "who waits for the end of a peer can be cancelled",
        (
            Edit(
                PEER,
                "        await asyncio.wait((self._task,))  # raises",
                "        with contextlib.suppress(BaseException):\n"
                "            await asyncio.shield(self._task)  # raises",
            ),
        ),
        test=unit_test("raft_peer_ends", "who_waits_for_the_end_of_a_peer_can_be_cancelled"),
    ),
    Mutant(
        "learner_added_by_what_was_undone",
        "a change is judged by what happened after it was asked for (ADR 0021)",
        (
            Edit(
                _MEMBER_DOOR,
                "        left_ms = await self._barrier(timeout_ms=timeout_ms)\n"
                "        return await self._change(change, timeout_ms=left_ms)\n",
                "        return await self._change(change, timeout_ms=timeout_ms)\n",
            ),
        ),
        test=unit_test(
            "raft_member_door", "a_learner_is_asked_for_after_what_happened_before_the_call"
        ),
    ),
    Mutant(
        "cut_off_birth_is_damage",
        "a first start that was cut off begins anew (ADR 0015)",
        (Edit(_DATA_DIR, "    _drop_unbegun(settings.data_dir)\n", ""),),
        test=unit_test("raft_first_start", "a_first_start_that_was_cut_off_begins_anew"),
    ),
    Mutant(
        "cut_off_birth_beside_a_state",
        "nothing is made anew where something may have been lost (ADR 0015)",
        (
            Edit(
                _DATA_DIR,
                "    if names <= _FIRST_NAMES and log_names",
                "    if log_names",
            ),
        ),
        test=unit_test(
            "raft_first_start", "where_more_was_made_than_a_first_start_makes_it_is_refused"
        ),
    ),
    Mutant(
        "cut_short_is_unbegun",
        "a peer that may have voted is not made anew (ADR 0015)",
        (Edit(_LMDB_FILE, "meta.commit == 0 and ", ""),),
        test=unit_test(
            "raft_first_start", "a_log_that_was_cut_short_is_refused_whatever_else_is_missing"
        ),
    ),
)

"""Defects of how followers' commands wait at a leader, and are sent again."""

from __future__ import annotations

from mutant_parts import FORWARDING, PROPOSALS, Edit, Mutant, unit_test

_TAKEN = "raft/taken_commands.py"


def _copies(name: str) -> str:
    return unit_test("raft_forwarded_copies", name)


FORWARDING_MUTANTS = (
    Mutant(
        "copies_lengthen_the_queue",
        "a leader takes each command once in its term (ADR 0014)",
        (
            Edit(
                _TAKEN,
                "command.sequence <= taken.floor or command.sequence in sequences:\n",
                "command.sequence <= taken.floor:\n",
            ),
        ),
        test=_copies("a_copy_of_what_waits_is_not_taken"),
    ),
    Mutant(
        "copy_of_what_was_dropped",
        "what was dropped with a leadership is taken again (ADR 0014)",
        (
            Edit(FORWARDING, "        self._taken.forget()\n", ""),
            Edit(_TAKEN, "        if term != self._term:\n", "        if not self._term:\n"),
        ),
        test=_copies("what_was_dropped_with_a_leadership_is_taken_in_the_next"),
    ),
    Mutant(
        "copy_that_another_leader_cut_off",
        "what is in the log of another term is taken again (ADR 0014)",
        (
            Edit(FORWARDING, "        self._taken.forget()\n", ""),
            Edit(_TAKEN, "        if term != self._term:\n", "        if not self._term:\n"),
        ),
        test=_copies("what_is_in_the_log_of_another_term_is_taken_again"),
    ),
    Mutant(
        "given_up_and_logged_all_the_same",
        "what nobody waits for makes no others wait (ADR 0014)",
        (
            Edit(
                FORWARDING,
                "isinstance(item, CommandItem) and self._taken.is_given_up(item):\n",
                "isinstance(item, CommandItem) and item.sequence < 1:\n",
            ),
        ),
        test=_copies("what_nobody_waits_for_does_not_crowd_out_what_somebody_does"),
    ),
    Mutant(
        "the_oldest_that_waits_is_given_up",
        "a floor is below the oldest command that its owner waits for (ADR 0014)",
        (
            Edit(
                _TAKEN,
                "command.sequence <= taken.floor\n\n    def _drop_old",
                "command.sequence <= taken.floor + 1\n\n    def _drop_old",
            ),
        ),
        test=_copies("what_its_owner_gave_up_while_it_waited_is_not_logged"),
    ),
    Mutant(
        "remembers_every_session",
        "what a leader remembers of its followers is bounded",
        (
            Edit(
                _TAKEN,
                "            and not (taken.key == key and number < session)\n",
                "",
            ),
        ),
        test=_copies("no_session_is_remembered_that_a_later_one_ended_or_whose_owner_left"),
    ),
    Mutant(
        "copies_count_as_arrived",
        "the clock does not pass what arrived and waits (ADR 0013)",
        (
            Edit(
                FORWARDING,
                "        for it in message.commands:\n            if",
                "        self._forwarded_count += len(message.commands)\n"
                "        for it in message.commands:\n            if",
            ),
            Edit(
                FORWARDING,
                "                self._forwarded_count += 1\n                self._forwarded_bytes",
                "                self._forwarded_bytes",
            ),
        ),
        test=unit_test(
            "raft_served_time", "copies_of_what_is_proposed_let_no_time_pass_for_what_waits"
        ),
    ),
    Mutant(
        "given_up_out_of_turn",
        "the clock does not pass what arrived and waits (ADR 0013)",
        (
            Edit(
                FORWARDING,
                "    def _fill(self, now_ms: int) -> list[Item]:\n",
                "    def _fill(self, now_ms: int) -> list[Item]:\n"
                "        self._forwarded = [\n"
                "            it for it in self._forwarded\n"
                "            if isinstance(it, OpenItem) or not self._taken.is_given_up(it)\n"
                "        ]\n",
            ),
        ),
        test=unit_test(
            "raft_served_time", "what_is_given_up_behind_others_lets_no_time_pass_for_those"
        ),
    ),
    Mutant(
        "sent_again_at_one_pace",
        "copies leave room for what is new",
        (Edit(PROPOSALS, "resend_after_ms << doublings\n", "resend_after_ms << 0\n"),),
        test=unit_test(
            "raft_proposals", "each_time_it_is_sent_again_after_twice_as_long_up_to_a_bound"
        ),
    ),
)

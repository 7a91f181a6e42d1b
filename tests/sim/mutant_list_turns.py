"""Defects of whose turn it is at an agent, and of what left for it and did not arrive."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_DISPATCH = "orchestrate/dispatch.py"
_PROPOSAL = "orchestrate/proposal.py"


def _lost(name: str) -> str:
    return unit_test("orchestrate_by_name_lost", name)


TURN_MUTANTS = (
    Mutant(
        "lost_and_sent_again_unjudged",
        "what a person asked for and what did not arrive is judged again (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "    if end is None and is_persons_disruption(action):\n",
                "    if end is None and is_person_waiting(action):\n",
            ),
        ),
        test=_lost("a_promotion_that_did_not_arrive_is_not_sent_again_beside_the_primary"),
    ),
    Mutant(
        "taken_back_on_its_way",
        "what may arrive yet is taken back under another epoch (ADR 0070)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return is_fenced and self.is_denied(action)\n",
            ),
        ),
        test=_lost("what_may_be_on_its_way_is_taken_back_under_an_epoch_in_which_it_was_not_sent"),
    ),
    Mutant(
        "taken_back_and_the_epoch_kept",
        "what is to be taken back and may arrive yet costs its epoch (ADR 0102)",
        (
            Edit(
                _DISPATCH,
                "    if situation.may_be_on_its_way(action):\n",
                "    if outcome is None:\n",
            ),
        ),
        test=_lost("what_may_be_on_its_way_is_taken_back_under_an_epoch_in_which_it_was_not_sent"),
    ),
    Mutant(
        "taken_back_unheard",
        "what its agent may have is not taken back (ADR 0102)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return is_fenced and action.action_id not in self.sent_ids\n",
            ),
        ),
        test=_lost("without_the_word_of_its_agent_it_is_neither_sent_again_nor_taken_back"),
    ),
    Mutant(
        "taken_back_where_it_may_arrive",
        "an agent that keeps no epoch takes what comes later, so it is asked to end it (ADR 0102)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return self.is_denied(action) and action.action_id not in self.sent_ids\n",
            ),
        ),
        test=_lost("at_an_agent_that_keeps_no_epoch_it_ends_and_says_why"),
    ),
)

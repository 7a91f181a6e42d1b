"""Defects of promotions that end after the primary that they were to replace was seen again."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_DISPATCH = "orchestrate/actions/dispatch.py"
_OUTLIVED = "orchestrate/memory/outlived.py"
_PROGRESS = "orchestrate/memory/progress.py"
_RESENDS = "orchestrate/actions/resends.py"


def _outlived(name: str) -> str:
    return unit_test("orchestrate_outlived", name)


_NOBODY_FOLLOWS = _outlived("nobody_follows_a_promotion_past_a_primary_that_was_seen_after_it_left")

OUTLIVED_MUTANTS = (
    Mutant(
        "replaced_though_seen_since",
        "a promotion that a primary outlived replaced nobody (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "                former = None if is_late else former_primary(",
                "                former = former_primary(",
            ),
        ),
        test=_outlived(
            "the_late_one_is_primary_where_the_other_is_not_there_and_nothing_ends_unasked"
        ),
    ),
    Mutant(
        "late_end_past_a_primary_that_is_there",
        "a late promotion does not end the appointment of a primary that is there (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "                if is_late and is_there(",
                "                if is_there(",
            ),
        ),
        test=_outlived("a_primary_that_comes_back_beside_its_successor_rejoins_by_itself"),
    ),
    Mutant(
        "late_end_appoints",
        "a late promotion is a claim beside a primary that is there (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "                    successor = appointed[shard_id]\n",
                "                    appointed.pop(shard_id)\n",
            ),
        ),
        test=_NOBODY_FOLLOWS,
    ),
    Mutant(
        "outlived_is_forgotten",
        "that a primary was seen after a promotion left is remembered until that ends (ADR 0100)",
        (
            Edit(
                _PROGRESS,
                "        is_outlived=known is not None and known.is_outlived,\n",
                "        is_outlived=False,\n",
            ),
        ),
        test=_outlived("a_person_decides_that_the_late_one_gives_up"),
    ),
    Mutant(
        "heard_by_copies_is_not_seen",
        "a primary that copies hear is there as well (ADR 0100)",
        (
            Edit(
                _OUTLIVED,
                "(is_heard and not primary.has_stepped_down)\n",
                "(is_heard and not primary)\n",
            ),
        ),
        test=_NOBODY_FOLLOWS,
    ),
    Mutant(
        "outlived_beside_its_successor",
        "who comes back only beside the successor was replaced (ADR 0100)",
        (Edit(_OUTLIVED, "_seen_by_a_copy and not primary.claimants\n", "_seen_by_a_copy\n"),),
        test=_outlived("one_that_is_seen_only_beside_its_successor_did_not_outlive_it"),
    ),
    Mutant(
        "needless_promotion_waits_at_its_agent",
        "a promotion that did not begin is cancelled when the primary is seen (ADR 0104)",
        (Edit(_DISPATCH, "        found.cancels += needless_at_agents(acting.situation)\n", ""),),
        test=_outlived(
            "a_promotion_that_did_not_begin_is_cancelled_at_its_agent_when_the_primary_is_seen"
        ),
    ),
    Mutant(
        "running_promotion_is_cancelled",
        "what runs at an agent is not cancelled there (ADR 0104)",
        (
            Edit(
                _RESENDS,
                "        is_waiting = is_told and action.phase is NActionPhase.NEW\n",
                "        is_waiting = is_told\n",
            ),
        ),
        test=_outlived("what_runs_is_not_cancelled_at_its_agent"),
    ),
)

"""Defects of a failover that a person asks for past a primary that hangs."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_FENCING = "orchestrate/actions/fencing.py"


def _fence(name: str) -> str:
    return unit_test("orchestrate_asked_fence", name)


FENCING_MUTANTS = (
    Mutant(
        "asked_failover_leaves_who_hangs",
        "a person's failover ends the process of a primary that hangs first (ADR 0046)",
        (
            Edit(
                _FENCING,
                "if _FENCE in known or not hangs(acting.situation, node_id):",
                "if True:",
            ),
        ),
        test=_fence("the_process_of_a_primary_that_hangs_is_ended_first"),
    ),
    Mutant(
        "ended_for_nobody",
        "nothing is ended that nobody may replace (ADR 0046)",
        (
            Edit(
                _FENCING,
                "acting.may_go(proposal) and acting.may_go(fence)",
                "acting.may_go(fence)",
            ),
        ),
        test=_fence("nothing_is_ended_that_the_one_who_is_named_may_not_replace"),
    ),
    Mutant(
        "fenced_again_and_again",
        "a failover fences once (ADR 0046)",
        (Edit(_FENCING, "if _FENCE in known or not hangs", "if not hangs"),),
        test=_fence("however_the_fence_ends_the_promotion_follows_once"),
    ),
    Mutant(
        "asked_failover_waits_for_a_silent_agent",
        "an agent that falls silent does not stand in the way of a failover (ADR 0046)",
        (
            Edit(
                _FENCING,
                "return is_silent and not hung_a_look_ago(situation, served.node_id)",
                "return False",
            ),
        ),
        test=_fence("an_agent_that_falls_silent_meanwhile_holds_it_up_for_one_look"),
    ),
    Mutant(
        "one_lost_answer_passes_by_the_fence_of_a_person",
        "one lost answer of its agent does not let a primary go on (ADR 0046)",
        (
            Edit(
                _FENCING,
                "return is_silent and not hung_a_look_ago(situation, served.node_id)",
                "return is_silent",
            ),
        ),
        test=_fence("an_agent_that_falls_silent_meanwhile_holds_it_up_for_one_look"),
    ),
    Mutant(
        "fence_that_never_arrived_is_waited_for",
        "a fence that its agent never took does not stand in the way (ADR 0046)",
        (
            Edit(
                _FENCING,
                "    if served is None:\n        return True\n",
                "    if served is None:\n        return False\n",
            ),
        ),
        test=_fence("a_fence_that_its_agent_never_took_does_not_stand_in_the_way"),
    ),
)

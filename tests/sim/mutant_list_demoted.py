"""Defects of what is remembered of a primary that said that it is none any more, and of what
its agent tells late."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_EVIDENCE = "orchestrate/safety/rules_evidence.py"
_CYCLE = "orchestrate/cycle.py"
_LATE = "orchestrate/memory/late_ends.py"
_PRIMARIES = "orchestrate/roles/primaries.py"
_PROGRESS = "orchestrate/memory/progress.py"


def _demoted(name: str) -> str:
    return unit_test("orchestrate_demoted", name)


DEMOTED_MUTANTS = (
    Mutant(
        "demotion_forgotten_beside_a_successor",
        "a successor that is seen does not end what a primary said of itself (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "claimants=claimants,\n        suspicions=_standing_still(look, found),",
                "claimants=claimants,\n        suspicions={},",
            ),
        ),
        test=_demoted("a_successor_that_was_seen_does_not_hide_that_the_primary_said_it_is_none"),
    ),
    Mutant(
        "death_proves_that_of_another_claimant",
        "the death of the known primary proves nothing of another one (ADR 0105)",
        (Edit(_PRIMARIES, "bool(found.unseen or heard)\n", "bool(heard)\n"),),
        test=_demoted("the_death_of_one_of_two_claimants_does_not_prove_that_of_the_other"),
    ),
    Mutant(
        "replaced_one_slows_a_failover",
        "the last word of one that was replaced is no claim (ADR 0105)",
        (
            Edit(
                _PRIMARIES,
                "        and it.node_id not in look.state.replaced.get(shard_id, {})\n",
                "",
            ),
        ),
        test=_demoted("the_last_word_of_one_that_was_replaced_slows_no_failover"),
    ),
    Mutant(
        "demotion_of_the_former_one",
        "the word of a former primary says nothing of the one appointed in its place (ADR 0105)",
        (
            Edit(
                _PROGRESS,
                "            suspicions = without(suspicions, shard_id)\n    return",
                "            suspicions.pop(claimant, None)\n    return",
            ),
        ),
        test=_demoted("its_word_is_forgotten_when_its_successor_is_appointed"),
    ),
    Mutant(
        "late_handover_past_its_copies",
        "a late handover appoints nobody beside copies that hear the former one (ADR 0105)",
        (Edit(_LATE, " and not is_heard_as_primary(view, shard_id, former)\n", "\n"),),
        test=_demoted("a_late_handover_is_not_believed_beside_copies_that_hear_the_former_primary"),
    ),
    Mutant(
        "late_handover_past_its_own_word",
        "a former primary that says that it is none needs no copy that agrees (ADR 0105)",
        (
            Edit(
                "orchestrate/roles/witnesses.py",
                "hearing(view, shard_id, node_id)) and not has_yielded(view, shard_id, node_id)\n",
                "hearing(view, shard_id, node_id))\n",
            ),
        ),
        test=_demoted("a_late_handover_is_believed_beside_copies_behind_one_that_says_it_is_none"),
    ),
    Mutant(
        "late_end_again_and_again",
        "a late end is an act of one cycle, not of each (ADR 0105)",
        (
            Edit(
                _CYCLE,
                "        [*actions.ended, *late],\n        observations,\n",
                "        actions.ended,\n        observations,\n",
            ),
        ),
        test=_demoted("a_late_end_is_told_once_though_the_agent_does_not_tell_its_queue"),
    ),
    Mutant(
        "promoted_past_whom_all_hear",
        "a person is asked past a node that copies hear in the primary's place (ADR 0105)",
        (Edit(_EVIDENCE, "    if primary.heard:\n", "    if not primary.node_id:\n"),),
        test=_demoted("a_person_is_asked_past_a_node_that_every_copy_hears"),
    ),
)

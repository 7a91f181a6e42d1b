"""What a cycle tells besides the proposals themselves: ways out, and notes of what it does. Pure.

Called by the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from replicante.model.codec import encode_value
from replicante.model.decision import ForcedOption, Outcome
from replicante.model.report import Note, NoteCategory
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.proposal import StepResult


def options_told(acting: Acting, results: Iterable[StepResult]) -> tuple[ForcedOption, ...]:
    """With the actions that wait for their approval."""
    waiting = {
        (it.action_kind, encode_value(it.args)): it.action_id
        for it in acting.records
        if it.outcome is Outcome.AWAITS_APPROVAL
    }
    return tuple(
        msgspec.structs.replace(it, action_id=waiting.get((it.verb, encode_value(it.args))))
        for result in results
        for it in result.options
    )


def decisions_told(acting: Acting) -> tuple[Note, ...]:
    return tuple(
        Note(
            category=NoteCategory.DECISION,
            message=record.effect,
            data={"step_id": record.step, "action_id": record.action_id},
        )
        for record in acting.records
        if record.outcome in (Outcome.DONE, Outcome.AWAITS_APPROVAL)
    )

"""What a record comes to when its action waits for a person, or waits no more. Pure.

Called by `acting` and `held_promotions`.
"""

from __future__ import annotations

import msgspec

from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.codec import Value


def released(action: NAction | OAction) -> NAction | OAction:
    if isinstance(action, NAction):
        return msgspec.structs.replace(action, phase=NActionPhase.PENDING_SCHEDULE, asked={})
    return msgspec.structs.replace(action, phase=OActionPhase.PENDING_SCHEDULE, asked={})


def taken_back(action: NAction | OAction) -> NAction | OAction:
    """As before it left: nothing of it is at its agent or will be."""
    if isinstance(action, OAction):
        return action
    return msgspec.structs.replace(action, sent_epoch=None, sent_to=None, deadline_ms=None)


def asked_about(action: NAction | OAction, asked: dict[str, dict[str, Value]]) -> NAction | OAction:
    """A call of a platform that may have left is held as it is."""
    if isinstance(action, NAction):
        return msgspec.structs.replace(action, phase=NActionPhase.PENDING_APPROVE, asked=asked)
    if action.phase is OActionPhase.RUNNING:
        return action
    return msgspec.structs.replace(action, phase=OActionPhase.PENDING_APPROVE, asked=asked)


def turned(before: NAction | OAction, after: NAction | OAction) -> ChangeCode | None:
    """The event of a question that begins or ends; None: it only asks for less."""
    if after.phase is before.phase:
        return None
    if after.phase is waiting_phase(after):
        return ask_code(after)
    is_on_node = isinstance(after, NAction)
    return ChangeCode.NACTION_APPROVE if is_on_node else ChangeCode.OACTION_APPROVE


def ask_code(action: NAction | OAction) -> ChangeCode:
    is_on_node = isinstance(action, NAction)
    return ChangeCode.NACTION_ASK if is_on_node else ChangeCode.OACTION_ASK


def waiting_phase(action: NAction | OAction) -> NActionPhase | OActionPhase:
    if isinstance(action, NAction):
        return NActionPhase.PENDING_APPROVE
    return OActionPhase.PENDING_APPROVE

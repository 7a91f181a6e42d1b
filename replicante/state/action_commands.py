"""What people can do with an action, as values, and their fields in a packed command. Pure.

Part of `commands`, which knows the tags. What the orchestrator does with actions comes in its
cycles: `record_commands`.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from replicante.model.action_requests import ActionOn
from replicante.state.object_commands import unpack_names


class ActionVerb(enum.IntEnum):
    """Stored in logs: never reused, never renumbered."""

    APPROVE = 1
    """From PENDING_APPROVE."""
    REJECT = 2
    """From PENDING_APPROVE."""
    CANCEL = 3
    """From anything unfinished. What its agent has already is not called back by this: the agent
    is told in the next cycle, and what it reports of the action is noted in its history."""


class CreateAction(msgspec.Struct, frozen=True):
    """Rejected unknown_scope without namespace and cluster, action_exists when the id was used. The
    same request again under the same id changes nothing."""

    on: ActionOn
    names: tuple[str, ...]
    """Namespace, cluster, action id."""
    body: bytes
    """Canonical bytes of a map: kind, args, metadata, requester; node_id or timeout_ms."""
    is_approved: bool


class MoveAction(msgspec.Struct, frozen=True):
    """Rejected not_found, or wrong_phase when the verb does not fit the phase."""

    on: ActionOn
    names: tuple[str, ...]
    """Namespace, cluster, action id; for one on a node the node before the id."""
    verb: ActionVerb
    reason: str = ""
    """For the event; at most REASON_BYTES_MAX."""


ActionCommand = CreateAction | MoveAction


def pack_action_fields(command: ActionCommand) -> list[Any]:
    match command:
        case CreateAction(on, names, body, is_approved):
            return [int(on), list(names), body, is_approved]
        case MoveAction(on, names, verb, reason):
            return [int(on), list(names), int(verb), reason]


def unpack_create(packed: list[Any]) -> CreateAction:
    _, on, names, body, is_approved = packed
    if type(body) is not bytes or type(is_approved) is not bool:
        raise TypeError("an action is bytes, its approval true or false")
    return CreateAction(ActionOn(on), unpack_names(names), body, is_approved)


def unpack_move(packed: list[Any]) -> MoveAction:
    _, on, names, verb, reason = packed
    if type(reason) is not str:
        raise TypeError("a reason is text")
    return MoveAction(ActionOn(on), unpack_names(names), ActionVerb(verb), reason)

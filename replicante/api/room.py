"""Which writes a store that is nearly full still takes. Pure; called by writes at admission.

Decided here and never in apply: how full a store is differs from peer to peer.
"""

from __future__ import annotations

from replicante import errors, limits
from replicante.api.backend import RoomDoor
from replicante.state.commands import Batch, Command, KvDelete, KvGet, KvTxn, SetEventRetention
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.queue_commands import (
    QueueAck,
    QueueClaim,
    QueueExtend,
    QueueNack,
    QueuePurge,
    QueueResume,
)

_TAKES_NO_ROOM = (
    SetEventRetention,
    PutConsumer,
    DeleteConsumer,
    KvDelete,
    KvGet,
    DeleteObject,
    LeaseRenew,
    LeaseRelease,
    LeaseForceRelease,
    QueueAck,
    QueueNack,
    QueueExtend,
    QueuePurge,
)
"""What makes room, and what keeps leases alive. A consumer of events that moves lets the log be
trimmed."""
_LEADS_TO_ROOM = (QueueClaim, QueueResume, LeaseAcquire)
"""Without these a backlog that fills the store could never be worked off."""


def check_room(room: RoomDoor, command: Command) -> None:
    """Raises StorageFull."""
    if room.used_fraction <= limits.STATE_USED_FRACTION_MAX and not room.is_map_full:
        return
    parts: tuple[object, ...] = (command,)
    if isinstance(command, Batch | QueueAck):
        parts = command.operations
    elif isinstance(command, KvTxn):
        parts = (*command.then, *command.otherwise)
    is_way_open = (
        room.used_fraction <= limits.STATE_USED_FRACTION_WAY_OUT_MAX and not room.is_map_full
    )
    if not all(_is_taken(part, is_way_open=is_way_open) for part in parts):
        raise errors.StorageFull(
            hints=(
                "delete data, work off or purge queues, keep fewer events",
                "raise storage.state_map_bytes of every peer and start them again, one by one",
            ),
            used_fraction=round(room.used_fraction, 3),
            is_map_full=room.is_map_full,
        )


def _is_taken(part: object, *, is_way_open: bool) -> bool:
    if isinstance(part, _TAKES_NO_ROOM):
        return True
    if isinstance(part, PutObject):  # the last finaliser of an object that is being deleted
        return is_way_open and part.expect is not None and not part.finalisers
    return is_way_open and isinstance(part, _LEADS_TO_ROOM)

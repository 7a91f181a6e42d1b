"""The bounds of lease commands, checked before they are proposed. Pure; called by
`envelope.admit`.

Every refusal names the field and the limit.
"""

from __future__ import annotations

from replicante.errors import Invalid
from replicante.limits import (
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    LEASE_OWNER_BYTES_MAX,
    LEASE_REASON_BYTES_MAX,
)
from replicante.model.codec import load_value
from replicante.state.admission import (
    check_canonical,
    check_name,
    check_positive,
    check_size,
    check_text,
    check_time,
)
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseCommand,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)


def check_lease_command(command: LeaseCommand, where: str = "") -> None:
    """where: beginning of the path of a fault, as `operations[3].`. Raises Invalid and
    BodyTooLarge."""
    check_name(command.name, f"{where}name")
    match command:
        case LeaseAcquire(_, duration_ms, owner):
            _check_duration(duration_ms, where)
            check_size(owner, f"{where}owner", bytes_max=LEASE_OWNER_BYTES_MAX)
            check_canonical(owner, f"{where}owner")
            if type(load_value(owner)) is not dict:
                raise Invalid("an owner is a map of attributes", path=f"{where}owner")
        case LeaseRenew(_, token, duration_ms):
            check_positive(token, f"{where}token", what="a token")
            if duration_ms is not None:
                _check_duration(duration_ms, where)
        case LeaseRelease(_, token):
            check_positive(token, f"{where}token", what="a token")
        case LeaseForceRelease(_, reason):
            if not reason:
                raise Invalid("a reason is not empty", path=f"{where}reason")
            check_text(reason, f"{where}reason", bytes_max=LEASE_REASON_BYTES_MAX)


def _check_duration(duration_ms: int, where: str) -> None:
    check_time(
        duration_ms,
        f"{where}duration",
        low_ms=LEASE_MS_MIN,
        high_ms=LEASE_MS_MAX,
        what="the duration of a lease",
    )

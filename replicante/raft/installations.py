"""What a start does about an installation that an earlier process began (ADR 0019). Decides; called
by peer_driver and the simulator, before anything else reads the log."""

from __future__ import annotations

from typing import Protocol

from replicante.raft.log import Base
from replicante.raft.state_machine import DurableStateMachine


class InstallationLog(Protocol):
    """A log backend that knows how far an installation has come; all of it is durable at once."""

    def marker(self) -> Base | None: ...

    def drop_marker(self) -> None: ...

    def reset_to(self, base: Base) -> bool: ...


def finish_installation(log: InstallationLog, machine: DurableStateMachine) -> None:
    """Ends what an earlier process began: forward when the state was replaced, else back."""
    base = log.marker()
    if base is None:
        return
    if machine.applied_index == base.index:
        log.reset_to(base)
    else:
        log.drop_marker()

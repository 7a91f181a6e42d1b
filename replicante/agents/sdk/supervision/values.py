"""What a supervisor says of a service, and what it can be asked for. Pure; implemented by `systemd`
and `commands`, called by `actions` and by the agent's server.
"""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass


class ServiceState(enum.StrEnum):
    """Shown as an attribute of the node: a text is never reused."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    """Stopped, and its supervisor says that it ended badly."""
    CHANGING = "changing"
    """On its way up or down, by whoever asked for it."""

    @property
    def is_down(self) -> bool:
        return self in (ServiceState.STOPPED, ServiceState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    state: ServiceState
    detail: str
    """In the words of the supervisor."""
    pid: int | None = None
    """Of its main process, where there is one and the supervisor knows it."""
    run_id: str | None = None
    """Names this run of the service: another one after each start. None: nobody can tell."""


class SupervisionFailed(Exception):
    """The supervisor did not do or not tell what it was asked for; the text is what it said."""


class Supervisor(abc.ABC):
    """Called on the agent's event loop; `status` may overlap with each of the others. A call holds
    its own time limit; one that is cancelled leaves no process of its own behind."""

    @abc.abstractmethod
    async def status(self) -> Service:
        """Raises SupervisionFailed."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Asks for it, and may return before the service runs. Harmless when it runs already.
        Raises SupervisionFailed."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Asks for it, and may return before the service ended. Harmless when it is stopped.
        Raises SupervisionFailed."""

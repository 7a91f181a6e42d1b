"""Makes the supervisor that a configuration names. Called by the program of an agent."""

from __future__ import annotations

from replicante.agents.sdk.supervision.commands import Commands
from replicante.agents.sdk.supervision.settings import SystemdSettings, read_settings
from replicante.agents.sdk.supervision.systemd import Systemd
from replicante.agents.sdk.supervision.values import Supervisor
from replicante.model.codec import Value


def read_supervisor(value: Value) -> Supervisor:
    """value: a map of one key, `systemd` or `commands`, to its settings, as a configuration file
    gives it.  Raises InvalidConfig."""
    settings = read_settings(value)
    if isinstance(settings, SystemdSettings):
        return Systemd(settings)
    return Commands(settings)

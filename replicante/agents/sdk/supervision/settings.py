"""How an agent is told who supervises its store: structs, and how they are read. Pure; called by
the program of an agent.
"""

from __future__ import annotations

import re

import msgspec

from replicante.errors import InvalidConfig
from replicante.limits import SERVICE_COMMAND_MS_MAX
from replicante.model.codec import Value

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}")

Words = tuple[str, ...]
"""A program and its arguments, one word each: no shell reads them."""


class SystemdSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store is a unit of systemd."""

    unit: str
    """Name of the unit, as `redis.service`; without a suffix it is a service."""
    is_user: bool = False
    """Ask the systemd of the agent's user instead of the system's."""
    systemctl: Words = ("systemctl",)
    """How systemctl is called, as `["sudo", "-n", "systemctl"]` for an agent that may not do it
    itself. It is never asked for a password: what needs one fails."""

    def __post_init__(self) -> None:
        if _UNIT.fullmatch(self.unit) is None:
            raise ValueError("unit must be the name of a unit")
        _expect_command("systemctl", self.systemctl)


class CommandSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store is started, stopped and looked at by commands, each a list of words. What they
    print is told when they fail."""

    status: Words
    """Ends with 0 when the store runs, with 1, 2 or 3 when it does not, with any other code when it
    cannot tell. Output that is a single number is the store's process: one that is gone is a store
    that is stopped. It has 5 seconds."""
    start: Words
    """Ends with 0 when the store was started; what it leaves running is the store."""
    stop: Words
    """Ends with 0 when the store was stopped or was not running."""
    limit_ms: int = SERVICE_COMMAND_MS_MAX
    """For one run of `start` or `stop`, in milliseconds; then the command is killed, and the action
    fails. At most the default, which fits into one step of an action."""

    def __post_init__(self) -> None:
        for name in ("status", "start", "stop"):
            _expect_command(name, getattr(self, name))
        if not 0 < self.limit_ms <= SERVICE_COMMAND_MS_MAX:
            raise ValueError(f"limit_ms must be between 1 and {SERVICE_COMMAND_MS_MAX}")


def read_settings(value: Value) -> SystemdSettings | CommandSettings:
    """Raises InvalidConfig."""
    kinds: dict[str, type[SystemdSettings] | type[CommandSettings]] = {
        "systemd": SystemdSettings,
        "commands": CommandSettings,
    }
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= kinds.keys():
        raise InvalidConfig("Supervision is a map of either systemd or commands.")
    ((name, fields),) = value.items()
    try:
        return msgspec.convert(fields, kinds[name])
    except msgspec.ValidationError as exc:
        raise InvalidConfig(f"The settings of {name} cannot be used: {exc}.") from exc


def _expect_command(name: str, words: Words) -> None:
    if not words or not words[0] or any("\0" in word for word in words):
        raise ValueError(f"{name} must be a program and its arguments")

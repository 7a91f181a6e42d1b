"""Changes settings of a running server, by name. Called by the agent's runner.

Either all that is asked for holds afterwards, or what held before does. The result says what held
before, so that it can be asked for again.
"""

from __future__ import annotations

import msgspec

from replicante.agents.sdk import ActionKind, Step, again, done, failed
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.settings import KeptSettings, Wanted, read_wanted
from replicante.agents.stores.redis.steps import translated
from replicante.agents.stores.redis.talk import Refused
from replicante.model import action_kinds
from replicante.model.codec import Value


class ConfigureArgs(msgspec.Struct, frozen=True):
    settings: dict[str, Wanted]
    """Name of Redis → value."""
    dry_run: bool = False
    """Only says what would change."""
    persistent: bool = True
    """Also after the next start."""


class ConfigureAction:
    def __init__(self, *, server: RedisServer, kept: KeptSettings) -> None:
        self._server = server
        self._kept = kept

    def kinds(self) -> list[ActionKind]:
        return [
            ActionKind(
                kind=action_kinds.STORE_CONFIGURE,
                description="Change settings of the running server, all or none.",
                run=translated(self._configure),
                args=ConfigureArgs,
            )
        ]

    async def _configure(self, args: ConfigureArgs, before: Value) -> Step:
        wanted = read_wanted(args.settings)
        if not isinstance(before, dict):
            previous = {name: await self._value(name) for name in wanted}
            changed: list[Value] = [it for it in wanted if previous[it] != wanted[it]]
            told: dict[str, Value] = {
                "previous": dict(previous),
                "settings": dict(wanted),
                "changed": changed,
                "dry_run": args.dry_run,
                "persistent": args.persistent and not args.dry_run,
            }
            # On the disk before anything is changed: a repeat would find the new values.
            return done(told) if args.dry_run else again(told, pause_ms=0)
        for name, value in wanted.items():
            try:
                await self._server.call("CONFIG SET", name, value)
            except Refused as exc:
                for earlier, held in before["previous"].items():
                    await self._server.call("CONFIG SET", earlier, held)
                return failed(f"{name}: {exc}: all is as it was", before)
        if args.persistent:
            self._kept.save(wanted)
            self._server.prepare()
        return done(before)

    async def _value(self, name: str) -> str:
        return str((await self._server.call("CONFIG GET", name))[name])

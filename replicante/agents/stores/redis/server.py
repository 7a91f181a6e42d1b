"""Speaks to one Redis server on this machine, and starts its process. Called by `store`, `actions`.

The server is a daemon: it outlives its agent, and an agent that starts finds it. A connection a
call: whether a connection is refused is itself what is asked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import asyncio as redis_asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from replicante.agents.sdk import Sight, StoreContact, StoreUnavailable
from replicante.agents.stores.redis.facts import Address, Facts, read_facts
from replicante.limits import REDIS_CALL_MS_MAX

_SENTINEL_CLIENT = "sentinel-"
"""Sentinel names its connections so."""


class NoContact(StoreUnavailable):
    def __init__(self, contact: StoreContact, message: str) -> None:
        super().__init__(message)
        self.contact = contact


class Refused(Exception):
    """The server answered with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    program: str
    """`redis-server`, by name or path."""
    folder: Path
    """Holds its configuration, data and log."""
    host: str
    port: int
    password: str | None = None
    """Also between servers."""


class RedisServer:
    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings

    @property
    def address(self) -> Address:
        return self._settings.host, self._settings.port

    async def facts(self) -> Facts:
        """Raises NoContact."""
        info = await self.call("INFO")
        try:
            return read_facts(info)
        except (KeyError, TypeError, ValueError) as exc:
            message = f"it does not answer as Redis from 6.2 on does: {exc!r}"
            raise NoContact(StoreContact.ANSWERS, message) from exc

    async def controllers(self) -> tuple[str, ...]:
        """Others that change the roles of this server.  Raises NoContact."""
        clients = await self.call("CLIENT LIST")
        is_ruled = any(str(it.get("name", "")).startswith(_SENTINEL_CLIENT) for it in clients)
        return ("sentinel",) if is_ruled else ()

    async def sight(self, facts: Facts) -> Sight:
        """What this replica sees of its primary. Whether nobody listens there any more is tried by
        a connection: the server itself tells only that the link is down."""
        if facts.follows is None:
            return Sight.UNKNOWN
        if facts.is_link_up:
            return Sight.UP
        try:
            async with asyncio.timeout(REDIS_CALL_MS_MAX / 1_000):
                _, writer = await asyncio.open_connection(*facts.follows)
        except ConnectionRefusedError:
            return Sight.REFUSED
        except (OSError, TimeoutError):
            return Sight.DOWN
        writer.close()
        return Sight.DOWN

    async def call(self, *command: str | int) -> Any:
        """Raises NoContact, or Refused with what the server says."""
        host, port = self.address
        client = redis_asyncio.Redis(
            host=host,
            port=port,
            password=self._settings.password,
            socket_timeout=REDIS_CALL_MS_MAX / 1_000,
            socket_connect_timeout=REDIS_CALL_MS_MAX / 1_000,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except exceptions.BusyLoadingError as exc:
            raise NoContact(StoreContact.ANSWERS, "it is loading its data") from exc
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as exc:
            is_refused = any(isinstance(it, ConnectionRefusedError) for it in _causes(exc))
            contact = StoreContact.REFUSED if is_refused else StoreContact.SILENT
            raise NoContact(contact, f"{host}:{port}: {exc}"[:300]) from exc
        except exceptions.RedisError as exc:
            raise Refused(str(exc)[:300]) from exc
        finally:
            await client.aclose()

    async def start(self, *, follows: Address) -> None:
        """Returns when the daemon was begun; it may not answer yet.  Raises Refused, OSError."""
        folder = self._settings.folder
        await asyncio.to_thread(self._write_configuration)
        process = await asyncio.create_subprocess_exec(
            self._settings.program,
            str(folder / "redis.conf"),
            *("--replicaof", follows[0], str(follows[1])),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
        code = await process.wait()
        if code != 0:
            raise Refused(f"{self._settings.program} ended with code {code}; see its redis.log")

    async def shut_down(self) -> None:
        """Asks for it; the server is gone when connections are refused.  Raises NoContact."""
        try:
            await self.call("SHUTDOWN")
        except NoContact as exc:
            # A server that obeys closes the connection instead of answering.
            if exc.contact is StoreContact.REFUSED:
                return

    def _write_configuration(self) -> None:
        settings = self._settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"bind {settings.host}",
            f"port {settings.port}",
            f"replica-announce-ip {settings.host}",
            f"replica-announce-port {settings.port}",
            "daemonize yes",
            "dir ./",
            "logfile redis.log",
            "pidfile redis.pid",
            "appendonly yes",
            "appendfsync everysec",
            # A primary that died is noticed by its closed connection; one that hangs, after this.
            "repl-timeout 10",
            "repl-ping-replica-period 1",
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
        ]
        if settings.password is not None:
            quoted = settings.password.replace("\\", "\\\\").replace('"', '\\"')
            lines += [f'requirepass "{quoted}"', f'masterauth "{quoted}"']
        path = settings.folder / "redis.conf"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = exc
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__

"""Speaks to one Redis server on this machine, and has it started. Called by `store`, `actions`.

The server outlives its agent, and an agent that starts finds it: a daemon, or under a supervisor.
Rule: the configuration on the disk makes it a copy, of whom it is to follow or of nobody, at every
moment; so it is one also when somebody else starts it, behind the agent's back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicante.agents.sdk import ServiceState, Sight, StoreContact, Supervisor
from replicante.agents.stores.redis.facts import NOWHERE, Address, Facts, read_facts, ruled_by
from replicante.agents.stores.redis.settings import PROTECTION, KeptSettings
from replicante.agents.stores.redis.talk import NoContact, Refused, ask, messages
from replicante.durable_file import PRIVATE, write_durably
from replicante.limits import (
    AGENT_SILENCES_FULL_EVERY,
    REDIS_BRIEF_MS_MAX,
    REDIS_CALL_MS_MAX,
    REDIS_HEARD_MS_MAX,
    REDIS_LAG_MS_MAX,
)

_CONFIGURATION = "redis.conf"
_PID_FILE = "redis.pid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    program: str | None
    """`redis-server`, by name or path. None: a supervisor knows."""
    folder: Path
    """Holds its configuration, data and log."""
    host: str
    port: int
    password: str | None = None
    """Also between servers."""


class RedisServer:
    def __init__(
        self, settings: ServerSettings, kept: KeptSettings, *, supervisor: Supervisor | None = None
    ) -> None:
        """kept: what people set, for every start.  supervisor: who starts and stops the server;
        None: the agent does."""
        self._settings = settings
        self._kept = kept
        self._supervisor = supervisor
        self._follows = NOWHERE
        self._silences = 0
        """Calls in a row that ended without an answer."""
        self.controllers_last: tuple[str, ...] = ()
        """Those of the last answer, for a server that cannot be asked."""

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
        self.controllers_last = ruled_by(await self.call("CLIENT LIST"))
        return self.controllers_last

    async def is_answering(self) -> bool:
        """Whether it says anything at all, asked briefly.  Raises ConnectionRefusedError."""
        return await _answers(self.address)

    async def sight(self, facts: Facts) -> Sight:
        """What this replica sees of its primary. The server itself tells only whether its link is
        open, and a stopped primary keeps it open. So a link that was silent counts for nothing, and
        the primary is asked; and whether anybody listens there at all is tried by a connection."""
        if facts.follows is None:
            return Sight.UNKNOWN
        if facts.is_heard_within(REDIS_HEARD_MS_MAX):
            return Sight.UP
        try:
            is_answering = await _answers(facts.follows)
        except ConnectionRefusedError:
            # Beside an open link somebody in between refuses: no process is known to be gone.
            return Sight.DOWN if facts.is_link_up else Sight.REFUSED
        # An answer beside a closed link may be that of a former primary, started as nobody's copy.
        return Sight.UP if facts.is_link_up and is_answering else Sight.DOWN

    async def lag_bytes(self, facts: Facts) -> int | None:
        """What this replica lacks of its primary, by the word of that. None: it is not known."""
        if facts.follows is None or not facts.is_link_up:
            return None
        try:
            # Not for long: what a witness sees of a primary that hangs must not wait for it.
            info = await self.call_copy(
                facts.follows, "INFO", "replication", limit_ms=REDIS_LAG_MS_MAX
            )
            is_primary = info["role"] == "master"
            offset = int(info["master_repl_offset" if is_primary else "slave_repl_offset"])
            # Offsets count in one history: right after a change of roles the two may differ.
            is_one = info["master_replid"] == facts.history_id
        except (NoContact, Refused, LookupError, TypeError, ValueError):
            return None
        return max(0, offset - facts.offset) if is_one else None

    async def call(self, *command: str | int) -> Any:
        """Raises NoContact, or Refused with what the server says."""
        try:
            answer = await ask(
                self.address,
                *command,
                password=self._settings.password,
                limit_ms=self._limit_ms(),
            )
        except NoContact as exc:
            is_silent = exc.contact is StoreContact.SILENT
            self._silences = self._silences + 1 if is_silent else 0
            raise
        except Refused:
            self._silences = 0
            raise
        self._silences = 0
        return answer

    async def call_copy(
        self, address: Address, *command: str | int, limit_ms: int = REDIS_BRIEF_MS_MAX
    ) -> Any:
        """Asks another server of the cluster: the password is the same.  Raises as `call`."""
        return await ask(address, *command, password=self._settings.password, limit_ms=limit_ms)

    async def spare_count(self, primary: Address) -> int | None:
        """Replicas that a primary can lose and still takes writes. None: it asks for none.

        Raises NoContact, Refused; LookupError, ValueError for an answer that is none."""
        wanted, _ = PROTECTION
        least = int((await self.call_copy(primary, "CONFIG GET", wanted))[wanted])
        if least == 0:
            return None
        info = await self.call_copy(primary, "INFO", "replication")
        return int(info["min_slaves_good_slaves"]) - least

    def messages(self, channel: str, *, limit_ms: int) -> AsyncIterator[str]:
        """As `talk.messages`."""
        return messages(self.address, channel, password=self._settings.password, limit_ms=limit_ms)

    def prepare(self, follows: Address | None = None) -> None:
        """Writes down how every later start begins.  follows: None: as written before.

        Raises OSError."""
        self._follows = follows or self._follows
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        lines = self._configuration()
        text = "\n".join(lines) + "\n"  # there are passwords in it
        write_durably(self._settings.folder / _CONFIGURATION, text, mode=PRIVATE)

    async def set_for_good(self, settings: Mapping[str, str]) -> None:
        """Now, and at every later start.

        Raises NoContact, Refused, OSError."""
        for name, value in settings.items():
            await self.call("CONFIG SET", name, value)
        self._kept.save(settings)
        self.prepare()

    async def keep_as_set(self, names: Iterable[str]) -> None:
        """What somebody set holds at every later start, too.

        Raises NoContact, Refused, OSError."""
        self._kept.save({it: str((await self.call("CONFIG GET", it))[it]) for it in names})
        self.prepare()

    async def start(self) -> None:
        """As a copy of whom it was prepared to follow. Returns when it was begun or asked for; it
        may not answer yet.  Raises Refused, OSError, SupervisionFailed."""
        if self._supervisor is not None:
            await self._supervisor.start()
            return
        folder, program = self._settings.folder, self._settings.program
        assert program is not None, "who has no supervisor has a program"
        process = await asyncio.create_subprocess_exec(
            program,
            str(folder / _CONFIGURATION),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
        code = await process.wait()
        if code != 0:
            raise Refused(f"{program} ended with code {code}; see its redis.log")

    async def failure(self) -> str | None:
        """Why a supervisor says that it could not start it; None: nobody says so.

        Raises SupervisionFailed."""
        if self._supervisor is None:
            return None
        found = await self._supervisor.status()
        return found.detail if found.state is ServiceState.FAILED else None

    async def shut_down(self) -> None:
        """Asks for it; the server is gone when connections are refused.

        Raises NoContact, SupervisionFailed."""
        if self._supervisor is not None:
            # Whoever supervises it would start it again if it ended by itself.
            await self._supervisor.stop()
            return
        try:
            await self.call("SHUTDOWN")
        except NoContact as exc:
            # A server that obeys closes the connection instead of answering.
            if exc.contact is StoreContact.REFUSED:
                return

    async def kill(self) -> None:
        """Ends the process at once, also one that was stopped. It may still be there for a moment.

        Raises Refused when it is not certain which process it is.
        """
        await asyncio.to_thread(_kill, self._settings)

    def _limit_ms(self) -> int:
        is_brief = self._silences % AGENT_SILENCES_FULL_EVERY != 0
        return REDIS_BRIEF_MS_MAX if is_brief else REDIS_CALL_MS_MAX

    def _configuration(self) -> list[str]:
        settings = self._settings
        lines = [
            f"bind {settings.host}",
            f"port {settings.port}",
            f"replica-announce-ip {settings.host}",
            f"replica-announce-port {settings.port}",
            f"daemonize {'no' if self._supervisor is not None else 'yes'}",
            f"dir {_quoted(str(settings.folder.resolve()))}",
            f"replicaof {self._follows[0]} {self._follows[1]}",
            "logfile redis.log",
            f"pidfile {_PID_FILE}",
            "appendonly yes",
            "appendfsync everysec",
            # A primary that died is noticed by its closed connection; one that hangs, after this.
            "repl-timeout 10",
            "repl-ping-replica-period 1",
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
        ]
        if settings.password is not None:
            quoted = _quoted(settings.password)
            lines += [f"requirepass {quoted}", f"masterauth {quoted}"]
        return lines + [f"{name} {value}" for name, value in sorted(self._kept.values.items())]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def _answers(server: Address) -> bool:
    """Whether a Redis server says anything at all, be it that it is busy or wants a password.

    Raises ConnectionRefusedError.
    """
    try:
        async with asyncio.timeout(REDIS_BRIEF_MS_MAX / 1_000):
            reader, writer = await asyncio.open_connection(*server)
            try:
                writer.write(b"PING\r\n")
                return bool(await reader.read(1))
            finally:
                writer.close()
    except ConnectionRefusedError:
        raise
    except (OSError, TimeoutError):
        return False


def _kill(settings: ServerSettings) -> None:
    """By the number in its file, if the process of that number works in our folder and names our
    port: a number may belong to somebody else by now. What is held is the process, so that it
    cannot change in between."""
    try:
        pid = int((settings.folder / _PID_FILE).read_text())
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, ValueError, AttributeError) as exc:
        raise Refused(f"its process cannot be found: {exc!r}"[:300]) from exc
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
        title = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        if folder != settings.folder.resolve() or f":{settings.port}" not in title:
            raise Refused(f"process {pid} is not this server any more")
        signal.pidfd_send_signal(held, signal.SIGKILL)
    except OSError as exc:
        raise Refused(f"process {pid} cannot be ended: {exc}") from exc
    finally:
        os.close(held)

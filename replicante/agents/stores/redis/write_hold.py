"""Has a server refuse writes while Sentinel replaces it, and lets them in again whatever became of
who wanted that. Used by `through_sentinel`; run by the agent beside everything else.

An action may end in many ways: by its end, an error, a bound, a person's cancel, or with its agent.
What the server had before is on the disk before it refuses, and what an action leaves behind is
looked after here until it is back.

Rule: who may have been replaced takes no write. So writes are let in when the server is a replica,
which refuses them anyway; when Sentinel was asked and begins nothing; and, where no Sentinel can be
asked for longer than its failover takes, only as long as a replica follows, which it loses to a
successor (ADR 0068). Who was replaced and is not told refuses for as long as that lasts; `why`
tells people.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from replicante.agents.sdk import Step
from replicante.agents.stores.redis.after_hang import (
    GUARD_LAG_SECONDS,
    LAG_USUAL_SECONDS,
    AfterHang,
)
from replicante.agents.stores.redis.facts import Address, Facts, text
from replicante.agents.stores.redis.sentinels import Council, Sentinels
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.settings import PROTECTION, KeptSettings
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.durable_file import PRIVATE, write_durably
from replicante.limits import SENTINEL_IDLE_STEPS_MAX, SENTINEL_UNCLEAR_LOOKS_MAX

NOBODY = 1_000_000
"""Replicas that a primary is to wait for so that it takes no write at all: more than there are."""
STEP_MS = 200
_HOLD_LAG_SECONDS = 1
"""Without a bound on the lag the server does not count replicas at all."""
_FILE = "write_hold.json"
_Before = tuple[int, int]
"""Of PROTECTION."""


class WriteHold:
    """Raises OSError, ValueError for a file that cannot be read or written."""

    def __init__(
        self,
        *,
        server: RedisServer,
        sentinels: Sentinels,
        after_hang: AfterHang,
        kept: KeptSettings,
        folder: Path,
    ) -> None:
        self._server = server
        self._sentinels = sentinels
        self._after_hang = after_hang
        self._kept = kept
        self._path = folder / _FILE
        self._before = _read(self._path) if self._path.exists() else None
        """None: nothing is to be put back."""
        self._turn = asyncio.Lock()
        """One step of an action, or one look: what one decides the other must not overtake."""
        self._is_in_use = False
        self._is_searched = False
        """What an agent left that lost its folder was looked for."""
        self._idle_looks = 0
        self._unclear_looks = 0
        self._replaced_by: Address | None = None
        self._replaced_looks = 0

    @property
    def why(self) -> str | None:
        """Why the server goes on refusing every write. None: it takes them, or may soon."""
        if self._replaced_by is None or self._replaced_looks < SENTINEL_UNCLEAR_LOOKS_MAX:
            return None
        named = text(self._replaced_by)
        return f"Sentinels name {named}; this server was not told and refuses every write"

    async def used_by(self, work: Callable[[], Awaitable[Step]]) -> Step:
        """Nobody else looks after it during a step, nor until the next one, if there is to be
        one."""
        async with self._turn:
            is_over = True
            try:
                step = await work()
                is_over = step.phase.is_final
                return step
            finally:
                self._is_in_use = not is_over
                self._idle_looks = self._unclear_looks = 0
                self._note_successor(None)

    def leave(self) -> None:
        """There is no next step after all."""
        self._is_in_use = False

    async def refuse_writes(self, facts: Facts) -> None:
        """Of a primary.  Raises NoContact, Refused, OSError."""
        if not facts.is_primary:
            return
        if self._before is None:
            before = await self._settings()
            write_durably(self._path, json.dumps(before), mode=PRIVATE)
            self._before = before
        await self._set(NOBODY, _HOLD_LAG_SECONDS)

    async def put_back(self) -> None:
        """Unless somebody set it otherwise meanwhile.  Raises NoContact, Refused, OSError."""
        if self._before is None:
            return
        wanted, lag = await self._settings()
        if wanted == NOBODY or lag == _HOLD_LAG_SECONDS:
            await self._set(*self._before)
            if self._before[1] == GUARD_LAG_SECONDS:
                self._after_hang.doubt()
        # One whose removal a cut of the power undoes finds a server that was started anew.
        self._path.unlink(missing_ok=True)
        self._before = None
        self._note_successor(None)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(STEP_MS / 1_000)
            await self.look()

    async def look(self) -> None:
        """At what nobody uses any more. A server that does not answer takes no write either; the
        next look tries again."""
        if self._is_in_use or self._turn.locked():
            return
        async with self._turn:
            try:
                await self._settle()
            except (NoContact, Refused, OSError, LookupError, ValueError):
                return

    async def _settle(self) -> None:
        if self._before is None:
            await self._search()
            return
        facts = await self._server.facts()
        if not facts.is_primary:
            await self.put_back()
            return
        own, council = self._server.address, await self._council()
        if council is not None and council.agreed is not None:
            self._note_successor(None if council.agreed == own else council.agreed)
            if council.agreed != own:
                return  # a Sentinel that reaches it tells it; until then people are told
        is_moving = council is None or council.is_failing_over
        is_idle = council is not None and not is_moving and council.is_unanimous_for(own)
        self._idle_looks = self._idle_looks + 1 if is_idle else 0
        self._unclear_looks += 1
        if self._idle_looks > SENTINEL_IDLE_STEPS_MAX:
            await self.put_back()
        elif self._unclear_looks > SENTINEL_UNCLEAR_LOOKS_MAX:
            if self._before[0] == 0:
                self._before = 1, GUARD_LAG_SECONDS
            await self.put_back()

    def _note_successor(self, named: Address | None) -> None:
        self._replaced_by = named
        self._replaced_looks = 0 if named is None else self._replaced_looks + 1

    async def _search(self) -> None:
        """Nobody else asks for so many replicas."""
        if self._is_searched:
            return
        if (await self._settings())[0] == NOBODY:
            wanted, lag = PROTECTION
            self._before = (
                int(self._kept.values.get(wanted, 0)),
                int(self._kept.values.get(lag, LAG_USUAL_SECONDS)),
            )
        self._is_searched = True

    async def _council(self) -> Council | None:
        """None: too few answer to know what they want as a whole."""
        try:
            found = await self._sentinels.council()
        except (NoContact, Refused):
            return None
        return found if found.is_quorate else None

    async def _settings(self) -> _Before:
        wanted, lag = [
            int((await self._server.call("CONFIG GET", name))[name]) for name in PROTECTION
        ]
        return wanted, lag

    async def _set(self, wanted: int, lag: int) -> None:
        # The bound first: what is left of a half is known by it.
        await self._server.call("CONFIG SET", PROTECTION[1], lag)
        await self._server.call("CONFIG SET", PROTECTION[0], wanted)


def _read(path: Path) -> _Before:
    try:
        wanted, lag = json.loads(path.read_bytes())
        return int(wanted), int(lag)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{path} is not what an agent wrote: {exc!r}") from exc

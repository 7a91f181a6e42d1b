"""Knows the Sentinels that watch this server, and asks them. Called by `store` and
`through_sentinel`.

Each Sentinel publishes every two seconds, on every server that it watches, where it listens, how it
names the group, whom it takes for the primary and under which epoch. So nothing is configured, and
what is read is as old as two seconds. What publishes there has the server's password.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replicante.agents.stores.redis.facts import Address, address, text
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.talk import NoContact, Refused, ask
from replicante.clock import Clock
from replicante.limits import (
    REDIS_BRIEF_MS_MAX,
    SENTINEL_HEARD_MS_MAX,
    SENTINEL_SILENT_MS_MAX,
    SENTINELS_MAX,
)

_CHANNEL = "__sentinel__:hello"
_PAUSE_MS = 1_000
"""Until it is looked again whether anybody publishes."""
_DOWN = frozenset({"s_down", "o_down"})
_UNFIT = _DOWN | {"disconnected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a Sentinel published last."""

    sentinel: Address
    run_id: str
    name: str
    """Of the group that it watches."""
    primary: Address
    epoch: int
    """Of the failover that made this one the primary: a greater one is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelSays:
    """What a Sentinel answered."""

    sentinel: Address
    primary: Address
    epoch: int
    is_failing_over: bool
    is_down: bool
    """It takes the primary for dead."""
    down_after_ms: int
    others_count: int
    """Further Sentinels that it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Council:
    """The Sentinels that answered just now, of those that are known."""

    name: str
    known_count: int
    says: tuple[SentinelSays, ...]

    @property
    def agreed(self) -> Address | None:
        """The primary by the word of a majority of all that are known."""
        return _agreed([it.primary for it in self.says], known_count=self.known_count)

    @property
    def is_failing_over(self) -> bool:
        return any(it.is_failing_over for it in self.says)

    @property
    def is_quorate(self) -> bool:
        return 2 * len(self.says) > self.known_count

    @property
    def chair(self) -> Address:
        """The one that is asked to act: always the same while it answers."""
        return min(it.sentinel for it in self.says)

    def is_unanimous_for(self, primary: Address) -> bool:
        return all(it.primary == primary for it in self.says)


class Sentinels:
    def __init__(self, *, server: RedisServer, password: str | None, clock: Clock) -> None:
        """password: of the Sentinels, who have one of their own."""
        self._server = server
        self._password = password
        self._clock = clock
        self._heard: dict[str, tuple[Hello, int]] = {}
        """Run id → its last words, and when by the monotonic clock."""

    async def listen(self) -> None:
        """Until it is cancelled. Costs a connection only where Sentinels were seen."""
        while True:
            if self._server.controllers_last:
                # Whoever may publish there may also publish what is no text.
                with contextlib.suppress(NoContact, Refused, UnicodeDecodeError):
                    words = self._server.messages(_CHANNEL, limit_ms=SENTINEL_SILENT_MS_MAX)
                    async for word in words:
                        self._hear(word)
            await asyncio.sleep(_PAUSE_MS / 1_000)

    @property
    def heard(self) -> tuple[Hello, ...]:
        """Of those that spoke lately, by address."""
        since_ms = self._clock.monotonic_ms() - SENTINEL_HEARD_MS_MAX
        found = [hello for hello, at_ms in self._heard.values() if at_ms >= since_ms]
        return tuple(sorted(found, key=lambda it: it.sentinel))

    @property
    def agreed(self) -> Address | None:
        """The primary by the word of a majority of those that spoke lately."""
        heard = self.heard
        return _agreed([it.primary for it in heard], known_count=len(heard))

    async def council(self) -> Council:
        """Asks all at once.  Raises Refused when none was heard of yet, or they watch different
        groups; NoContact."""
        heard = self.heard
        names = {it.name for it in heard}
        if not heard:
            # Nobody may have looked since this process began: then it listens from now on.
            await self._server.controllers()
        if len(names) != 1:
            told = f"watch it under several names: {', '.join(sorted(names))}"
            raise Refused(f"Sentinels {told}" if names else "no Sentinel was heard of yet")
        (name,) = names
        asked = await asyncio.gather(*(self._master(it.sentinel, name) for it in heard))
        says = tuple(it for it in asked if it is not None)
        known = max((len(heard), *(it.others_count + 1 for it in says)))
        return Council(name=name, known_count=known, says=says)

    async def choices(self, council: Council) -> tuple[Address, ...]:
        """Replicas of which the one that is asked to act may choose.  Raises NoContact, Refused."""
        found = await self._ask(council.chair, "SENTINEL", "SLAVES", council.name)
        rows = [_pairs(it) for it in found]
        return tuple(
            (str(it["ip"]), int(it["port"]))
            for it in rows
            if not _UNFIT & set(it["flags"].split(",")) and int(it["slave-priority"]) > 0
        )

    async def fail_over(self, council: Council) -> None:
        """Has one of them begin.  Raises NoContact when it is not known whether it did, Refused
        with what it says against it."""
        await self._ask(council.chair, "SENTINEL", "FAILOVER", council.name)

    async def _master(self, sentinel: Address, name: str) -> SentinelSays | None:
        """None: no usable answer."""
        try:
            found = _pairs(await self._ask(sentinel, "SENTINEL", "MASTER", name))
            flags = set(found["flags"].split(","))
            return SentinelSays(
                sentinel=sentinel,
                primary=(found["ip"], int(found["port"])),
                epoch=int(found["config-epoch"]),
                is_failing_over="failover_in_progress" in flags,
                is_down=bool(_DOWN & flags),
                down_after_ms=int(found["down-after-milliseconds"]),
                others_count=int(found["num-other-sentinels"]),
            )
        except (NoContact, Refused, KeyError, TypeError, ValueError):
            return None

    async def _ask(self, sentinel: Address, *command: str) -> Any:
        return await ask(sentinel, *command, password=self._password, limit_ms=REDIS_BRIEF_MS_MAX)

    def _hear(self, word: str) -> None:
        hello = read_hello(word)
        if hello is None:
            return
        self._heard[hello.run_id] = hello, self._clock.monotonic_ms()
        if len(self._heard) > SENTINELS_MAX:
            del self._heard[min(self._heard, key=lambda it: self._heard[it][1])]


def read_hello(word: str) -> Hello | None:
    """None: nothing that a Sentinel publishes."""
    match word.split(","):
        case [ip, port, run_id, _, name, primary_ip, primary_port, epoch]:
            try:
                return Hello(
                    sentinel=address(f"{ip}:{port}"),
                    run_id=run_id,
                    name=name,
                    primary=address(f"{primary_ip}:{primary_port}"),
                    epoch=int(epoch),
                )
            except ValueError:
                return None
        case _:
            return None


def told(sentinels: Iterable[Hello]) -> str:
    """Their addresses, for people."""
    return ",".join(text(it.sentinel) for it in sentinels)


def _agreed(named: Sequence[Address], *, known_count: int) -> Address | None:
    return next((it for it in named if 2 * named.count(it) > known_count), None)


def _pairs(answer: Any) -> Mapping[str, str]:
    """Sentinel answers with names and values in turn; some clients make a map of them."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))

"""What can be done to the network between peers, whatever it is made of.

Kept by `jlike.links_relays` and `jlike.links_switch`; used by the nemesis. Every link has a
direction, and each direction of a pair can be cut or marred alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

Pair = tuple[str, str]
"""(from, to), by peer id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """How a link is bad without being cut. delay_s: of everything. jitter_s: up to so much more,
    drawn anew each time. loss, twice: shares of what is lost, and of what comes twice."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    twice: float = 0.0


class Links(Protocol):
    """All in the loop that made it."""

    @property
    def held(self) -> Counter[Pair]:
        """Times that something of the peers met a cut: the proof that it took effect."""

    @property
    def marred(self) -> Counter[Pair]:
        """Times that something of the peers was lost, late or doubled by a flaw: one that lets all
        pass as it came took no effect."""

    async def cut(self, pairs: Iterable[Pair]) -> None: ...

    async def heal(self, pairs: Iterable[Pair] | None = None) -> None:
        """Not cut any more: these, or all. Harmless to repeat."""

    def mar(self, pairs: Iterable[Pair], flaw: Flaw) -> None:
        """Until they are mended; the last flaw counts."""

    def mend(self, pairs: Iterable[Pair] | None = None) -> None:
        """Without flaw: these, or all. Harmless to repeat."""

    async def passing(self, pairs: Iterable[Pair], *, seconds: float) -> set[Pair]:
        """Those through which something gets in this time, found out by sending something, where
        that can be done without being one of the peers."""

    async def close(self) -> None: ...

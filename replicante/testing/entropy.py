"""Chance that repeats: a seed and a name give the same numbers on every machine and version.

Called by the simulator and by tests. Each concern draws from a stream of its own, so that one
more draw in one of them changes nothing in the others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")
_MASK = (1 << 64) - 1
_MULTIPLIER = 6_364_136_223_846_793_005
_INCREMENT = 1_442_695_040_888_963_407


class Chance:
    """A permuted congruential generator (PCG, 64 bits of state, 32 of output). Fits `Entropy`."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "big")

    def fraction(self) -> float:
        """0 ≤ fraction < 1."""
        state = self._state
        self._state = (state * _MULTIPLIER + _INCREMENT) & _MASK
        return ((((state >> 22) ^ state) >> (22 + (state >> 61))) & 0xFFFFFFFF) / 4_294_967_296

    def token(self) -> str:
        return "".join(f"{int(self.fraction() * 65_536):04x}" for _ in range(8))

    def happens(self, probability: float) -> bool:
        return probability > 0 and self.fraction() < probability

    def between(self, low: int, high: int) -> int:
        """low ≤ result ≤ high."""
        return low + int(self.fraction() * (high - low + 1))

    def pick(self, choices: Sequence[_T]) -> _T:
        return choices[int(self.fraction() * len(choices))]

    def weighted(self, choices: Sequence[tuple[_T, float]]) -> _T:
        """choices: (what, weight), at least one with weight above 0."""
        place = self.fraction() * sum(weight for _, weight in choices)
        for choice, weight in choices:
            place -= weight
            if place < 0:
                return choice
        return choices[-1][0]

    def some(self, choices: Sequence[_T], count: int) -> list[_T]:
        """`count` of them, in random order, none twice."""
        left = list(choices)
        return [left.pop(int(self.fraction() * len(left))) for _ in range(min(count, len(left)))]

    def exponential(self, mean: float) -> int:
        """A gap between events that happen once in `mean` on average; at least 1."""
        return max(1, round(-mean * math.log(1.0 - self.fraction())))

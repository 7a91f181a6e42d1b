"""Which process speaks for each member of the group. Pure; called by neighbours.

Two processes under one identity, one of them on a copied data directory, would vote twice and
acknowledge what the other does not have.
"""

from __future__ import annotations

from collections import Counter

from replicante import limits
from replicante.clock import Clock


class Claims:
    """Which process speaks for each member: a second one on a copied directory gets no link.

    Two processes under one identity would vote twice. The first one counts for as long as one
    of its links stands, or its handshake may still be under way.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, int]] = {}
        """key → (process, when it greeted)"""
        self._links: Counter[str] = Counter()

    def may_speak(self, key: str, process: str) -> bool:
        now_ms = self._clock.monotonic_ms()
        held = self._held.get(key)
        if held is not None and held[0] != process:
            is_greeting = now_ms - held[1] < limits.LINK_HANDSHAKE_MS_MAX
            if self._links[key] > 0 or is_greeting:
                return False
        self._held[key] = (process, now_ms)
        return True

    def link_changed(self, key: str, *, is_up: bool) -> None:
        self._links[key] += 1 if is_up else -1
        if self._links[key] <= 0:
            del self._links[key]
            self._held.pop(key, None)

    def has_links(self, key: str) -> bool:
        return key in self._links

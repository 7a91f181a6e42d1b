"""Followers of the event log, each at another peer every time: one log, dense, the same everywhere.

Called by sim_state_clients. A follower reads what a peer has, without asking anybody whether that
is all; it keeps its place when it changes to another peer. In the end every peer has told the whole
log, and what was acknowledged is told once, what was refused never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from replicante.ids import format_stamp
from replicante.limits import PAGE_ITEMS_MAX
from replicante.state import queries
from replicante.state.eventlog import Event
from replicante.storage.kv import View
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_work import Question, Work


class FollowWork(Work):
    name = "follow"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places: dict[int, tuple[int, int]] = {}
        """client → (id, seq) of the event that it has read last"""
        self._log: dict[int, tuple[int, bytes]] = {}
        """seq → (id, chain) as somebody was told it"""
        self.expected: dict[int, int] = {}
        """operation → how many events tell of it; −1: at least one"""

    def next(self, client: int, peer: SimPeer) -> Question | None:
        state = peer.home.state
        if state is None or peer.driver is None:
            return None
        with state.view() as view:
            after, _ = self._places.get(client, (0, 0))
            limit = self.chance.pick([1, 5, 100])
            page = queries.events_after(view, after, limit=limit)
            self._follow(client, page.items, peer=peer.name)
        told = [_told(event) for event in page.items]
        self.note(client, "poll", [format_stamp(after), False], told, peer=peer.name)
        return None

    def _follow(self, client: int, events: Sequence[Event], *, peer: str) -> None:
        last_id, last_seq = self._places.get(client, (0, 0))
        for event in events:
            if event.id <= last_id or event.seq != last_seq + 1:
                text = f"{peer}: {event.seq} ({event.id}) after {last_seq} ({last_id})"
                self.fail("events are dense and in order", text)
            known = self._log.setdefault(event.seq, (event.id, event.chain))
            if known != (event.id, event.chain):
                text = f"{peer}: event {event.seq} is {event.id}, and was {known[0]}"
                self.fail("there is one event log", text)
            last_id, last_seq = event.id, event.seq
            self.count("event_followed")
        self._places[client] = (last_id, last_seq)

    def check_end(self, views: Sequence[tuple[str, View]]) -> None:
        for number, (name, view) in enumerate(views):
            client = -10 - number
            self._places.pop(client, None)
            events: list[Event] = []
            while True:
                after = self._places.get(client, (0, 0))[0]
                page = queries.events_after(view, after, limit=PAGE_ITEMS_MAX)
                self._follow(client, page.items, peer=name)
                told = [_told(event) for event in page.items]
                self.note(client, "poll", [format_stamp(after), True], told, peer=name)
                events += page.items
                if not page.is_more:
                    break
            self._check_complete(name, events)

    def _check_complete(self, name: str, events: Sequence[Event]) -> None:
        if len(events) < max(self._log, default=0):
            self.fail("there is one event log", f"{name} lost what somebody was told of")
        caused = Counter(event.request_id for event in events)
        for number, expected in self.expected.items():
            found = caused[str(number)]
            if found != expected and not (expected < 0 < found):
                text = f"{name}: operation {number} has {found} events, not {expected}"
                self.fail("a change and its event are one", text)


def _told(event: Event) -> list[Any]:
    return [format_stamp(event.id), event.seq, event.chain.hex(), event.request_id]

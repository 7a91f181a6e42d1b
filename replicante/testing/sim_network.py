"""A network of one-way links that delays, loses, repeats, reorders, and is cut.

Called by sim_cluster and sim_faults. What it models is what the product's transport lets
through: a link leads from one process to another process; when either ends, the link is gone; a
message never reaches a later process of the same peer over an old link. Within that, everything
that Raft must bear happens, also what TCP would hide.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from replicante.raft import messages as m
from replicante.raft.frames import Channel
from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_greeting import Greeting
from replicante.testing.sim_options import Options

_HELD_MAX = 200
_REDIAL_US = (200, 8_000)
_NOTICE_US = (50, 3_000)


class Station(Protocol):
    """A peer as the network meets it."""

    @property
    def name(self) -> str: ...

    @property
    def process(self) -> int:
        """Number of the process that runs now; grows with every start."""
        ...

    @property
    def is_running(self) -> bool: ...

    def deliver(self, sender: str, body: bytes) -> None: ...

    def link_changed(self, other: str, *, is_up: bool) -> None: ...

    def link_refused(self, other: str) -> None: ...

    def greeting(self) -> Greeting:
        """For who may be of another generation; only while it runs."""
        ...


@dataclass(slots=True)
class Link:
    """From one peer to another."""

    source: Station
    target: Station
    is_foreign: bool
    """Between two generations of the cluster."""
    is_up: bool = False
    is_cut: bool = False
    generation: int = 0
    """Grows whenever the link breaks: what was sent before may be lost with it."""
    target_process: int = 0
    latest_us: dict[Channel, int] = field(default_factory=lambda: dict.fromkeys(Channel, 0))
    held: deque[tuple[Channel, bytes]] = field(default_factory=lambda: deque(maxlen=_HELD_MAX))


class SimNetwork:
    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        *,
        note: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self.is_calm = False
        """Short delays, no loss, no repeats, and an order as connections keep it: the second phase
        of a run."""
        self._schedule = schedule
        self._options = options
        self._chance = Chance(options.seed, "network")
        self._note = note
        self._count = count
        self._links: dict[tuple[str, str], Link] = {}
        self._stations: list[Station] = []

    def connect(self, stations: Iterable[Station]) -> None:
        """Those of one group with each other, and with whoever was there before: they dial each
        other as well, and it is for their greetings to keep them apart."""
        fresh = list(stations)
        for source in fresh:
            for target in fresh:
                if source is not target:
                    self._link(source, target, is_foreign=False)
            for stranger in self._stations:
                self._link(source, stranger, is_foreign=True)
                self._link(stranger, source, is_foreign=True)
        self._stations += fresh

    def _link(self, source: Station, target: Station, *, is_foreign: bool) -> None:
        self._links[source.name, target.name] = Link(source, target, is_foreign)

    def calm(self) -> None:
        """From now on delays are short, and nothing waits behind what was delayed before."""
        self.is_calm = True
        for link in self._links.values():
            link.latest_us = dict.fromkeys(Channel, 0)

    # --- sending -----------------------------------------------------------------------------

    def send(self, source: str, target: str, message: m.Message) -> None:
        link = self._links[source, target]
        body = m.encode_message(message)
        self._note(f"send {source}>{target} {zlib.crc32(body)}")
        if not link.is_up:
            return
        channel = m.channel_of(message)
        if link.is_cut:
            if self._options.holds_when_cut:
                link.held.append((channel, body))
            return
        if not self.is_calm and self._chance.happens(self._options.loss):
            self._count("message_lost")
            return
        arrival_us = self._carry(link, channel, body)
        if not self.is_calm and self._chance.happens(self._options.duplication):
            self._count("message_repeated")
            delay_us = self._chance.between(0, self._options.repeat_us)
            self._plan(link, arrival_us + delay_us, body)

    def _carry(self, link: Link, channel: Channel, body: bytes) -> int:
        """When it will arrive."""
        options, chance = self._options, self._chance
        low_us, high_us = options.delay_us
        delay_us = chance.between(low_us, high_us)
        if self.is_calm:
            delay_us = min(delay_us, 1_000)
        elif chance.happens(options.spike[0]):
            delay_us += chance.between(0, options.spike[1])
        arrival_us = self._schedule.now_us + delay_us
        if options.is_ordered or self.is_calm:
            arrival_us = max(arrival_us, link.latest_us[channel])
            link.latest_us[channel] = arrival_us
        self._plan(link, arrival_us, body)
        return arrival_us

    def _plan(self, link: Link, arrival_us: int, body: bytes) -> None:
        generation, process = link.generation, link.target_process
        self._schedule.at(arrival_us, lambda: self._arrive(link, generation, process, body))

    def _arrive(self, link: Link, generation: int, process: int, body: bytes) -> None:
        target = link.target
        if not target.is_running or target.process != process:
            return
        if generation != link.generation and self._chance.happens(0.5):
            return  # it broke meanwhile, and this was still on the sender's side
        if link.is_cut:
            if self._options.holds_when_cut and generation == link.generation:
                link.held.append((Channel.VITAL, body))
            return
        target.deliver(link.source.name, body)

    # --- links come and go -------------------------------------------------------------------

    def started(self, station: Station) -> None:
        """A process runs: it dials everybody, and everybody who missed it finds it."""
        for link in self._of(station):
            self._dial(link)

    def ended(self, station: Station, *, loses_sent: bool) -> None:
        """loses_sent: the machine went down too, and with it what the process had sent last."""
        for link in self._of(station):
            was_up = link.is_up
            link.is_up = False
            link.held.clear()
            if link.source is station:
                link.generation += 1 if loses_sent else 0
            elif was_up:
                self._tell_loss(link)

    def _tell_loss(self, link: Link) -> None:
        """The other end is gone: seen soon, unless the way is cut; the redial is refused unless
        somebody listens again."""
        source, process = link.source, link.source.process

        def notice() -> None:
            is_same = source.is_running and source.process == process
            if not is_same or link.is_up or link.is_cut:
                return
            source.link_changed(link.target.name, is_up=False)
            if link.target.is_running:
                self._dial(link)
            else:
                source.link_refused(link.target.name)

        self._schedule.after(self._chance.between(*_NOTICE_US), notice)

    def _dial(self, link: Link) -> None:
        source_process, target_process = link.source.process, link.target.process

        def connected() -> None:
            if link.is_up or link.is_cut:
                return
            source, target = link.source, link.target
            if not (source.is_running and target.is_running):
                return
            if (source.process, target.process) != (source_process, target_process):
                return
            if link.is_foreign and not source.greeting().is_mutual(target.greeting()):
                self._count("stranger_refused")
                return
            link.is_up = True
            link.generation += 1
            link.target_process = target.process
            source.link_changed(target.name, is_up=True)

        self._schedule.after(self._chance.between(*_REDIAL_US), connected)

    def reset(self, source: str, target: str) -> None:
        """The connection breaks although both ends live; it is dialled again."""
        link = self._links[source, target]
        if not link.is_up:
            return
        self._note(f"reset {source}>{target}")
        link.is_up = False
        link.generation += 1
        link.held.clear()
        self._tell_loss(link)

    def cut(self, source: str, target: str) -> None:
        """Nothing passes any more; neither side is told."""
        link = self._links[source, target]
        if not link.is_cut:
            self._note(f"cut {source}>{target}")
            link.is_cut = True

    def give_up(self, source: str, target: str) -> None:
        """The sender's kernel has waited long enough: the cut link breaks."""
        link = self._links[source, target]
        if link.is_cut and link.is_up:
            link.is_up = False
            link.generation += 1
            link.held.clear()
            link.source.link_changed(target, is_up=False)

    def heal(self, source: str, target: str) -> None:
        link = self._links[source, target]
        if not link.is_cut:
            return
        self._note(f"heal {source}>{target}")
        link.is_cut = False
        held = list(link.held)
        link.held.clear()
        for channel, body in held:
            self._carry(link, channel, body)
        if not link.is_up:
            self._dial(link)

    def heal_all(self) -> None:
        for source, target in self._links:
            self.heal(source, target)

    def is_cut(self, source: str, target: str) -> bool:
        return self._links[source, target].is_cut

    def _of(self, station: Station) -> list[Link]:
        return [link for link in self._links.values() if station in (link.source, link.target)]

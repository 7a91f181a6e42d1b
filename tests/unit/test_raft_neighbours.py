"""Whoever can be told of a birth is told, whichever of its links stand."""

from __future__ import annotations

import asyncio

import pytest

from replicante.ids import Incarnation, PeerId
from replicante.raft import messages as m
from replicante.raft import neighbours as rooms
from replicante.raft.birth import BirthNote, decode_note
from replicante.raft.data_dir import open_log
from replicante.raft.frames import Channel
from replicante.raft.link_observations import LinkUp
from replicante.raft.neighbours import Neighbours
from replicante.raft.settings import PeerSettings
from replicante.testing.clock import ManualClock
from replicante.testing.entropy import Chance

OTHER, INCARNATION = PeerId("b"), Incarnation("b1")


class Wire:
    """A transport of which the test says which links stand. It keeps what could be sent."""

    made: Wire

    def __init__(self, settings, local, callbacks, *, entropy):
        self.callbacks, self.up, self.sent = callbacks, set(), []
        self.dialled = ()
        type(self).made = self

    def set_peers(self, peers):
        self.dialled = tuple(peers)

    def update_local(self, local): ...

    def is_connected(self, peer_id, channel=Channel.VITAL):
        return (peer_id, channel) in self.up

    def send(self, peer_id, channel, body):
        if self.is_connected(peer_id, channel):
            self.sent.append(decode_note(m.decode_message(body).note))
        return self.is_connected(peer_id, channel)

    async def start(self): ...

    async def stop(self): ...

    async def wait_closed(self):
        await asyncio.Event().wait()

    def stands(self, channel):
        self.up.add((OTHER, channel))
        self.callbacks.observe(
            LinkUp(
                peer_id=OTHER,
                incarnation=INCARNATION,
                channel=channel,
                is_inbound=False,
                remote="b.example:1",
            )
        )

    def hears(self, note):
        body = m.encode_message(m.BirthNotice(note=note.encode()))
        self.callbacks.on_message(OTHER, INCARNATION, Channel.VITAL, body)


class Sink:
    def wake(self): ...

    def born(self): ...

    def report(self, observation): ...

    def receive(self, given, *, size_bytes=0):
        return True


class AtOnce:
    """A commit thread that has no thread."""

    async def run(self, work):
        return work()


@pytest.fixture
async def unborn(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "Transport", Wire)
    settings = PeerSettings(
        data_dir=tmp_path,
        peer_id="a",
        listen="a.example:1",
        peers={"b": "b.example:1"},
        log_reserve_bytes=0,
    )
    clock, entropy = ManualClock(), Chance(1, "a")
    store, header = open_log(settings, clock=clock, entropy=entropy)
    found = Neighbours(settings, header, store, clock=clock, entropy=entropy, sink=Sink())
    await found.start()
    yield found
    found._watch.cancel()
    store.close()


@pytest.mark.parametrize("later", [[], [Channel.BULK]])
async def test_a_lock_is_told_over_the_first_link_that_stands(unborn, later):
    wire = Wire.made
    wire.stands(Channel.VITAL)
    wire.hears(BirthNote(("a", "b")))
    await unborn.advance_birth(AtOnce())
    for channel in later:
        wire.stands(channel)
    assert [bool(it.locked) for it in wire.sent] == [False, True]


async def test_a_birth_is_told_over_the_first_link_that_stands(unborn):
    wire = Wire.made
    wire.stands(Channel.VITAL)
    wire.hears(BirthNote(("a", "b")))
    await unborn.advance_birth(AtOnce())
    wire.hears(BirthNote(("a", "b"), wire.sent[-1].locked))
    await unborn.advance_birth(AtOnce())
    assert wire.sent[-1].is_born


async def test_a_link_that_comes_up_tells_what_there_is_to_tell(unborn):
    wire = Wire.made
    wire.hears(BirthNote(("a", "b")))
    await unborn.advance_birth(AtOnce())
    assert not wire.sent
    wire.stands(Channel.VITAL)
    assert wire.sent[-1].locked

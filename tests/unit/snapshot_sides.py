"""Two peers with their desks, and what is between them, for tests of snapshots. Not a test file."""

from __future__ import annotations

from raft_builders import history, key
from raft_harness import Station

from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.log import HardState
from replicante.raft.snapshots import Snapshot, SnapshotDesk
from replicante.testing.sim_files import OUTGOING, SimFiles

STATE = bytes(range(250)) * 8
PATIENCE_MS = 600
CHUNK_BYTES = 300


def desk_of(files: SimFiles) -> SnapshotDesk:
    """Its pace is no matter where time stands still."""
    return SnapshotDesk(files, patience_ms=PATIENCE_MS, rate_bytes=1 << 40)


class Side:
    """A peer with its desk and files."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.files = SimFiles()
        self.desk = desk_of(self.files)

    def step(self, *received: tuple[str, m.Message], now_ms: int | None = None) -> list:
        """What the desk sends after a step with these messages."""
        inputs = [d.Received(key(sender), message) for sender, message in received]
        effects = self.station.step(*inputs, now_ms=now_ms)
        return self.desk.step(
            self.station.engine,
            chunks=effects.chunks,
            acks=effects.snapshot_acks,
            applied_index=self.station.driver.applied_index,
            is_state_trusted=self.station.driver.agreement.is_state_trusted,
            now_ms=self.station.now_ms,
        )


def leader(*, first_index: int = 8) -> Side:
    """Leads term 2 with a log that begins at `first_index`, and has a snapshot as of it."""
    station = Station("a", records=history("abc", [1] * 12), hard=HardState(term=1))
    station.lead()
    station.acknowledge("b")
    station.acknowledge("b")
    side = Side(station)
    station.log.trim_to(first_index)
    station.persist()
    side.files.write(OUTGOING, STATE)
    return side


def made(side: Side) -> Snapshot:
    size_bytes, digest = side.files.measure()
    base = side.station.log.base_at(side.station.log.first_index)
    return Snapshot(base=base, size_bytes=size_bytes, digest=digest)


def refuse(side: Side, name: str = "c") -> list:
    """The follower says that it has nothing but genesis."""
    engine = side.station.engine
    ack = m.AppendAck(term=engine.term, round=engine.round, is_success=False, match_index=0)
    return side.step((name, replace_hint(ack)))


def replace_hint(ack: m.AppendAck) -> m.AppendAck:
    return m.AppendAck(
        term=ack.term,
        round=ack.round,
        is_success=False,
        match_index=0,
        hint_index=1,
        hint_term=0,
    )


def serving() -> tuple[Side, list]:
    """A leader that has made its snapshot for c, and the first chunks."""
    side = leader()
    side.station.link("c")
    assert refuse(side) == []
    assert side.desk.wants_file
    side.desk.wants_file = False
    side.desk.made(made(side))
    return side, side.step()


def follower() -> Side:
    return Side(Station("c", records=history("abc", [1])))


def transfer(side: Side, other: Side, sent: list) -> None:
    """Until everything has arrived at c."""
    for _ in range(100):
        if other.desk.arrived is not None:
            return
        answers = other.step(*[("a", chunk) for _, chunk in sent])
        sent = side.step(*[("c", answer) for _, answer in answers])
    raise AssertionError("it never arrived")


def wait(side: Side, ms: int) -> None:
    """So long, with a majority that follows."""
    until_ms = side.station.now_ms + ms
    while side.station.now_ms < until_ms:
        side.station.step(now_ms=min(side.station.now_ms + 50, until_ms))
        side.station.acknowledge("b")


def replaced(chunk: m.SnapshotChunk, **changes: object) -> m.SnapshotChunk:
    fields = {name: getattr(chunk, name) for name in chunk.__struct_fields__}
    return m.SnapshotChunk(**(fields | changes))


def restarted(other: Side) -> Side:
    """The same peer and its files, in another process."""
    again = follower()
    again.files = other.files
    again.files.restart()
    again.desk = desk_of(again.files)
    return again

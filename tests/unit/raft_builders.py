"""Records, members and histories for tests of the Raft room."""

from __future__ import annotations

from collections.abc import Iterable

from replicante.raft import messages as m
from replicante.raft.membership import Configuration, Member, genesis_payload
from replicante.raft.records import (
    CHAIN_ZERO,
    CommandItem,
    Item,
    Record,
    decode_items,
    encode_items,
    make_record,
)
from replicante.raft.state_machine import EntryKind


def member(name: str) -> Member:
    return Member(name, f"{name}-disk", f"{name}.example:1")


def configuration(names: Iterable[str]) -> Configuration:
    return Configuration(voters=tuple(member(name) for name in names))


def key(name: str) -> str:
    return member(name).key


def record_after(
    before: Record | None,
    *,
    term: int,
    payload: bytes = b"\x90",
    kind: EntryKind = EntryKind.COMMANDS,
    clock_ms: int = 0,
) -> Record:
    return make_record(
        index=1 if before is None else before.index + 1,
        term=term,
        kind=kind,
        clock_ms=clock_ms,
        wall_ms=0,
        payload=payload,
        chain_before=CHAIN_ZERO if before is None else before.chain,
    )


def genesis_record(names: Iterable[str]) -> Record:
    payload = genesis_payload(cluster_name="test", voters=[member(name) for name in names])
    return record_after(None, term=0, payload=payload, kind=EntryKind.GENESIS)


def history(names: Iterable[str], terms: Iterable[int]) -> list[Record]:
    """Genesis, then one empty entry for each of `terms`."""
    records = [genesis_record(names)]
    for term in terms:
        records.append(record_after(records[-1], term=term))
    return records


def wire(record: Record) -> m.WireRecord:
    return m.WireRecord(
        record.term, int(record.kind), record.clock_ms, record.wall_ms, record.payload
    )


def commands_of(record: Record) -> list[bytes]:
    if record.kind is not EntryKind.COMMANDS:
        return []
    return [it.data for it in decode_items(record.payload) if isinstance(it, CommandItem)]


def commands_record(before: Record, *items: Item, term: int) -> Record:
    return record_after(before, term=term, payload=encode_items(items))


def heartbeat(*, term=1, prev=(1, 0), commit=1, round_=1, entries=(), chain=b"", clock_ms=0):
    """An append that proves nothing about its leader's quorum; with entries it is no heartbeat."""
    return m.Append(
        term=term,
        prev_index=prev[0],
        prev_term=prev[1],
        commit_index=commit,
        clock_ms=clock_ms,
        round=round_,
        echoed_round=0,
        quorum_age_ms=-1,
        entries=list(entries),
        chain=chain,
    )

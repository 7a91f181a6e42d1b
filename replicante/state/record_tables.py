"""The tables of what orchestration knows: records of a cluster, their rows and indexes. Pure.

Called by `apply_records`, `apply_actions`, `holders`, `record_queries` and `invariants`. A record
belongs to one cluster and goes with it; its names are those of `model.change.RecordKind`.

Row of a record: msgpack array [layout, revision, created, value], created being the revision that
it was born with, value its canonical bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import Stamp
from replicante.model.change import RecordKind
from replicante.model.codec import Value, load_value
from replicante.state.fences import FenceOn
from replicante.storage.keys import decode_key, encode_key, encode_prefix, prefix_range
from replicante.storage.kv import Reader

DISCOVERIES: Final = b"\x32"
NODES: Final = b"\x33"
STORE_EXTRAS: Final = b"\x34"
SHARDS: Final = b"\x35"
NACTIONS: Final = b"\x36"
OACTIONS: Final = b"\x37"
CONVERGE_STATES: Final = b"\x38"
DECISIONS: Final = b"\x39"
"""Here the last name is the stamp of the write instead of the decision's id: kept in order."""
REPORTS: Final = b"\x3a"
NACTION_HISTORY: Final = b"\x3b"
"""(str ns, str cluster, str action, int stamp) → canonical bytes of an ActionHistoryEntry."""
ACTIONS_OPEN: Final = b"\x3c"
"""(str ns, str cluster, int created, str action) → b"n" or b"o": unfinished ones, oldest first."""
ACTIONS_ENDED: Final = b"\x3d"
"""(str ns, str cluster, int ended, str action) → as ACTIONS_OPEN: the order of forgetting."""
PLATFORM_RUNS: Final = b"\x3e"
"""(str ns, str platform) → canonical bytes of the last discovery's outcome."""
WORK_REQUESTS: Final = b"\x3f"
"""(int on, str ns, str name) → int: the revision at which somebody asked for work on a target."""
OACTION_HISTORY: Final = b"\x40"
"""As NACTION_HISTORY: agents choose ids of node actions, so one of each kind may bear the same."""

RECORD_TABLES: Final[dict[RecordKind, bytes]] = {
    RecordKind.CLUSTER_DISCOVERY: DISCOVERIES,
    RecordKind.NODE: NODES,
    RecordKind.STORE_EXTRAS: STORE_EXTRAS,
    RecordKind.SHARD: SHARDS,
    RecordKind.NACTION: NACTIONS,
    RecordKind.OACTION: OACTIONS,
    RecordKind.CONVERGE_STATE: CONVERGE_STATES,
    RecordKind.DECISION: DECISIONS,
    RecordKind.REPORT: REPORTS,
}
HISTORY_TABLES: Final = {
    RecordKind.NACTION: NACTION_HISTORY,
    RecordKind.OACTION: OACTION_HISTORY,
}
CLUSTER_TABLES: Final = (
    *RECORD_TABLES.values(),
    *HISTORY_TABLES.values(),
    ACTIONS_OPEN,
    ACTIONS_ENDED,
)
"""Everything that goes with its cluster."""
ALL_RECORD_TABLES: Final = (*CLUSTER_TABLES, PLATFORM_RUNS, WORK_REQUESTS)

NAMES_COUNT: Final[dict[RecordKind, int]] = {
    RecordKind.CLUSTER_DISCOVERY: 2,
    RecordKind.NODE: 3,
    RecordKind.STORE_EXTRAS: 3,
    RecordKind.SHARD: 4,
    RecordKind.NACTION: 3,
    RecordKind.OACTION: 3,
    RecordKind.CONVERGE_STATE: 2,
    RecordKind.DECISION: 3,
    RecordKind.REPORT: 2,
}
ACTION_MARKS: Final = {RecordKind.NACTION: b"n", RecordKind.OACTION: b"o"}
ACTION_KINDS: Final = {mark: kind for kind, mark in ACTION_MARKS.items()}

_LAYOUT: Final = 1
_pack = msgpack.Packer(use_bin_type=True).pack


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """value: canonical bytes, as apply compares them."""

    revision: Stamp
    created: Stamp
    value: bytes

    def load(self) -> dict[str, Value]:
        value = load_value(self.value)
        assert isinstance(value, dict), "records are maps"
        return value


def record_key(kind: RecordKind, names: tuple[str, ...]) -> bytes:
    """names: from the namespace downwards; for a decision see `decision_key`."""
    return encode_key(RECORD_TABLES[kind], *names)


def decision_key(ns: str, cluster: str, stamp: int) -> bytes:
    return encode_key(DECISIONS, ns, cluster, stamp)


def record_row(*, revision: int, created: int, value: bytes) -> bytes:
    row: bytes = _pack((_LAYOUT, revision, created, value))
    return row


def read_record_row(row: bytes) -> RecordRow:
    """Raises FatalError: rows are ours, so they are right."""
    layout, *fields = msgpack.unpackb(row)
    if layout != _LAYOUT or len(fields) != 3:
        raise FatalError(f"a record row of layout {layout} with {len(fields)} fields")
    revision, created, value = fields
    return RecordRow(revision=Stamp(revision), created=Stamp(created), value=value)


def find_record(reader: Reader, kind: RecordKind, names: tuple[str, ...]) -> RecordRow | None:
    row = reader.get(record_key(kind, names))
    return None if row is None else read_record_row(row)


def history_key(kind: RecordKind, names: tuple[str, ...], stamp: int) -> bytes:
    """kind, names: of the action."""
    return encode_key(HISTORY_TABLES[kind], *names, stamp)


def history_prefix(kind: RecordKind, names: tuple[str, ...]) -> bytes:
    return encode_prefix(HISTORY_TABLES[kind], *names)


def open_key(ns: str, cluster: str, created: int, action_id: str) -> bytes:
    return encode_key(ACTIONS_OPEN, ns, cluster, created, action_id)


def ended_key(ns: str, cluster: str, ended: int, action_id: str) -> bytes:
    return encode_key(ACTIONS_ENDED, ns, cluster, ended, action_id)


def platform_run_key(ns: str, platform: str) -> bytes:
    return encode_key(PLATFORM_RUNS, ns, platform)


def work_request_key(on: FenceOn, ns: str, name: str) -> bytes:
    return encode_key(WORK_REQUESTS, int(on), ns, name)


def work_request_row(revision: int) -> bytes:
    return revision.to_bytes(8, "big")


def read_work_request(row: bytes | None) -> int | None:
    return None if row is None else int.from_bytes(row, "big")


def open_actions(reader: Reader, ns: str, cluster: str) -> Iterator[tuple[RecordKind, str]]:
    """Kind and id of each unfinished action, in the order of their creation."""
    for key, mark in reader.scan(*prefix_range(encode_prefix(ACTIONS_OPEN, ns, cluster))):
        *_, action_id = decode_key(key, str, str, int, str)
        yield ACTION_KINDS[mark], str(action_id)

"""The one way to write a record of orchestration: row, indexes, history and event together. Pure.

Called by `apply_actions` and `apply_records`, which have checked that the write may happen.

Bounds: of each cluster the last DECISIONS_KEPT_MAX decisions and the ACTIONS_ENDED_KEPT_MAX
youngest ended actions are kept, and no action longer than ACTIONS_ENDED_KEPT_MS after its end. What
is forgotten emits nothing: its events told of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from replicante.ids import format_stamp
from replicante.limits import (
    ACTIONS_ENDED_KEPT_MAX,
    ACTIONS_ENDED_KEPT_MS,
    ACTIONS_FORGOTTEN_MAX,
    DECISIONS_KEPT_MAX,
)
from replicante.model.actions import NACTION_FINAL, OACTION_FINAL, ActionOrigin
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import Value, encode_value, join_map, load_value
from replicante.state import record_tables
from replicante.state.record_tables import ACTION_MARKS, ACTIONS_ENDED, DECISIONS, RecordRow
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, encode_prefix, prefix_range

_FINAL: Final = frozenset(str(phase) for phase in (*NACTION_FINAL, *OACTION_FINAL))
_BY_AGENT: Final = (
    ChangeCode.NACTION_SYNC_NEW,
    ChangeCode.NACTION_SYNC_UPDATE,
    ChangeCode.NACTION_FINISH,
)
_NULL: Final = encode_value(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    kind: RecordKind
    names: tuple[str, ...]
    before: RecordRow | None
    after: bytes | None
    """Canonical bytes of a map; None: the record goes."""
    code: ChangeCode | None
    """None: no news."""
    cause: str | None = None
    reason: str = ""


def is_final(phase: str) -> bool:
    return phase in _FINAL


def write(writer: Writer, change: Write) -> int:
    """The revision of the write."""
    revision = writer.stamp()
    before, after = change.before, change.after
    if after is None:
        writer.delete(record_tables.record_key(change.kind, change.names))
    else:
        created = revision if before is None else before.created
        row = record_tables.record_row(revision=revision, created=created, value=after)
        writer.put(_row_key(change, revision), row)
    if change.kind in ACTION_MARKS:
        _follow_action(writer, change, revision)
    elif change.kind is RecordKind.DECISION:
        _forget_decisions(writer, change.names)
    if change.code is not None:
        _tell(writer, change, change.code, revision)
    return revision


def _row_key(change: Write, revision: int) -> bytes:
    if change.kind is RecordKind.DECISION:
        return record_tables.decision_key(change.names[0], change.names[1], revision)
    return record_tables.record_key(change.kind, change.names)


def _tell(writer: Writer, change: Write, code: ChangeCode, revision: int) -> None:
    before = change.before
    fields = {
        "after": _NULL if change.after is None else change.after,
        "before": _NULL if before is None else before.value,
        "cause": encode_value(change.cause),
        "previous": encode_value(None if before is None else format_stamp(before.revision)),
    }
    if change.reason:
        fields["reason"] = encode_value(change.reason)
    fields["revision"] = encode_value(format_stamp(revision))
    ns, cluster, *rest = change.names
    key = "/".join(rest) if rest else cluster
    writer.emit(code, join_map(fields), ns=ns, cluster=cluster, key=key)


def _follow_action(writer: Writer, change: Write, revision: int) -> None:
    """Indexes and history of an action that was created, moved on or removed."""
    ns, cluster, action_id = change.names
    before = None if change.before is None else change.before.load()
    created = revision if change.before is None else change.before.created
    open_key = record_tables.open_key(ns, cluster, created, action_id)
    ended_key = record_tables.ended_key(ns, cluster, created, action_id)
    if change.after is None:
        writer.delete(open_key)
        writer.delete(ended_key)
        for key in _history_keys(writer, change.kind, change.names):
            writer.delete(key)
        return
    after = load_value(change.after)
    phase = str(after["phase"])
    if before is not None and before["phase"] == phase:
        return
    entry = _history_entry(writer, change, after)
    history_key = record_tables.history_key(change.kind, change.names, revision)
    # Before what is too much is forgotten: that may be this very action.
    writer.put(history_key, encode_value(entry))
    mark = ACTION_MARKS[change.kind]
    if not is_final(phase):
        writer.put(open_key, mark)
    else:
        writer.delete(open_key)
        writer.put(ended_key, mark)
        _forget_actions(writer, ns, cluster)


def _history_entry(writer: Writer, change: Write, after: dict[str, Value]) -> dict[str, Value]:
    """As `model.actions.ActionHistoryEntry` reads it."""
    origin = ActionOrigin.AGENT if change.code in _BY_AGENT else ActionOrigin.CORE
    return {
        "ns_id": change.names[0],
        "cluster_id": change.names[1],
        "node_id": after.get("node_id"),
        "action_id": change.names[2],
        "origin": str(origin),
        "at_ms": writer.counters.clock_ms,
        "wall_ms": writer.wall_ms,
        "phase": after["phase"],
        "payload": after.get("payload"),
        "error": after.get("error"),
    }


def forget_aged(writer: Writer, ns: str, cluster: str) -> None:
    """Ended actions whose time is over, in the order of their creation: at most
    ACTIONS_FORGOTTEN_MAX, and an action as long as one that was created before it."""
    rows = writer.scan(*prefix_range(encode_prefix(ACTIONS_ENDED, ns, cluster)))
    for key, mark in list(islice(rows, ACTIONS_FORGOTTEN_MAX)):
        *_, action_id = decode_key(key, str, str, int, str)
        names = (ns, cluster, str(action_id))
        row = record_tables.find_record(writer, record_tables.ACTION_KINDS[mark], names)
        ended_ms = None if row is None else row.load().get("finished_ms")
        if type(ended_ms) is not int:
            ended_ms = writer.counters.clock_ms
        if writer.counters.clock_ms - ended_ms < ACTIONS_ENDED_KEPT_MS:
            return
        _forget_action(writer, key, mark)


def _forget_actions(writer: Writer, ns: str, cluster: str) -> None:
    rows = writer.scan(*prefix_range(encode_prefix(ACTIONS_ENDED, ns, cluster)))
    ended = [(key, mark) for key, mark in rows]
    for key, mark in ended[: max(0, len(ended) - ACTIONS_ENDED_KEPT_MAX)]:
        _forget_action(writer, key, mark)


def _forget_action(writer: Writer, ended_key: bytes, mark: bytes) -> None:
    ns, cluster, _, action_id = decode_key(ended_key, str, str, int, str)
    names = (str(ns), str(cluster), str(action_id))
    kind = record_tables.ACTION_KINDS[mark]
    writer.delete(ended_key)
    writer.delete(record_tables.record_key(kind, names))
    for history_key in _history_keys(writer, kind, names):
        writer.delete(history_key)


def _forget_decisions(writer: Writer, names: tuple[str, ...]) -> None:
    rows = writer.scan(*prefix_range(encode_prefix(DECISIONS, names[0], names[1])))
    keys = [key for key, _ in rows]
    for key in keys[: max(0, len(keys) - DECISIONS_KEPT_MAX)]:
        writer.delete(key)


def _history_keys(writer: Writer, kind: RecordKind, names: tuple[str, ...]) -> Iterator[bytes]:
    prefix = record_tables.history_prefix(kind, names)
    return iter([key for key, _ in writer.scan(*prefix_range(prefix))])

"""What is true of all records of orchestration, checked over all rows. Pure; part of `invariants`.

Rule: what a record says of itself is its worker's matter; here it is a map, belongs to something
that is there, and is found by every index that leads to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from replicante.ids import stamp_index
from replicante.limits import ACTIONS_ENDED_KEPT_MAX, DECISIONS_KEPT_MAX
from replicante.model.change import RecordKind
from replicante.model.codec import is_canonical, load_value
from replicante.model.objects import ObjectKind
from replicante.state import record_tables as t
from replicante.state import records
from replicante.state.fences import FenceOn
from replicante.state.record_tables import RecordRow
from replicante.state.tables import Counters, object_key
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader

Names = tuple[str, ...]

_TARGETS = {
    FenceOn.CLUSTER: ObjectKind.CLUSTER_SPEC,
    FenceOn.PLATFORM: ObjectKind.PLATFORM,
}


def check_records(reader: Reader, now: Counters) -> Iterator[str]:
    revisions: set[int] = set()
    indexed = Counter[bytes]()
    for kind, table in t.RECORD_TABLES.items():
        decisions = Counter[Names]()
        for key, raw in reader.scan(*prefix_range(table)):
            names = _names_of(kind, key)
            row = t.read_record_row(raw)
            where = f"{kind} {'/'.join(names)}"
            yield from _check_row(reader, now, where, names, row)
            if row.revision in revisions:
                yield f"{where} shares its revision {row.revision} with another"
            revisions.add(row.revision)
            if kind is RecordKind.DECISION:
                decisions[names[:2]] += 1
                if int(names[2]) != row.revision:
                    yield f"{where} is kept under another stamp than its own"
            elif kind in t.ACTION_MARKS:
                yield from _check_action(reader, kind, names, row, indexed, where)
        for cluster, count in decisions.items():
            if count > DECISIONS_KEPT_MAX:
                yield f"{count} decisions of {'/'.join(cluster)}, more than {DECISIONS_KEPT_MAX}"
    yield from _check_indexes(reader, indexed)
    yield from _check_histories(reader, now)


def check_work(reader: Reader, now: Counters) -> Iterator[str]:
    """Runs of platforms, and requests for work that stand."""
    for key, raw in reader.scan(*prefix_range(t.PLATFORM_RUNS)):
        scope = _texts(decode_key(key, str, str))
        where = f"the run of platform {'/'.join(scope)}"
        if not is_canonical(raw) or type(load_value(raw)) is not dict:
            yield f"{where} is no map"
        if reader.get(object_key(ObjectKind.PLATFORM, scope)) is None:
            yield f"{where} is of one that is not there"
    for key, raw in reader.scan(*prefix_range(t.WORK_REQUESTS)):
        number, *names = decode_key(key, int, str, str)
        on, scope = FenceOn(number), _texts(names)
        where = f"a request for {on.name.lower()} {'/'.join(scope)}"
        revision = t.read_work_request(raw)
        if len(raw) != len(t.work_request_row(0)) or not revision:
            yield f"{where} has no revision"
        elif stamp_index(revision) > now.index:
            yield f"{where} is of an entry that was not applied"
        if reader.get(object_key(_TARGETS[on], scope)) is None:
            yield f"{where} is of one that is not there"


def _names_of(kind: RecordKind, key: bytes) -> Names:
    shape: list[type] = [str] * t.NAMES_COUNT[kind]
    if kind is RecordKind.DECISION:
        shape[-1] = int
    return _texts(decode_key(key, *shape))


def _texts(names: object) -> Names:
    assert isinstance(names, tuple | list), "decoded names"
    return tuple(str(name) for name in names)


def _check_row(
    reader: Reader, now: Counters, where: str, names: Names, row: RecordRow
) -> Iterator[str]:
    if not 0 < row.created <= row.revision or stamp_index(row.revision) > now.index:
        yield f"{where}: revision {row.revision} is not of an applied entry"
    if not is_canonical(row.value) or type(load_value(row.value)) is not dict:
        yield f"{where}: its value is no map"
    if reader.get(object_key(ObjectKind.CLUSTER_SPEC, names[:2])) is None:
        yield f"{where} belongs to a cluster that is not there"


def _check_action(
    reader: Reader,
    kind: RecordKind,
    names: Names,
    row: RecordRow,
    indexed: Counter[bytes],
    where: str,
) -> Iterator[str]:
    """It is unfinished or ended, in the one index that says so, and its last step is its phase."""
    ns, cluster, action_id = names
    phase = str(row.load()["phase"])
    is_final = records.is_final(phase)
    places = {
        t.ACTIONS_OPEN: t.open_key(ns, cluster, row.created, action_id),
        t.ACTIONS_ENDED: t.ended_key(ns, cluster, row.created, action_id),
    }
    wanted = t.ACTIONS_ENDED if is_final else t.ACTIONS_OPEN
    indexed[wanted] += 1
    if reader.get(places[wanted]) != t.ACTION_MARKS[kind]:
        yield f"{where} is {phase}, and not found as such"
    rows = reader.scan(*prefix_range(t.history_prefix(kind, names)))
    steps = [load_value(step) for _, step in rows]
    if not steps or steps[-1]["phase"] != phase:
        yield f"{where} is {phase}, and its history does not end there"


def _check_indexes(reader: Reader, indexed: Counter[bytes]) -> Iterator[str]:
    """Every action has its row, so there are others when there are more."""
    ended = Counter[Names]()
    for table in (t.ACTIONS_OPEN, t.ACTIONS_ENDED):
        count = 0
        for key, _ in reader.scan(*prefix_range(table)):
            count += 1
            ns, cluster, *_ = decode_key(key, str, str, int, str)
            ended[str(ns), str(cluster)] += table == t.ACTIONS_ENDED
        if count != indexed[table]:
            yield f"{count} rows of table {table.hex()}; actions have {indexed[table]}"
    for place, count in ended.items():
        if count > ACTIONS_ENDED_KEPT_MAX:
            yield f"{count} ended actions of {'/'.join(place)} are kept"


def _check_histories(reader: Reader, now: Counters) -> Iterator[str]:
    for kind, table in t.HISTORY_TABLES.items():
        yield from _check_history(reader, kind, table, now)


def _check_history(reader: Reader, kind: RecordKind, table: bytes, now: Counters) -> Iterator[str]:
    for key, raw in reader.scan(*prefix_range(table)):
        *names, stamp = decode_key(key, str, str, str, int)
        where = f"a step of action {'/'.join(_texts(names))}"
        if stamp_index(stamp) > now.index:
            yield f"{where} is of an entry that was not applied"
        if not is_canonical(raw) or type(load_value(raw)) is not dict:
            yield f"{where} is no map"
        if t.find_record(reader, kind, _texts(names)) is None:
            yield f"{where} is of one that is not there"

"""What is true of every state, checked over all rows. Pure; reads everything.

Called by tests after commands, by the simulation, and by `replicante check DATA_DIR`.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from replicante.errors import FatalError
from replicante.ids import stamp_index
from replicante.limits import CONSUMERS_MAX, KV_KEY_BYTES_MAX, REQUESTS_KEPT_MAX
from replicante.model.codec import is_canonical, load_value
from replicante.model.namespace import Namespace
from replicante.model.objects import SCOPE_NAMES, ObjectKind
from replicante.state import holders, levels, tables
from replicante.state.apply_quarantines import noted
from replicante.state.consumers import consumer_rows
from replicante.state.eventlog import read_event
from replicante.state.forks import forks
from replicante.state.outcome import decode_outcome
from replicante.state.queries import counters
from replicante.state.queue_invariants import check_queues
from replicante.state.queue_tables import LEASE_CLAIMS
from replicante.state.record_invariants import check_records, check_work
from replicante.state.tables import CHAIN_BYTES, CHAIN_START, Counters, Retention
from replicante.storage.keys import ABOVE_ALL_KEYS, decode_key, prefix_range
from replicante.storage.kv import Reader


def assert_holds(reader: Reader) -> None:
    """AssertionError with every violation."""
    found = list(violations(reader))
    assert not found, "; ".join(found)


def violations(reader: Reader) -> Iterator[str]:
    """One sentence for each thing that is not as it must be; nothing when all is well.

    A row that cannot be decoded ends the check of its table.
    """
    try:
        now = counters(reader)
    except (FatalError, ValueError, TypeError) as exc:
        yield f"the counters cannot be read: {exc}"
        return
    yield from _check_tables(reader)
    yield from _check_counters(now)
    checks = (
        _check_events,
        _check_kv,
        _check_objects,
        _check_requests,
        _check_leases,
        check_queues,
        _check_consumers,
        check_records,
        check_work,
        _check_own_rows,
    )
    for check in checks:
        try:
            yield from check(reader, now)
        except (FatalError, ValueError, TypeError, LookupError) as exc:
            name = check.__name__.strip("_").removeprefix("check_")
            yield f"{name}: a row cannot be read: {exc!r}"


def _check_tables(reader: Reader) -> Iterator[str]:
    known = {table[0] for table in tables.ALL_TABLES}
    start = b"\x00"
    # Leaps from table to table, so that a foreign row is found without reading all others.
    while (first := next(reader.scan(start, ABOVE_ALL_KEYS), None)) is not None:
        table = first[0][:1]
        if table[0] not in known:
            yield f"a row of the unknown table {table.hex()}"
        start = prefix_range(table)[1]
    for key, _ in reader.scan(*prefix_range(tables.META)):
        if key not in tables.META_KEYS:
            yield f"an unknown row {key!r} of the state itself"


def _check_counters(now: Counters) -> Iterator[str]:
    if not levels.LEVEL_FIRST <= now.feature_level <= levels.LEVEL_MAX:
        yield f"feature level {now.feature_level} is unknown"
    if now.events_floor > now.events_head:
        yield "the event floor is above the head"
    if now.requests_count > REQUESTS_KEPT_MAX:
        yield f"{now.requests_count} requests are remembered, more than {REQUESTS_KEPT_MAX}"
    if now.requests_horizon_ms > now.clock_ms:
        yield "the request horizon lies in the future"


def _check_events(reader: Reader, now: Counters) -> Iterator[str]:
    chain, seq, last_id, size, count = (
        now.events_floor_chain,
        now.events_seq - now.events_count,
        now.events_floor,
        0,
        0,
    )
    if seq == 0 and chain != CHAIN_START:
        yield "nothing was trimmed, yet the chain does not begin at its start"
    clock_ms = 0
    for key, row in reader.scan(*prefix_range(tables.EVENTS)):
        event = read_event(row)
        seq, count, size = seq + 1, count + 1, size + len(key) + len(row)
        chain = blake2b(chain + row[CHAIN_BYTES:], digest_size=CHAIN_BYTES).digest()
        where = f"event {event.id}"
        if key != tables.event_key(event.id):
            yield f"{where} is stored under another id"
        if event.seq != seq:
            yield f"{where} has seq {event.seq}, not {seq}"
        if event.chain != chain:
            yield f"{where}: its chain does not follow from the event before"
        if event.id <= last_id:
            yield f"{where} is not above the event before or the floor"
        if not clock_ms <= event.clock_ms <= now.clock_ms:
            yield f"{where}: its cluster time goes back or lies in the future"
        if event.index > now.index:
            yield f"{where} is of an entry that was not applied"
        if type(load_value(event.payload)) is not dict:
            yield f"{where}: its payload is no map"
        last_id, clock_ms = event.id, event.clock_ms
    if last_id != now.events_head or chain != now.events_chain or seq != now.events_seq:
        yield "the last event is not the head that the counters name"
    if (count, size) != (now.events_count, now.events_bytes):
        yield f"{count} events of {size} bytes; counted {now.events_count}, {now.events_bytes}"


def _check_kv(reader: Reader, now: Counters) -> Iterator[str]:
    count, size = 0, 0
    revisions: set[int] = set()
    for key, row in reader.scan(*prefix_range(tables.KV)):
        count, size = count + 1, size + len(key) + len(row)
        revision = tables.kv_revision(row)
        where = f"kv {key[1:]!r}"
        yield from _check_revision(where, revision, revisions, now)
        if not 1 <= len(key) - 1 <= KV_KEY_BYTES_MAX:
            yield f"{where}: the key is too long"
        if not is_canonical(tables.kv_value(row)):
            yield f"{where}: the value is not canonical"
        lease = tables.kv_lease(row)
        if lease is not None and reader.get(tables.lease_record_key(lease, key[1:])) is None:
            yield f"{where} is bound to the lease {lease}, which does not know it"
    if (count, size) != (now.kv_count, now.kv_bytes):
        yield f"{count} kv rows of {size} bytes; counted {now.kv_count}, {now.kv_bytes}"


def _check_objects(reader: Reader, now: Counters) -> Iterator[str]:
    count = 0
    revisions: set[int] = set()
    for kind, table in tables.OBJECT_TABLES.items():
        shape = (str,) * len(SCOPE_NAMES[kind])
        for key, raw in reader.scan(*prefix_range(table)):
            count += 1
            scope = tuple(str(name) for name in decode_key(key, *shape))
            row = tables.read_object_row(raw)
            where = f"{kind.title.lower()} {'/'.join(scope)}"
            yield from _check_revision(where, row.revision, revisions, now)
            yield from _check_object(reader, kind, scope, row, where)
    if count != now.objects_count:
        yield f"{count} objects; counted {now.objects_count}"


def _check_object(
    reader: Reader, kind: ObjectKind, scope: tuple[str, ...], row: tables.ObjectRow, where: str
) -> Iterator[str]:
    if not 0 < row.created <= row.revision:
        yield f"{where} was created after its revision"
    if row.is_deleting and holders.may_go(reader, kind, scope, row.finalisers):
        yield f"{where} is Deleting, yet nothing holds it"
    if reader.get(tables.object_key(ObjectKind.NAMESPACE, scope[:1])) is None:
        yield f"{where} lives in a namespace that is not there"
    if not is_canonical(row.spec):
        yield f"{where}: the spec is not canonical"
        return
    spec = load_value(row.spec)
    match kind:
        case ObjectKind.NAMESPACE:
            named: tuple[str, ...] = (Namespace.from_spec(spec).name,)
        case ObjectKind.PLATFORM:
            named = (spec["ns_id"], spec["name"])
        case ObjectKind.CLUSTER_SPEC:
            named = (spec["ns_id"], spec["cluster_id"])
    if named != scope:
        yield f"{where}: the spec names another"


def _check_requests(reader: Reader, now: Counters) -> Iterator[str]:
    count = 0
    for key, row in reader.scan(*prefix_range(tables.REQUESTS)):
        count += 1
        (name,) = decode_key(key, str)
        record = tables.read_request_row(row)
        decode_outcome(record.outcome)
        where = f"request {name!r}"
        if not now.requests_horizon_ms <= record.recorded_ms <= now.clock_ms:
            yield f"{where} was recorded outside of horizon and clock"
        if record.index > now.index:
            yield f"{where} is of an entry that was not applied"
        if reader.get(tables.request_clock_key(record.recorded_ms, name)) is None:
            yield f"{where} will never be forgotten: its clock row is missing"
    clock_rows = sum(1 for _ in reader.scan(*prefix_range(tables.REQUESTS_BY_CLOCK)))
    if not count == clock_rows == now.requests_count:
        yield f"{count} requests, {clock_rows} clock rows; counted {now.requests_count}"


def _check_leases(reader: Reader, now: Counters) -> Iterator[str]:
    count = 0
    tokens: set[int] = set()
    for key, raw in reader.scan(*prefix_range(tables.LEASES)):
        count += 1
        (name,) = decode_key(key, str)
        row = tables.read_lease_row(raw)
        where = f"lease {name!r}"
        yield from _check_revision(where, row.token, tokens, now)
        if row.acquired_ms > now.clock_ms or row.deadline_ms > now.clock_ms + row.duration_ms:
            yield f"{where} was acquired or renewed in the future"
        if not is_canonical(row.owner) or type(load_value(row.owner)) is not dict:
            yield f"{where}: its owner is no map"
        if reader.get(tables.lease_deadline_key(row.deadline_ms, name)) is None:
            yield f"{where} will never run out: its deadline row is missing"
        if reader.get(tables.lease_token_key(row.token)) != name.encode():
            yield f"{where} is not found by its token"
    for table in (tables.LEASES_BY_DEADLINE, tables.LEASES_BY_TOKEN):
        rows = sum(1 for _ in reader.scan(*prefix_range(table)))
        if rows != count:
            yield f"{count} leases, {rows} rows of table {table.hex()}"
    left: set[int] = set()
    for key, _ in reader.scan(*prefix_range(tables.LEASE_RECORDS)):
        token, kv_key = decode_key(key, int, bytes)
        kv_row = reader.get(tables.kv_key(kv_key))
        if kv_row is None or tables.kv_lease(kv_row) != token:
            yield f"the lease {token} holds {kv_key!r}, which is not bound to it"
        if token not in tokens:
            left.add(token)
    for key, _ in reader.scan(*prefix_range(LEASE_CLAIMS)):
        token = decode_key(key, int, str, int)[0]
        if token not in tokens:
            left.add(token)
    ended = {decode_key(key, int)[0] for key, _ in reader.scan(*prefix_range(tables.LEASES_ENDED))}
    if not left <= ended:
        yield "records of a lease that is over will never go"
    if ended & tokens:
        yield "a lease counts as ended and is still there"


def _check_consumers(reader: Reader, now: Counters) -> Iterator[str]:
    revisions: set[int] = set()
    for name, row in consumer_rows(reader):
        where = f"consumer {name!r}"
        yield from _check_revision(where, row.revision, revisions, now)
        if not row.is_expired and not now.events_floor <= row.position <= now.events_head:
            yield f"{where} is live, and events that it has to read are not kept"
        if row.seen_ms > now.clock_ms:
            yield f"{where} was seen in the future"
    if len(revisions) > CONSUMERS_MAX:
        yield f"{len(revisions)} consumers, more than {CONSUMERS_MAX}"


def _check_own_rows(reader: Reader, now: Counters) -> Iterator[str]:
    """Of the state itself, beside the counters."""
    retention = Retention.from_row(reader.get(tables.RETENTION_KEY))
    if min(retention.count_max, retention.bytes_max, retention.age_ms_max) < 0:
        yield "the retention of events is negative"
    last = 0
    for fork in forks(reader):
        if not last < fork.first_index <= now.index or fork.last_index >= fork.first_index:
            yield f"a recovery at entry {fork.first_index} is not in order"
        last = fork.first_index
    for peer in noted(reader):
        if stamp_index(peer.revision) > now.index:
            yield f"the quarantine of {peer.peer!r} is of an entry that was not applied"


def _check_revision(where: str, revision: int, seen: set[int], now: Counters) -> Iterator[str]:
    """A revision is the stamp of one write of an applied entry: no two things share one."""
    if revision in seen:
        yield f"{where} shares its revision {revision} with another"
    if not revision > 0 or stamp_index(revision) > now.index:
        yield f"{where}: revision {revision} is not of an applied entry"
    seen.add(revision)

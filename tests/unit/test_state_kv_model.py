"""Random histories of records, comparisons and transactions against a dictionary. Leases are in
test_state_lease_model.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from replicante.ids import stamp_index
from replicante.model.codec import encode_value
from replicante.state import queries
from replicante.state.commands import Batch, KvDelete, KvGet, KvPut, KvTxn
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.expect import Expect
from replicante.state.outcome import (
    Applied,
    Got,
    RejectCode,
    Rejected,
    TxnApplied,
    decode_outcome,
)
from replicante.testing.builders import CheckedState, envelope_bytes

KEYS = st.sampled_from([b"a", b"a/", b"b", "é".encode()])
VALUES = st.integers(0, 2).map(encode_value)
EXPECTED = st.sampled_from(["nothing", "nothing", "absent", "present", "own", "older"])
COMPARED = st.tuples(st.sampled_from(list(CompareKind)), KEYS, VALUES, st.booleans())
IN_TXN = st.lists(
    st.one_of(st.builds(KvPut, KEYS, VALUES), st.builds(KvDelete, KEYS), st.builds(KvGet, KEYS)),
    max_size=4,
).map(tuple)


@dataclass
class Record:
    value: bytes
    revision: int


@dataclass
class Model:
    """Writes are told their revisions, which have to be greater than all before."""

    records: dict[bytes, Record] = field(default_factory=dict)
    last: int = 0

    def note(self, revision: int) -> None:
        assert revision > self.last, "no two writes share a revision"
        self.last = revision

    def refusal(self, command: KvPut | KvDelete) -> Rejected | None:
        record = self.records.get(command.key)
        revision = None if record is None else record.revision
        expect = command.expect
        if expect is not None:
            is_met = {
                Expect.absent(): revision is None,
                Expect.present(): revision is not None,
            }.get(expect, revision == expect.code)
            if not is_met:
                return Rejected(RejectCode.REVISION_MISMATCH, {"revision": revision})
        if isinstance(command, KvDelete) and record is None:
            return Rejected(RejectCode.NOT_FOUND)
        return None

    def check(self, command: KvPut | KvDelete, outcome: object) -> None:
        refusal = self.refusal(command)
        if refusal is not None:
            assert outcome == refusal
            return
        assert isinstance(outcome, Applied)
        self.note(outcome.revision)
        if isinstance(command, KvPut):
            is_created = command.key not in self.records
            assert outcome == Applied(outcome.revision, is_created=is_created)
            self.records[command.key] = Record(command.value, outcome.revision)
        else:
            assert outcome == Applied(outcome.revision, is_removed=True)
            del self.records[command.key]

    def check_in_txn(self, operation: KvPut | KvDelete | KvGet, result: object) -> None:
        record = self.records.get(operation.key)
        if isinstance(operation, KvGet):
            missing = Got(None, None)
            assert result == (missing if record is None else Got(record.revision, record.value))
        elif isinstance(operation, KvDelete) and record is None:
            assert result == Applied(0, is_changed=False)
        else:
            self.check(operation, result)

    def holds(self, compare: Compare) -> bool:
        record = self.records.get(compare.key)
        if record is None:
            return compare.kind is CompareKind.ABSENT
        return {
            CompareKind.ABSENT: lambda: False,
            CompareKind.PRESENT: lambda: True,
            CompareKind.VALUE_EQUALS: lambda: record.value == compare.operand,
            CompareKind.REVISION_EQUALS: lambda: record.revision == compare.operand,
            CompareKind.REVISION_LESS: lambda: record.revision < compare.operand,
            CompareKind.REVISION_GREATER: lambda: record.revision > compare.operand,
        }[compare.kind]()


class Records(RuleBasedStateMachine):
    """CheckedState checks the invariants after every entry."""

    def __init__(self) -> None:
        super().__init__()
        self.state = CheckedState()
        self.model = Model()

    def expect(self, key, which):
        record = self.model.records.get(key)
        own = 5 if record is None else record.revision
        return {
            "nothing": None,
            "absent": Expect.absent(),
            "present": Expect.present(),
            "own": Expect.at(own),
            "older": Expect.at(max(1, own - 1)),
        }[which]

    def command(self, key, value, which):
        """value: None deletes."""
        expect = self.expect(key, which)
        return KvDelete(key, expect) if value is None else KvPut(key, value, expect)

    @rule(key=KEYS, value=st.none() | VALUES, which=EXPECTED)
    def write(self, key, value, which):
        command = self.command(key, value, which)
        self.model.check(command, self.state.do(command))

    @rule(
        asked=st.lists(st.tuples(KEYS, st.none() | VALUES, EXPECTED), min_size=2, max_size=4),
        is_batch=st.booleans(),
    )
    def write_in_one_entry(self, asked, is_batch):
        """Conditions were made before the first of them, as those of callers are."""
        commands = [self.command(*one) for one in asked]
        if is_batch:
            outcomes = self.state.do(Batch(tuple(commands))).outcomes
        else:
            packed = [envelope_bytes(command) for command in commands]
            outcomes = [decode_outcome(raw) for raw in self.state.propose_together(packed)]
        for command, outcome in zip(commands, outcomes, strict=True):
            self.model.check(command, outcome)

    @rule(compared=st.lists(COMPARED, max_size=3), then=IN_TXN, otherwise=IN_TXN)
    def transact(self, compared, then, otherwise):
        compares = tuple(self.compare(*one) for one in compared)
        if not compares and not then and not otherwise:
            return
        outcome = self.state.do(KvTxn(compares, then, otherwise))
        assert isinstance(outcome, TxnApplied)
        assert outcome.is_success == all(self.model.holds(one) for one in compares)
        branch = then if outcome.is_success else otherwise
        for operation, result in zip(branch, outcome.results, strict=True):
            self.model.check_in_txn(operation, result)

    def compare(self, kind, key, value, is_own):
        if kind in (CompareKind.ABSENT, CompareKind.PRESENT):
            return Compare(key, kind)
        if kind is CompareKind.VALUE_EQUALS:
            return Compare(key, kind, value)
        record = self.model.records.get(key)
        last = max(1, self.model.last)
        return Compare(key, kind, record.revision if is_own and record is not None else last)

    @invariant()
    def agrees(self):
        found = queries.kv_range(self.state.store).items
        assert [(it.key, it.value, it.revision) for it in found] == [
            (key, one.value, one.revision) for key, one in sorted(self.model.records.items())
        ]
        assert stamp_index(self.model.last) <= self.state.applied_index


TestRecords = Records.TestCase
TestRecords.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

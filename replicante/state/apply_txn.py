"""What a transaction does: compares, chooses, checks the chosen branch, then writes it. Pure;
called by machine.apply on every peer.

Rule: after the first write nothing is refused any more.
"""

from __future__ import annotations

from replicante.ids import Stamp
from replicante.limits import TXN_ANSWER_BYTES_MAX
from replicante.state import apply_kv
from replicante.state.commands import KvDelete, KvGet, KvPut, KvTxn, TxnOperation
from replicante.state.comparisons import Compare, holds
from replicante.state.outcome import Applied, Got, RejectCode, Rejected, TxnApplied
from replicante.state.tables import kv_revision, kv_value
from replicante.state.writer import Writer


def apply(writer: Writer, command: KvTxn) -> TxnApplied | Rejected:
    is_success = all(_holds(writer, compare) for compare in command.compares)
    branch = command.then if is_success else command.otherwise
    refusal = _refusal(writer, branch)
    if refusal is not None:
        return refusal
    return TxnApplied(is_success, tuple(_carry_out(writer, operation) for operation in branch))


def _holds(writer: Writer, compare: Compare) -> bool:
    row = apply_kv.present(writer, compare.key)
    if row is None:
        return holds(compare, revision=None, value=b"")
    return holds(compare, revision=kv_revision(row), value=kv_value(row))


def _refusal(writer: Writer, branch: tuple[TxnOperation, ...]) -> Rejected | None:
    """Walks the branch without writing: the leases that it names, the size of what it reads."""
    sizes: dict[bytes, int] = {}
    found_bytes = 0
    for operation in branch:
        if isinstance(operation, KvPut):
            if operation.lease is not None:
                refusal = apply_kv.not_held(writer, operation.lease)
                if refusal is not None:
                    return refusal
            sizes[operation.key] = len(operation.value)
        elif isinstance(operation, KvDelete):
            sizes[operation.key] = 0
        else:
            if operation.key not in sizes:
                row = apply_kv.present(writer, operation.key)
                sizes[operation.key] = 0 if row is None else len(kv_value(row))
            found_bytes += sizes[operation.key]
    if found_bytes > TXN_ANSWER_BYTES_MAX:
        return Rejected(RejectCode.ANSWER_TOO_LARGE, {"limit": TXN_ANSWER_BYTES_MAX})
    return None


def _carry_out(writer: Writer, operation: TxnOperation) -> Applied | Got:
    if isinstance(operation, KvGet):
        row = apply_kv.present(writer, operation.key)
        if row is None:
            return Got(None, None)
        return Got(Stamp(kv_revision(row)), kv_value(row))
    if isinstance(operation, KvPut):
        written = apply_kv.put(writer, operation)
        assert isinstance(written, Applied), "checked before the first write"
        return written
    removed = apply_kv.delete(writer, operation)
    return removed if isinstance(removed, Applied) else Applied(Stamp(0), is_changed=False)

"""A history in the notation of Jepsen, so that checkers from outside can judge it again. Pure.

Called by `jlike edn`. Each line becomes one operation map with its index; nothing is left out,
added or put in another order. Parts of transactions get the keywords that Elle reads; the last
reads of `append` are transactions too. What is more than Jepsen's stands under :peer and :error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from jlike.history import Op, Value

TRANSACTIONS = "append"
"""The workload whose values are micro-operations."""
PARTS = ("append", "r")


def lines(workload: str, ops: Iterable[Op]) -> Iterator[str]:
    for index, op in enumerate(ops):
        f, value = op.f, edn(op.value)
        if workload == TRANSACTIONS:
            is_key = op.f == "final" and isinstance(op.value, str)
            f, value = "txn", _transaction([["r", op.value, None]] if is_key else op.value)
        fields = {
            "index": str(index),
            "process": str(op.process),
            "type": f":{op.type}",
            "f": f":{f}",
            "value": value,
            "time": str(op.time),
        }
        fields |= {"peer": edn(op.peer)} if op.peer else {}
        fields |= {"error": edn(op.error)} if op.error else {}
        yield "{" + ", ".join(f":{name} {text}" for name, text in fields.items()) + "}"


def edn(value: Value) -> str:
    """Of what JSON can hold."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return "[" + " ".join(edn(it) for it in value) + "]"
        case dict():
            return "{" + ", ".join(f"{edn(name)} {edn(it)}" for name, it in value.items()) + "}"
        case _:
            return json.dumps(value)


def _transaction(parts: Value) -> str:
    """[["append", "x", 1]] → [[:append "x" 1]]"""
    if not isinstance(parts, list) or not all(it and it[0] in PARTS for it in parts):
        return edn(parts)
    return "[" + " ".join(f"[:{it[0]} {edn(it[1])} {edn(it[2])}]" for it in parts) + "]"

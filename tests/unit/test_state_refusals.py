"""Every place that refuses a command is reached by a case with a name.

The places are found in the syntax trees of the room: a `Rejected(…)` of apply, a raised Invalid or
BodyTooLarge of the gate. A new refusal without a case fails here.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import refusal_cases_queues  # noqa: F401 – adds its cases
from hostile_commands import hostile_commands, hostile_envelopes
from refusal_cases import CASES

from replicante import state as room
from replicante.errors import BodyTooLarge, Invalid
from replicante.limits import (
    JOB_BODY_BYTES_MAX,
    KV_KEY_BYTES_MAX,
    LEASE_MS_MAX,
    NAME_BYTES_MAX,
    REQUEST_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
)
from replicante.state.envelope import Envelope, admit
from replicante.state.expect import Expect
from replicante.state.outcome import RejectCode, Rejected
from replicante.state.tables import COUNTERS_KEY
from replicante.testing.builders import CheckedState
from replicante.wire.durations import format_duration_ms

ROOM = Path(room.__file__).parent


class Watched(CheckedState):
    """Knows what the last entry found."""

    def replay(self, entry):
        self.before = rows(self)
        return super().replay(entry)


def rows(state):
    """Without the counters, which every entry writes."""
    found = state.store.scan(b"", b"\xff" * 511)
    return {key: row for key, row in found if key != COUNTERS_KEY}


class Trace:
    """Lines of the room that are run while it is in force."""

    def __init__(self) -> None:
        self.lines: set[tuple[str, int]] = set()

    def __enter__(self) -> Trace:
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame, event, argument):
        path = Path(frame.f_code.co_filename)
        return self._line if path.parent == ROOM else None

    def _line(self, frame, event, argument):
        self.lines.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return self._line


def places(is_wanted: Callable[[ast.AST], bool]) -> dict[str, range]:
    """`file:function:line` → the lines of the statement or expression."""
    found = {}
    for path in sorted(ROOM.glob("*.py")):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for one in ast.walk(function):
                if is_wanted(one):
                    name = f"{path.name}:{function.name}:{one.lineno}"
                    found[name] = range(one.lineno, one.end_lineno + 1)
    return found


def is_rejection(one: ast.AST) -> bool:
    """`Rejected(RejectCode.X, …)`; the decoder of outcomes names no code of its own."""
    return (
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Name)
        and one.func.id == "Rejected"
        and isinstance(one.args[0], ast.Attribute)
    )


def is_refusal_of_the_gate(one: ast.AST) -> bool:
    call = one.exc if isinstance(one, ast.Raise) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in (Invalid.__name__, BodyTooLarge.__name__)
    )


def unreached(wanted: dict[str, range], lines: set[tuple[str, int]]) -> list[str]:
    return [
        name
        for name, span in wanted.items()
        if not any((name.split(":")[0], line) in lines for line in span)
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_changes_nothing_and_says_why(name):
    make, code = CASES[name]
    state = Watched()
    outcome = make(state)
    assert isinstance(outcome, Rejected)
    assert outcome.code is code
    assert rows(state) == state.before


def test_every_refusal_of_apply_has_a_case():
    with Trace() as trace:
        for make, _ in CASES.values():
            make(CheckedState())
    wanted = places(is_rejection)
    assert len(wanted) > 30, "the places were found"
    missed = unreached(wanted, trace.lines)
    assert not missed, "\n".join(missed)


def test_every_code_of_a_refusal_has_a_case():
    assert {code for _, code in CASES.values()} == set(RejectCode)


def test_a_refusal_for_a_limit_names_the_limit():
    asked = [Envelope(request_id="", command=it) for it in hostile_commands()]
    seen = set()
    for envelope in asked + hostile_envelopes():
        with pytest.raises((Invalid, BodyTooLarge)) as caught:
            admit(envelope)
        limit = caught.value.details.get("limit")
        if limit is not None:
            seen.add(limit)
            message = caught.value.message
            assert str(limit) in message or format_duration_ms(limit) in message, message
    bounds = (KV_KEY_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX, JOB_BODY_BYTES_MAX)
    assert seen >= {*bounds, REQUEST_OPERATIONS_MAX, LEASE_MS_MAX}


def test_every_refusal_of_the_gate_has_a_case():
    asked = [Envelope(request_id="", command=it) for it in hostile_commands()]
    with Trace() as trace:
        for envelope in asked + hostile_envelopes():
            with pytest.raises((Invalid, BodyTooLarge)):
                admit(envelope)
        with pytest.raises(Invalid):
            Expect.at(0)
    wanted = places(is_refusal_of_the_gate)
    assert len(wanted) > 40, "the places were found"
    missed = unreached(wanted, trace.lines)
    assert not missed, "\n".join(missed)

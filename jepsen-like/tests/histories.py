"""Hand-made histories in a few words. Not a test file."""

from __future__ import annotations

from jlike.history import Kind, Op, Operation, Value, pair

OK, FAIL, INFO = Kind.OK, Kind.FAIL, Kind.INFO
STEP_NS = 1_000_000


class History:
    """Calls and answers in the order in which they are written down; one millisecond apart."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._processes = 0
        self._now = 0

    def call(self, f: str, value: Value = None, *, peer: str = "p1") -> int:
        self._processes += 1
        self._add(self._processes, Kind.INVOKE, f, value, peer)
        return self._processes

    def answer(
        self, process: int, value: Value = None, *, kind: Kind = OK, error: str = ""
    ) -> None:
        call = next(op for op in self.ops if op.process == process)
        self._add(process, kind, call.f, value, call.peer, error)

    def did(
        self,
        f: str,
        value: Value = None,
        result: Value = None,
        *,
        kind: Kind = OK,
        peer: str = "p1",
        error: str = "",
    ) -> None:
        self.answer(self.call(f, value, peer=peer), result, kind=kind, error=error)

    def passes(self, ms: int) -> None:
        self._now += ms * STEP_NS

    def _add(
        self, process: int, kind: Kind, f: str, value: Value, peer: str, error: str = ""
    ) -> None:
        self._now += STEP_NS
        self.ops.append(
            Op(
                process=process,
                type=kind,
                f=f,
                value=value,
                time=self._now,
                peer=peer,
                error=error,
            )
        )

    @property
    def operations(self) -> list[Operation]:
        return pair(self.ops)

"""What the demo saw, and what that proves. Pure; the last line of the demo is derived from it.

Rule: nothing is taken for granted: a peer that was not read, a digest that was not compared, a step
that did not end in time each fail the demo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from replicante.wire.headers import Consistency
from replicante.wire.values import Json

READ_BACK = (Consistency.LINEARIZABLE, Consistency.STALE)
NAMED_KEYS_MAX = 5


class ReadBack(msgspec.Struct, frozen=True, kw_only=True):
    """All acknowledged keys, read from one peer. missing, different: keys; error: why the reading
    ended early."""

    peer: str
    consistency: str
    equal_count: int
    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    error: str | None = None


class StateDigest(msgspec.Struct, frozen=True, kw_only=True):
    """Of the state of one peer, at an index that all were compared at."""

    peer: str
    index: int
    value: str


class EventsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What one reader, who followed the log through the kill, was given. missing, repeated: keys of
    acknowledged writes."""

    delivered_count: int
    resumed_count: int
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """leader_after: None when none was found in time. write_gap_ms: longest time without an
    acknowledged write around the kill, None when none followed."""

    leader_before: str
    pid: int
    leader_after: str | None = None
    acknowledged_after_count: int = 0
    write_gap_ms: int | None = None
    is_restarted: bool = False


class Check(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    is_ok: bool
    detail: str


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """demo-report.json. acknowledged: key → value of every write that was answered. in_doubt: keys
    of writes whose outcome nobody knows: they may be there or not. failed_steps: what could not be
    done, and why. checks and verdict: see `judged`."""

    peers: tuple[str, ...]
    acknowledged: dict[str, Json] = {}
    in_doubt: tuple[str, ...] = ()
    refused_count: int = 0
    kill: Kill | None = None
    read_backs: tuple[ReadBack, ...] = ()
    digests: tuple[StateDigest, ...] = ()
    events: EventsSeen | None = None
    failed_steps: tuple[str, ...] = ()
    seconds: float = 0.0
    checks: tuple[Check, ...] = ()
    verdict: str = "unknown"

    @property
    def is_ok(self) -> bool:
        return self.verdict == "ok"


def judged(report: DemoReport) -> DemoReport:
    """The report with its checks and its verdict, `ok` or `failed`."""
    checks = (
        _steps_check(report),
        _writes_check(report),
        _kill_check(report.kill),
        *(_read_check(report, peer) for peer in report.peers),
        _digest_check(report),
        _events_check(report.events),
    )
    verdict = "ok" if all(check.is_ok for check in checks) else "failed"
    return msgspec.structs.replace(report, checks=checks, verdict=verdict)


def last_line(report: DemoReport) -> str:
    """`demo: ok`, or `demo: FAILED` with the reasons."""
    if report.is_ok:
        return "demo: ok"
    reasons = [f"{it.name}: {it.detail}" for it in report.checks if not it.is_ok]
    return f"demo: FAILED ({'; '.join(reasons) or 'it was not judged'})"


def compare(
    acknowledged: Mapping[str, Json],
    found: Mapping[str, Json],
    *,
    peer: str,
    consistency: Consistency,
    error: str | None,
) -> ReadBack:
    """Values are compared, not only keys."""
    missing = [key for key in acknowledged if key not in found]
    different = [key for key, value in acknowledged.items() if key in found and found[key] != value]
    return ReadBack(
        peer=peer,
        consistency=consistency.value,
        equal_count=len(acknowledged) - len(missing) - len(different),
        missing=tuple(missing),
        different=tuple(different),
        error=error,
    )


def _steps_check(report: DemoReport) -> Check:
    failed = report.failed_steps
    detail = "; ".join(failed) if failed else "every step was done in its time"
    return Check(name="steps", is_ok=not failed, detail=detail)


def _writes_check(report: DemoReport) -> Check:
    count = len(report.acknowledged)
    detail = f"{count} acknowledged, {report.refused_count} refused, {len(report.in_doubt)} unknown"
    return Check(name="writes", is_ok=count > 0, detail=detail)


def _kill_check(kill: Kill | None) -> Check:
    problems = list(_kill_problems(kill))
    if problems or kill is None:
        return Check(name="kill", is_ok=False, detail=", ".join(problems))
    detail = (
        f"{kill.leader_before} was killed, {kill.leader_after} leads, writes paused for "
        f"{kill.write_gap_ms} ms, {kill.acknowledged_after_count} were acknowledged afterwards"
    )
    return Check(name="kill", is_ok=True, detail=detail)


def _kill_problems(kill: Kill | None) -> Iterator[str]:
    if kill is None:
        yield "no leader was killed"
        return
    if kill.leader_after is None:
        yield f"nobody took over from {kill.leader_before}"
    if kill.leader_after == kill.leader_before:
        yield f"{kill.leader_before} leads although it was killed"
    if kill.acknowledged_after_count == 0 or kill.write_gap_ms is None:
        yield "no write was acknowledged after the kill"
    if not kill.is_restarted:
        yield f"{kill.leader_before} did not come back"


def _read_check(report: DemoReport, peer: str) -> Check:
    problems = []
    for consistency in READ_BACK:
        found = [
            it
            for it in report.read_backs
            if it.peer == peer and it.consistency == consistency.value
        ]
        if len(found) != 1:
            problems.append(f"{consistency.value}: not read")
            continue
        problems += [f"{consistency.value}: {text}" for text in _read_problems(report, found[0])]
    count = len(report.acknowledged)
    detail = "; ".join(problems) or f"all {count} values are there, linearizable and stale"
    return Check(name=f"read back from {peer}", is_ok=not problems, detail=detail)


def _read_problems(report: DemoReport, it: ReadBack) -> Iterator[str]:
    if it.error is not None:
        yield it.error
    if it.missing:
        yield f"{len(it.missing)} keys are missing ({_named(it.missing)})"
    if it.different:
        yield f"{len(it.different)} values differ ({_named(it.different)})"
    if it.equal_count != len(report.acknowledged):
        yield f"{it.equal_count} of {len(report.acknowledged)} values are equal"


def _digest_check(report: DemoReport) -> Check:
    found = {it.peer: it for it in report.digests}
    absent = [peer for peer in report.peers if peer not in found]
    if absent or not found:
        detail = f"no digest of {', '.join(absent)}"
        return Check(name="digests", is_ok=False, detail=detail)
    indexes = {it.index for it in report.digests}
    values = {it.value for it in report.digests}
    if len(indexes) == 1 and len(values) == 1:
        detail = f"{values.pop()} on all peers at index {indexes.pop()}"
        return Check(name="digests", is_ok=True, detail=detail)
    shown = ", ".join(f"{it.peer} {it.index}:{it.value}" for it in report.digests)
    return Check(name="digests", is_ok=False, detail=f"the states differ: {shown}")


def _events_check(events: EventsSeen | None) -> Check:
    if events is None:
        return Check(name="events", is_ok=False, detail="nobody followed them")
    problems = []
    if events.missing:
        problems.append(f"{len(events.missing)} are missing ({_named(events.missing)})")
    if events.repeated:
        problems.append(f"{len(events.repeated)} came again ({_named(events.repeated)})")
    detail = "; ".join(problems) or (
        f"{events.delivered_count} delivered, each once; the stream moved to another peer "
        f"{events.resumed_count} times"
    )
    return Check(name="events", is_ok=not problems, detail=detail)


def _named(keys: tuple[str, ...]) -> str:
    more = len(keys) - NAMED_KEYS_MAX
    return ", ".join(keys[:NAMED_KEYS_MAX]) + (f" and {more} more" if more > 0 else "")

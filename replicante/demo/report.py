"""What the demo saw, and what that proves. Pure; the summary and the last line are derived from it.

Rule: nothing is taken for granted: a scene that did not end in its time, a decision without a
reason, a number that was acknowledged and is not there each fail the demo.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import msgspec

from replicante.demo.plan import NODES_COUNT

NAMED_NUMBERS_MAX = 5


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """at_ms: wall milliseconds of the event."""

    at_ms: int
    node_id: str


class PromotionSeen(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    node_id: str
    replaces: str
    decision_id: str


class DecisionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was decided. rules_count: how many safety rules judged it."""

    at_ms: int
    decision_id: str
    step: str
    effect: str
    reason: str
    worst_loss: str
    rules_count: int


class Formed(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster, once it is as declared."""

    primary: str
    replicas_count: int
    seconds: float


class LeaderKill(msgspec.Struct, frozen=True, kw_only=True):
    """after: None when nobody took over in time. to_leader_ms: until another peer said that it
    leads. longest_pause_ms: of the acknowledged writes to Redis meanwhile."""

    before: str
    pid: int
    after: str | None = None
    to_leader_ms: int | None = None
    longest_pause_ms: int | None = None
    is_restarted: bool = False


class PrimaryKill(msgspec.Struct, frozen=True, kw_only=True):
    """Times count from the kill. to_writable_ms: until another node took a write; to_safe_ms: until
    one was on a replica too. takes_writes: of the old primary after it came back; None: not
    asked."""

    node_id: str
    killed_ms: int
    successor: str | None = None
    to_detect_ms: int | None = None
    to_decide_ms: int | None = None
    to_writable_ms: int | None = None
    to_safe_ms: int | None = None
    to_rejoin_ms: int | None = None
    takes_writes: bool | None = None


class Writes(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers as ranges `[first, last]`. found: in Redis at the end; None: not read. counter: of
    the increments there."""

    acknowledged: tuple[tuple[int, int], ...] = ()
    in_doubt: tuple[tuple[int, int], ...] = ()
    found: tuple[tuple[int, int], ...] | None = None
    counter: int | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    is_ok: bool
    detail: str


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """demo-report.json. failed_steps: what could not be done, and why. lost: numbers of writes that
    were acknowledged and are not there. lost, checks and verdict: see `judged`."""

    peers: tuple[str, ...]
    formed: Formed | None = None
    leader_kill: LeaderKill | None = None
    primary_kill: PrimaryKill | None = None
    writes: Writes = Writes()
    decisions: tuple[DecisionSeen, ...] = ()
    promotions: tuple[PromotionSeen, ...] = ()
    events_count: int = 0
    failed_steps: tuple[str, ...] = ()
    seconds: float = 0.0
    lost: tuple[tuple[int, int], ...] = ()
    checks: tuple[Check, ...] = ()
    verdict: str = "unknown"

    @property
    def is_ok(self) -> bool:
        return self.verdict == "ok"


def judged(report: DemoReport) -> DemoReport:
    """The report with what is lost, its checks and its verdict, `ok` or `failed`."""
    found = set(numbers(report.writes.found or ()))
    lost = ranges(it for it in numbers(report.writes.acknowledged) if it not in found)
    report = msgspec.structs.replace(report, lost=lost)
    checks = (
        _check("steps", report.failed_steps, "every step was done in its time"),
        _formed_check(report.formed),
        _leader_check(report.leader_kill),
        _failover_check(report),
        _rejoin_check(report.primary_kill),
        _writes_check(report),
    )
    verdict = "ok" if all(check.is_ok for check in checks) else "failed"
    return msgspec.structs.replace(report, checks=checks, verdict=verdict)


def last_line(report: DemoReport) -> str:
    """`demo: ok`, or `demo: FAILED` with the reasons."""
    if report.is_ok:
        return "demo: ok"
    reasons = [f"{it.name}: {it.detail}" for it in report.checks if not it.is_ok]
    return f"demo: FAILED ({'; '.join(reasons) or 'it was not judged'})"


def ranges(found: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Sorted numbers as `[first, last]` of each run."""
    made: list[tuple[int, int]] = []
    for number in sorted(set(found)):
        if made and made[-1][1] == number - 1:
            made[-1] = (made[-1][0], number)
        else:
            made.append((number, number))
    return tuple(made)


def numbers(made: Iterable[tuple[int, int]]) -> Iterator[int]:
    return itertools.chain.from_iterable(range(first, last + 1) for first, last in made)


def count(made: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in made)


def _check(name: str, problems: Iterable[str], detail: str) -> Check:
    found = "; ".join(problems)
    return Check(name=name, is_ok=not found, detail=found or detail)


def _formed_check(formed: Formed | None) -> Check:
    name = "declared cluster"
    if formed is None:
        return Check(name=name, is_ok=False, detail="it was not made")
    wanted = NODES_COUNT - 1
    is_ok = formed.replicas_count == wanted
    detail = (
        f"made in {formed.seconds:.1f} s: {formed.primary} is primary, "
        f"{formed.replicas_count} of {wanted} replicas follow it"
    )
    return Check(name=name, is_ok=is_ok, detail=detail)


def _leader_check(kill: LeaderKill | None) -> Check:
    name = "leader killed"
    if kill is None:
        return Check(name=name, is_ok=False, detail="no leader was killed")
    detail = (
        f"{kill.before} was killed, {kill.after} leads after {kill.to_leader_ms} ms, the longest "
        f"pause of writes to Redis meanwhile was {kill.longest_pause_ms} ms, {kill.before} is back"
    )
    return _check(name, _leader_problems(kill), detail)


def _leader_problems(kill: LeaderKill) -> Iterator[str]:
    if kill.after is None:
        yield f"nobody took over from {kill.before}"
    if kill.after == kill.before:
        yield f"{kill.before} leads although it was killed"
    if kill.longest_pause_ms is None:
        yield "no write to Redis was acknowledged after it"
    if not kill.is_restarted:
        yield f"{kill.before} did not come back"


def _failover_check(report: DemoReport) -> Check:
    kill = report.primary_kill
    if kill is None:
        return Check(name="primary killed", is_ok=False, detail="no primary was killed")
    detail = (
        f"{kill.node_id} was killed; seen after {kill.to_detect_ms} ms, decided after "
        f"{kill.to_decide_ms} ms, {kill.successor} took a write after {kill.to_writable_ms} ms, "
        f"one that a replica has too after {kill.to_safe_ms} ms"
    )
    return _check("primary killed", _failover_problems(report, kill), detail)


def _failover_problems(report: DemoReport, kill: PrimaryKill) -> Iterator[str]:
    if kill.successor is None or kill.to_writable_ms is None or kill.to_safe_ms is None:
        yield "no other node took writes"
    if kill.successor == kill.node_id:
        yield f"{kill.node_id} is still the primary"
    if kill.to_detect_ms is None:
        yield f"no event tells that {kill.node_id} went down"
    promoted = [it for it in report.promotions if it.replaces == kill.node_id]
    if kill.to_decide_ms is None or not promoted:
        yield "no event tells of a decision to replace it"
        return
    if promoted[-1].node_id != kill.successor:
        yield f"{promoted[-1].node_id} was to be promoted, and {kill.successor} took the writes"
    reasons = {it.decision_id: it.reason for it in report.decisions if it.step == "failover"}
    if not reasons.get(promoted[-1].decision_id):
        yield "the decision to replace it has no reason"


def _rejoin_check(kill: PrimaryKill | None) -> Check:
    name = "old primary"
    if kill is None or kill.to_rejoin_ms is None:
        return Check(name=name, is_ok=False, detail="it did not come back as a replica")
    if kill.takes_writes is None:
        return Check(name=name, is_ok=False, detail="nobody tried to write to it")
    if kill.takes_writes:
        return Check(name=name, is_ok=False, detail=f"{kill.node_id} takes writes")
    detail = f"{kill.node_id} follows {kill.successor} after {kill.to_rejoin_ms} ms, takes no write"
    return Check(name=name, is_ok=True, detail=detail)


def _writes_check(report: DemoReport) -> Check:
    writes = report.writes
    acknowledged, lost = count(writes.acknowledged), count(report.lost)
    detail = f"{acknowledged} acknowledged, {lost} lost, {count(writes.in_doubt)} in doubt"
    return _check("writes", _writes_problems(report, acknowledged, lost), detail)


def _writes_problems(report: DemoReport, acknowledged: int, lost: int) -> Iterator[str]:
    writes = report.writes
    if not acknowledged:
        yield "none was acknowledged"
    if writes.found is None:
        yield "they were not read back"
        return
    if lost:
        named = ", ".join(map(str, itertools.islice(numbers(report.lost), NAMED_NUMBERS_MAX)))
        yield f"{lost} of {acknowledged} acknowledged writes are lost ({named}, …)"
    foreign = set(numbers(writes.found))
    foreign -= {*numbers(writes.acknowledged), *numbers(writes.in_doubt)}
    if foreign:
        yield f"{len(foreign)} numbers are there that nobody wrote"
    found_count = count(writes.found)
    if writes.counter != found_count:
        yield f"the counter stands at {writes.counter}, and {found_count} increments are there"

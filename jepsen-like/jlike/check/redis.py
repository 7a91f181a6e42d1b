"""Decides whether a real Redis cluster was kept as declared, whatever was killed. Pure.

Called by `jlike.judge`. Values:
  write   number  added to a set on the primary, each number once
  hurt    [what, node]  done to a process of a node; it took effect when ok
  probe   [node, epoch] → status  an order under an epoch that the agent knows to be over
  seen    node  the cluster is whole, and this node is its primary, say its servers themselves
  end     null → what there is when all is quiet: `told` and `real` roles, `records` of actions,
          what `agents` have of them, the `log` of roles and ends, the declared `policy`
  read    null → the numbers in the set
Every change of a role has its event and every event its change: the roles of a node in the log are
a chain, its last one is the true one, every primary that was seen is in it, in that order, and
nobody became primary whom no order made it. Every action that agents have is on record, at one
node, begun once, and ended as its agent says; each end is told once. An agent that met an epoch
takes nothing under an older one. In the end there is one primary, and who else there is follows it.
What was acknowledged is there, but for what the declared policy may cost; what was refused is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jlike.history import Kind, Operation, Value
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "redis"
PRIMARY = "primary"
ENDS = frozenset({"DONE", "FAILED", "LOST", "CANCELLED"})
REFUSED = 412
WRITE_BYTES = 30
"""What one write adds to the stream of a server at least: the loss that is declared is in bytes."""
MAKES_PRIMARY = frozenset({"agent.replicante.io/cluster.init", "replicante.io/store.promote"})
HANDS_OVER = "replicante.io/store.switchover"


def check(operations: Iterable[Operation]) -> Finding:
    found = list(operations)
    ends = [it for it in found if it.f == "end" and it.is_ok]
    seen = [it for it in found if it.f == "seen"]
    wrong = _probes(found)
    for end in ends:
        wrong = wrong or _whole(end) or _actions(end) or _roles(end) or _orders(end)
        wrong = wrong or _told(end) or _witnessed(end, seen)
    writes = _Writes(found)
    wrong = wrong or writes.wrong(ends)
    if wrong:
        return wrong
    hurt = Counter(it.value[0] for it in found if it.f == "hurt" and it.is_ok)
    if not (ends and writes.acked and writes.reads and hurt and seen):
        return unknown(NAME, "nothing was hurt or written, or nobody told what came of it")
    actions = len(ends[0].result["records"])
    changes = sum(it[2] == PRIMARY for it in ends[0].result["log"]["roles"])
    return valid(
        NAME,
        f"{actions} actions, each once; {changes} times a primary, each told; of"
        f" {len(writes.acked)} acknowledged writes {len(writes.lost)} were lost",
        actions=actions,
        primaries=changes,
        acknowledged=len(writes.acked),
        lost=len(writes.lost),
        probes=sum(it.f == "probe" for it in found),
        **{f"hurt_{name}": count for name, count in sorted(hurt.items())},
    )


def _probes(found: list[Operation]) -> Finding | None:
    for it in found:
        if it.f == "probe" and it.is_ok and it.result[2] != REFUSED:
            node, epoch, status = it.result
            under = "without an epoch" if epoch is None else f"under the old epoch {epoch}"
            return invalid(NAME, f"{node} answered {status} to an order {under}", [it])
    return None


def _whole(end: Operation) -> Finding | None:
    state = end.result
    if not state["is_whole"]:
        return invalid(NAME, f"not as declared when all is quiet: {state['why']}", [end])
    for node, role in state["told"].items():
        real = state["real"].get(node)
        if role != real:
            return invalid(NAME, f"{node} is told to be {role} and is {real}", [end])
    return None


def _actions(end: Operation) -> Finding | None:
    records = {it["id"]: it for it in end.result["records"]}
    places: dict[str, tuple[str, Value]] = {}
    for node, actions in end.result["agents"].items():
        for it in actions:
            action, phases = it["id"], it["phases"]
            record = records.get(action)
            if record is None or (record["node"], record["kind"]) != (node, it["kind"]):
                return invalid(
                    NAME, f"{node} has action {action}, which nobody ordered of it", [end]
                )
            other = places.setdefault(action, (node, it))
            if other != (node, it):
                return invalid(NAME, f"action {action} is at {other[0]} and at {node}", [end])
            if len(set(phases)) != len(phases) or phases[-1:] != [it["phase"]]:
                return invalid(NAME, f"action {action} went through {', '.join(phases)}", [end])
    for action, record in records.items():
        phase = record["phase"]
        if phase not in ENDS:
            return invalid(NAME, f"action {action} is {phase} when all is quiet", [end])
        at = places.get(action)
        did = None if at is None else at[1]["phase"]
        if (phase == "DONE") != (did == "DONE") or (did is not None and did not in ENDS):
            return invalid(NAME, f"action {action} ended as {phase}, at its agent as {did}", [end])
    return None


def _roles(end: Operation) -> Finding | None:
    last: dict[str, str | None] = {}
    for node, before, after in end.result["log"]["roles"]:
        if last.get(node) != before:
            known = last.get(node)
            return invalid(NAME, f"{node} was {known} and an event has it go from {before}", [end])
        last[node] = after
    for node, role in end.result["told"].items():
        if last.get(node) != role:
            return invalid(
                NAME, f"{node} is {role}, and the last event says {last.get(node)}", [end]
            )
    return None


def _orders(end: Operation) -> Finding | None:
    """Nobody is primary by itself."""
    ordered: Counter[str | None] = Counter()
    done: set[str] = set()
    for it in end.result["records"]:
        if it["kind"] in MAKES_PRIMARY:
            ordered[it["node"]] += 1
            if it["phase"] == "DONE":
                done.add(it["node"])
        elif it["kind"] == HANDS_OVER:
            ordered[end.result["log"]["successors"].get(it["id"])] += 1
    became = Counter(node for node, _, after in end.result["log"]["roles"] if after == PRIMARY)
    for node, count in became.items():
        if count > ordered[node]:
            return invalid(
                NAME, f"{node} became primary {count} times, ordered {ordered[node]} times", [end]
            )
    for node in sorted(done):
        if not became[node]:
            return invalid(NAME, f"{node} was made primary and no event tells of it", [end])
    return None


def _told(end: Operation) -> Finding | None:
    """Each end of an action is an event, once, and each such event is of an action."""
    told = Counter(end.result["log"]["ends"])
    for it in end.result["records"]:
        if told[it["id"]] != 1:
            return invalid(
                NAME, f"the end of action {it['id']} is told {told[it['id']]} times", [end]
            )
    invented = told.keys() - {it["id"] for it in end.result["records"]}
    if invented:
        return invalid(NAME, f"an end is told of action {min(invented)}, which is none", [end])
    return None


def _witnessed(end: Operation, seen: list[Operation]) -> Finding | None:
    """What servers said themselves is in the log, in that order."""
    told = iter([node for node, _, after in end.result["log"]["roles"] if after == PRIMARY])
    last = None
    for it in sorted(seen, key=lambda it: it.called):
        if it.value == last:
            continue
        last = it.value
        if not any(node == last for node in told):
            return invalid(
                NAME, f"{last} was primary and no event in its place tells so", [it, end]
            )
    return None


class _Writes:
    def __init__(self, found: list[Operation]) -> None:
        writes = {it.value: it for it in found if it.f == "write"}
        self.acked = {number for number, it in writes.items() if it.is_ok}
        self.reads = [it for it in found if it.f == "read" and it.is_ok]
        self.lost: set[int] = set()
        self._writes = writes

    def wrong(self, ends: list[Operation]) -> Finding | None:
        for read in self.reads:
            there = set(read.result)
            self.lost |= self.acked - there
            for number in sorted(there):
                it = self._writes.get(number)
                if it is None or it.kind is Kind.FAIL:
                    why = "nobody wrote" if it is None else "was refused"
                    return invalid(NAME, f"{number} is there, which {why}", [read])
        for end in ends:
            policy = end.result["policy"]
            failovers = sum(it["kind"] in MAKES_PRIMARY for it in end.result["records"])
            bound = 0 if policy["protect_writes"] else policy["data_loss_offset"] * failovers
            if len(self.lost) * WRITE_BYTES > bound:
                shown = [self._writes[it] for it in sorted(self.lost)[:3]]
                return invalid(
                    NAME,
                    f"{len(self.lost)} acknowledged writes are lost, beyond what is declared",
                    [*shown, *self.reads[:1]],
                )
        return None

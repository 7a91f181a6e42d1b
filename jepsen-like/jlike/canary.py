"""Servers in memory that break a promise each: the checkers must find every one of them out.

Run before each run by `jlike.cli`. A checker that calls one of these valid would call anything
valid, so the run is not made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from jlike.check import lock, queue, register, sets
from jlike.history import Kind, Op, Operation, Value, pair
from jlike.runner import HarnessBroken
from jlike.verdict import Finding, Verdict

MS = 1_000_000
ROUNDS = 60
Story = list[tuple[str, Value, Value]]
"""(f, value, result), one after the other."""


def must_sing() -> list[str]:
    """Names of what was found out. Raises HarnessBroken when anything was not."""
    found = []
    for name, make, check in CANARIES:
        for is_broken in (True, False):
            finding = check(_operations(make(random.Random(name), is_broken)))
            expected = Verdict.INVALID if is_broken else Verdict.VALID
            if finding.verdict is not expected:
                kind = "a broken" if is_broken else "a sound"
                raise HarnessBroken(f"{kind} {name} is called {finding.verdict}: {finding.reason}")
        found.append(name)
    return found


def _stale_copy(chance: random.Random, is_broken: bool) -> Story:
    """Answers some reads from a copy that is one write behind."""
    story: Story = []
    value: Value = None
    for number in range(ROUNDS):
        behind, value = value, number
        story.append(("write", ["k", number], None))
        is_stale = is_broken and chance.random() < 0.1
        story.append(("read", ["k", None], ["k", behind if is_stale else value]))
    return story


def _forgetful_set(chance: random.Random, is_broken: bool) -> Story:
    """Forgets what it acknowledged since its last flush, once."""
    story: Story = []
    held: list[int] = []
    crash = chance.randrange(10, ROUNDS)
    for number in range(ROUNDS):
        story.append(("add", number, None))
        held.append(number)
        if is_broken and number == crash:
            del held[-3:]
        story.append(("read", None, list(held)))
    return story


def _repeating_queue(chance: random.Random, is_broken: bool) -> Story:
    """Gives out a job again that was done: it takes an acknowledgement for any claim's."""
    story: Story = []
    again = chance.randrange(ROUNDS)
    for number in range(ROUNDS):
        job = [str(number), f"{number:019}", f"j{number}"]
        story += [("enqueue", job[2], None), ("claim", None, [job]), ("ack", job, None)]
        if is_broken and number == again:
            story.append(("claim", None, [[job[0], f"{ROUNDS + number:019}", job[2]]]))
    return [*story, ("drain", None, [])]


def _hasty_lock(chance: random.Random, is_broken: bool) -> Story:
    """Grants a lease again before its time is over."""
    story: Story = []
    hasty = chance.randrange(ROUNDS - 1)
    for number in range(ROUNDS):
        token = f"{number:019}"
        story.append(("acquire", ["l", 60_000 * MS], token))
        if not (is_broken and number == hasty):
            story.append(("release", ["l", token], None))
    return story


def _operations(story: Story) -> list[Operation]:
    ops: list[Op] = []
    for f, value, result in story:
        for kind, said in ((Kind.INVOKE, value), (Kind.OK, result)):
            time_ns = len(ops) * MS
            ops.append(Op(process=1, type=kind, f=f, value=said, time=time_ns, peer="p1"))
    return pair(ops)


CANARIES: Sequence[
    tuple[
        str,
        Callable[[random.Random, bool], Story],
        Callable[[Sequence[Operation]], Finding],
    ]
] = (
    ("register with a stale copy", _stale_copy, register.check),
    ("set that forgets", _forgetful_set, sets.check),
    (
        "queue that repeats",
        _repeating_queue,
        lambda operations: queue.check(operations, visibility_ns=1),
    ),
    ("lock that is hasty", _hasty_lock, lock.check),
)

"""Decides what an approval covers: rules by name, each with the figures that it asked for. Pure.

Called by `acting` and `by_name`. Whoever approved that ten bytes may be lost, or that n3 is not
seen, did not approve a hundred, nor that n4 is not seen either. Equal or better stays approved.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicante.model.codec import Value
from replicante.model.decision import Ruling, Verdict
from replicante.orchestrate.safety.rules import MEASURES

Asked = Mapping[str, Mapping[str, Value]]
"""Rule → name of a figure → its value."""


def asking(verdicts: tuple[Verdict, ...]) -> dict[str, dict[str, Value]]:
    """What the rules ask for that need a person; empty: none does."""
    return {
        it.rule: {name: it.evidence[name] for name in MEASURES[it.rule] if name in it.evidence}
        for it in sorted(verdicts, key=lambda it: it.rule)
        if it.ruling is Ruling.NEED_APPROVAL
    }


def covers(shown: Asked, now: Asked) -> bool:
    """Whoever was shown that was asked about all that is asked now."""
    return all(rule in shown and _is_no_worse(shown[rule], now[rule]) for rule in now)


def _is_no_worse(shown: Mapping[str, Value], now: Mapping[str, Value]) -> bool:
    return all(name in shown and _is_within(shown[name], now[name]) for name in now)


def _is_within(shown: Value, now: Value) -> bool:
    """A number is no greater, names are no others. Of a figure that nobody can say, None, the worst
    was approved or is to be feared."""
    if shown is None or now is None:
        return shown is None
    if now == "":
        # What would stand against it is not so any more.
        return True
    if isinstance(shown, dict) and isinstance(now, dict):
        return all(name in shown and shown[name] == it for name, it in now.items())
    if isinstance(shown, list) and isinstance(now, list):
        return all(it in shown for it in now)
    if type(shown) is int and type(now) is int:
        return now <= shown
    return bool(shown == now)

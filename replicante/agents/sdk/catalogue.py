"""The kinds of actions that an agent takes, with their arguments; and those for trying it out.
Pure; called by `server` and `runner`.

Rule: a kind is a wish for a state. A handler that finds it reached answers `done`, because it may
be called again after a crash that followed its effect.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from replicante.agents.sdk.values import Refusal, Step, again, done, failed
from replicante.errors import InvalidConfig
from replicante.model import action_kinds
from replicante.model.codec import Value

TEST_SUCCESS = "agent.replicante.io/test.success"
TEST_FAIL = "agent.replicante.io/test.fail"
TEST_LOOP = "agent.replicante.io/test.loop"

_KIND = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)*)/[a-z0-9][a-z0-9._-]*")
_OURS = "replicante.io"
_WELL_KNOWN = (
    *action_kinds.ROLE_KINDS,
    *action_kinds.THROUGH_KINDS,
    *(action_kinds.CLUSTER_INIT, action_kinds.CLUSTER_ADD),
    *(action_kinds.CLUSTER_JOIN, action_kinds.CLUSTER_REMOVE),
    *(action_kinds.SERVICE_START, action_kinds.SERVICE_STOP, action_kinds.SERVICE_RESTART),
    *(action_kinds.STORE_CONFIGURE, action_kinds.STORE_PROTECT),
    *(TEST_SUCCESS, TEST_FAIL, TEST_LOOP),
)


class NoArgs(msgspec.Struct, frozen=True):
    """Unknown arguments are ignored: a newer control plane may send more."""


Handler = Callable[[Any, Value], Awaitable[Step]]
"""(arguments, what the last step left; None at first) → what this step came to."""
Cancel = Callable[[Value], Awaitable[None]]
"""Ends what the last step, which left this, has under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionKind:
    kind: str
    """`{domain}/{name}`; of our own domain the well-known ones only."""
    description: str
    run: Handler
    args: type[msgspec.Struct] = NoArgs
    """Fields without a default are required; Null args count as none given."""
    cancel: Cancel | None = None
    """Called before a running action becomes CANCELLED, between two of its steps; again after a
    crash. None: its steps leave nothing under way."""


class Catalogue:
    def __init__(self, kinds: Iterable[ActionKind]) -> None:
        """Raises InvalidConfig for a kind that is malformed, reserved, or given twice."""
        self._kinds: dict[str, ActionKind] = {}
        for item in (*_TESTS, *kinds):
            match = _KIND.fullmatch(item.kind)
            if match is None:
                raise InvalidConfig(f"The action kind {item.kind} is not {{domain}}/{{name}}.")
            is_ours = match[1] == _OURS or match[1].endswith(f".{_OURS}")
            if is_ours and item.kind not in _WELL_KNOWN:
                raise InvalidConfig(f"The action kind {item.kind} is in a reserved domain.")
            if item.kind in self._kinds:
                raise InvalidConfig(f"The action kind {item.kind} is registered twice.")
            self._kinds[item.kind] = item

    def find(self, kind: str) -> ActionKind | None:
        return self._kinds.get(kind)

    def check(self, kind: str, args: Value) -> None:
        """Raises Refusal for an unknown kind or unfit arguments."""
        found = self._kinds.get(kind)
        if found is None:
            raise Refusal(400, f"this agent has no action of the kind {kind[:200]}")
        try:
            arguments(found, args)
        except msgspec.ValidationError as exc:
            raise Refusal(400, f"args of {kind}: {exc}") from exc

    def to_wire(self) -> dict[str, Value]:
        return {
            "actions": [
                {
                    "kind": item.kind,
                    "description": item.description,
                    "args": msgspec.json.schema(item.args),
                }
                for item in sorted(self._kinds.values(), key=lambda it: it.kind)
            ]
        }


def arguments(kind: ActionKind, args: Value) -> msgspec.Struct:
    """Raises msgspec.ValidationError."""
    return msgspec.convert({} if args is None else args, kind.args)


class _LoopArgs(msgspec.Struct, frozen=True):
    target: int = 10


async def _succeed(_args: NoArgs, _before: Value) -> Step:
    return done()


async def _fail(_args: NoArgs, _before: Value) -> Step:
    return failed("this action always fails")


async def _loop(args: _LoopArgs, before: Value) -> Step:
    count = before["count"] + 1 if isinstance(before, dict) else 1
    payload: dict[str, Value] = {"count": count, "target": args.target}
    return done(payload) if count >= args.target else again(payload, pause_ms=0)


_TESTS = (
    ActionKind(kind=TEST_SUCCESS, description="Ends well at once.", run=_succeed),
    ActionKind(kind=TEST_FAIL, description="Fails at once.", run=_fail),
    ActionKind(
        kind=TEST_LOOP, description="Counts to `target`, a step each.", run=_loop, args=_LoopArgs
    ),
)

"""The actions of the Redis agent. Each finds out first whether its wish is fulfilled already.

Rules: membership is on the disk before the server is told; no role is changed while a foreign
controller rules them; a server that is silent is not started over, for it may still be there. It is
ended only by `store.fence`.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from replicante.agents.sdk import ActionKind, NoArgs, Sight, Step, StoreContact, again, done, failed
from replicante.agents.stores.redis.facts import (
    NOWHERE,
    Address,
    Facts,
    address,
    read_facts,
    reported_offset,
    ruled_by,
    text,
)
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.settings import PROTECTION
from replicante.agents.stores.redis.steps import Handler, step_again, translated
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.limits import (
    REDIS_REPORT_LEAD_MS,
    REDIS_REPORT_MS,
    REDIS_SILENT_STEPS_MAX,
    SWITCHOVER_MS_MAX,
)
from replicante.model import action_kinds
from replicante.model.codec import Value

_LOOK_MS = 20
PROTECTED_LAG_SECONDS = 2
"""A replica that was not heard of for longer does not count for a protected primary."""


class InitArgs(msgspec.Struct, frozen=True):
    protect_writes: bool = False
    """The primary takes writes only while a replica keeps up."""


class FollowArgs(msgspec.Struct, frozen=True):
    node: str
    """host:port of the primary."""
    protect_writes: bool = False


class RemoveArgs(msgspec.Struct, frozen=True):
    node: str | None = None


class PromoteArgs(msgspec.Struct, frozen=True):
    offset: int | None = None
    """The offset that the decision saw."""
    protect_writes: bool = False


class ProtectArgs(msgspec.Struct, frozen=True):
    protect_writes: bool


class SwitchoverArgs(msgspec.Struct, frozen=True):
    node: str
    """host:port of the successor."""
    timeout_ms: int = SWITCHOVER_MS_MAX


class StartArgs(msgspec.Struct, frozen=True):
    node: str | None = None
    """host:port of whom it is to follow; null: whom it followed last."""


class RedisActions:
    def __init__(self, *, server: RedisServer, membership: Membership) -> None:
        self._server = server
        self._membership = membership

    def kinds(self) -> list[ActionKind]:
        rows: list[tuple[str, str, Handler, type[msgspec.Struct]]] = [
            (action_kinds.CLUSTER_INIT, "Begin a cluster: this is its primary.",
             self._init, InitArgs),
            (action_kinds.CLUSTER_JOIN, "Follow the primary as a new replica.",
             self._join, FollowArgs),
            (action_kinds.CLUSTER_ADD, "Have a server that is in no cluster follow this primary.",
             self._add, FollowArgs),
            (action_kinds.CLUSTER_REMOVE, "See that a node follows this one no more.",
             self._remove, RemoveArgs),
            (action_kinds.STORE_PROMOTE, "Become the primary; writes may be lost.",
             self._promote, PromoteArgs),
            (action_kinds.STORE_FENCE, "End a server that answers nobody.",
             self._fence, NoArgs),
            (action_kinds.STORE_SWITCHOVER, "Hand over to a replica, losing nothing.",
             self._switchover, SwitchoverArgs),
            (action_kinds.STORE_REJOIN, "Follow the primary, giving up what it does not have.",
             self._follow, FollowArgs),
            (action_kinds.STORE_PROTECT, "As a primary, take writes only while a replica keeps up.",
             self._protected, ProtectArgs),
            (action_kinds.SERVICE_START, "Start the server, as a replica.", self._start, StartArgs),
            (action_kinds.SERVICE_STOP, "Stop the server.", self._stop, NoArgs),
            (action_kinds.SERVICE_RESTART, "Restart a replica.", self._restart, NoArgs),
        ]  # fmt: skip
        return [
            ActionKind(kind=kind, description=about, run=translated(run), args=args)
            for kind, about, run, args in rows
        ]

    async def _init(self, args: InitArgs, _before: Value) -> Step:
        facts = await self._server.facts()
        if self._membership.is_member and not facts.is_primary:
            return failed("it is a member already, and not the primary")
        if not facts.is_primary:
            await self._expect_free()
            # A member only after it: whoever is cut off in between is free still, and begins anew.
            await self._server.call("REPLICAOF", "NO", "ONE")
        await self._protect(args.protect_writes)
        self._membership.save(follows=NOWHERE)
        return done()

    async def _promote(self, args: PromoteArgs, _before: Value) -> Step:
        facts = await self._server.facts()
        if not facts.is_primary:
            await self._expect_free()
            if facts.is_syncing or facts.is_loading:
                return failed("what it holds is not whole")
            if args.offset is not None and facts.offset < args.offset:
                return failed(
                    f"it is at {facts.offset}, behind {args.offset}, which was decided on"
                )
            await self._protect(args.protect_writes)
            self._membership.save(follows=NOWHERE)
            await self._server.call("REPLICAOF", "NO", "ONE")
        return done()

    async def _fence(self, _args: NoArgs, before: Value) -> Step:
        """The last look and the end are as close together as they can be: what answers lives. One
        that goes on in between dies as by a crash, which costs what its replicas had not read."""
        try:
            if await self._server.is_answering():
                return await self._answers_still(before)
            if before is None:
                _expect_none(self._server.controllers_last)
                await self._server.kill()
        except ConnectionRefusedError:
            return done()
        return step_again(before, "it was ended and is not gone yet", pause_ms=10)

    async def _answers_still(self, before: Value) -> Step:
        """Who was ended may have been started again since, by its supervisor: as a copy."""
        if before is not None and not (await self._server.facts()).is_primary:
            return done(before)
        return failed("it answers, so it is not fenced", before)

    async def _join(self, args: FollowArgs, before: Value) -> Step:
        """Who has something of its own loses it by a full copy: that is for a person to do."""
        if not self._membership.is_member and self._server.address != address(args.node):
            with contextlib.suppress(NoContact):  # it is started as a copy
                await self._expect_nothing_to_lose()
        return await self._follow(args, before)

    async def _expect_nothing_to_lose(self) -> None:
        facts = await self._server.facts()
        if facts.is_primary and (facts.replicas or await self._server.call("DBSIZE")):
            raise Refused(
                f"{text(self._server.address)} is a primary with data or replicas of its own"
            )

    async def _follow(self, args: FollowArgs, before: Value) -> Step:
        target = address(args.node)
        if target == self._server.address:
            return failed("it cannot follow itself")
        try:
            facts = await self._server.facts()
        except NoContact as exc:
            return await self._started(before, exc, follows=target)
        if facts.follows == target:
            step = await self._heard(facts, before)
            if step.phase.is_final and step.error is None and args.protect_writes:
                await self._protect(True)
            return step
        await self._expect_free()
        await self._protect(args.protect_writes)
        self._membership.save(follows=target)
        await self._server.call("REPLICAOF", target[0], target[1])
        return step_again(before, "it begins to follow")

    async def _heard(self, facts: Facts, before: Value) -> Step:
        """Whether it hears whom it follows. An action that waits for a primary that is gone would
        stand in the way of replacing it."""
        if facts.is_syncing or facts.is_loading:
            return step_again(before, "a copy is under way")
        if facts.is_link_up:
            return done()
        if before is not None and await self._server.sight(facts) is Sight.REFUSED:
            return failed("its primary refuses connections", before)
        return step_again(before, "it does not hear its primary", bound=REDIS_SILENT_STEPS_MAX)

    async def _switchover(self, args: SwitchoverArgs, before: Value) -> Step:
        target = address(args.node)
        facts = await self._server.facts()
        if not facts.is_primary:
            return self._handed_over(facts, target)
        if facts.is_handing_over:
            return step_again(before, "the successor catches up")
        if before is not None:
            return failed("the successor did not catch up in time: this one stays primary")
        await self._expect_free()
        await self._until_report_is_due(target)
        # Clears itself by the server: writes wait until the successor has all, or the time is over.
        limit_ms = min(max(1, args.timeout_ms), SWITCHOVER_MS_MAX)
        await self._server.call("FAILOVER", "TO", target[0], target[1], "TIMEOUT", limit_ms)
        return step_again(before, "handing over")

    async def _until_report_is_due(self, copy: Address) -> None:
        """A replica reports each second how far it has read, and `FAILOVER` has writes wait for a
        report of all of it. Begun right before one, they wait a fraction of that second."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + REDIS_REPORT_MS / 1_000
        first = await self._reported(copy)
        while await self._reported(copy) == first:
            if loop.time() > ends_at:
                return
            await asyncio.sleep(_LOOK_MS / 1_000)
        await asyncio.sleep((REDIS_REPORT_MS - REDIS_REPORT_LEAD_MS) / 1_000)

    async def _reported(self, copy: Address) -> int | None:
        return reported_offset(await self._server.call("INFO", "replication"), copy)

    def _handed_over(self, facts: Facts, target: Address) -> Step:
        if facts.follows != target:
            return failed(
                f"it follows {text(facts.follows or NOWHERE)} and has nothing to hand over"
            )
        self._membership.save(follows=target)
        return done()

    async def _add(self, args: FollowArgs, before: Value) -> Step:
        """The other server is told; its agent sees then that it is a member."""
        other, own = address(args.node), self._server.address
        facts = await self._server.facts()
        if not (facts.is_primary and self._membership.is_member):
            return failed("only the primary of a cluster admits others")
        if other in facts.replicas:
            return done()
        seen = read_facts(await self._server.call_copy(other, "INFO"))
        if seen.follows == own:
            return step_again(before, "a copy is under way")
        if seen.follows is not None and seen.follows != NOWHERE:
            return failed(f"{args.node} follows {text(seen.follows)} already")
        if seen.is_primary and (seen.replicas or await self._server.call_copy(other, "DBSIZE")):
            return failed(f"{args.node} is a primary with data or replicas of its own")
        controllers = ruled_by(await self._server.call_copy(other, "CLIENT LIST"))
        _expect_none(controllers)
        for name, value in _protection(args.protect_writes).items():
            await self._server.call_copy(other, "CONFIG SET", name, value)
        await self._server.call_copy(other, "REPLICAOF", own[0], own[1])
        return step_again(before, "it begins to follow")

    async def _remove(self, args: RemoveArgs, _before: Value) -> Step:
        facts = await self._server.facts()
        if args.node is not None and address(args.node) in facts.replicas:
            return failed(f"{args.node} follows this one: stop it first")
        return done()

    async def _start(self, args: StartArgs, before: Value) -> Step:
        try:
            facts = await self._server.facts()
        except NoContact as exc:
            follows = None if args.node is None else address(args.node)
            return await self._started(before, exc, follows=follows)
        return step_again(before, "it is loading") if facts.is_loading else done()

    async def _started(self, before: Value, exc: NoContact, *, follows: Address | None) -> Step:
        """A server that does not answer is started once, when it is certainly gone: one that just
        ended may say nothing yet instead of refusing."""
        was_asked = isinstance(before, dict) and before.get("is_asked") is True
        why = await self._server.failure() if was_asked else None
        if why is not None:
            return failed(f"it did not start: {why}", before)
        if exc.contact is StoreContact.REFUSED and not was_asked:
            if follows is not None:
                self._membership.save(follows=follows)
            await self._server.start()
            before = {**(before if isinstance(before, dict) else {}), "is_asked": True}
        return step_again(before, f"it does not answer yet: {exc}")

    async def _stop(self, _args: NoArgs, before: Value) -> Step:
        try:
            await self._server.facts()
        except NoContact as exc:
            is_gone = exc.contact is StoreContact.REFUSED
            return done() if is_gone else step_again(before, str(exc))
        if before is None:
            await self._server.shut_down()
        return step_again(before, "it was told to stop")

    async def _restart(self, args: NoArgs, before: Value) -> Step:
        state = before if isinstance(before, dict) else {}
        if "start" not in state:
            if not state and (await self._server.facts()).is_primary:
                return failed("a primary comes back as a replica: hand it over first")
            step = await self._stop(args, state.get("stop"))
            if step.phase.is_final:
                return again({"start": None}, pause_ms=0) if step.error is None else step
            return again({"stop": step.payload}, pause_ms=step.pause_ms)
        step = await self._start(StartArgs(), state["start"])
        return step if step.phase.is_final else again({"start": step.payload})

    async def _protected(self, args: ProtectArgs, _before: Value) -> Step:
        if not self._membership.is_member:
            return failed("it is in no cluster")
        await self._protect(args.protect_writes)
        return done()

    async def _protect(self, is_wanted: bool) -> None:
        """At every later start as well: one that was started anew may be handed the role."""
        await self._server.set_for_good(_protection(is_wanted))

    async def _expect_free(self) -> None:
        _expect_none(await self._server.controllers())


def _protection(is_wanted: bool) -> dict[str, str]:
    wanted, lag = PROTECTION
    return {lag: str(PROTECTED_LAG_SECONDS), wanted: str(int(is_wanted))}


def _expect_none(controllers: tuple[str, ...]) -> None:
    if controllers:
        raise Refused(f"its roles are ruled by {', '.join(controllers)}")

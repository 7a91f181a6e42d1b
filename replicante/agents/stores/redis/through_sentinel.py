"""Changes of roles that Sentinel carries out, asked for by us. Called by the agent's runner.

Sentinel keeps its own record of who is primary. A `FAILOVER` or `REPLICAOF` that it was not asked
for leaves that record wrong, and the next death of a server has it demote a healthy primary with
all that it acknowledged. So beside Sentinel roles are changed by `SENTINEL FAILOVER` alone.

Sentinel loses writes in a planned failover, because the old primary takes them until it is told,
some ten seconds later. Here its agent has the server refuse writes first, waits until every replica
that may be chosen has all of them, asks, and lets writes in again when the server is a replica, or
when Sentinel changed nothing. However it ends, `write_hold` sees that they are let in again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from replicante.agents.sdk import ActionKind, Step, StoreContact, again, done, failed
from replicante.agents.stores.redis.facts import Address, Facts, address, text
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.sentinels import Council, Sentinels
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.steps import step_again, translated
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.agents.stores.redis.write_hold import STEP_MS, WriteHold
from replicante.limits import (
    SENTINEL_HOLD_MS_MAX,
    SENTINEL_IDLE_STEPS_MAX,
    SENTINEL_MARGIN_MS,
    SENTINEL_STEPS_MAX,
)
from replicante.model import action_kinds
from replicante.model.codec import Value

_LOOK_MS = 20


class SwitchoverArgs(msgspec.Struct, frozen=True):
    controller: str = "sentinel"


class FailoverArgs(msgspec.Struct, frozen=True):
    node: str
    """host:port of the primary that is to be replaced."""
    controller: str = "sentinel"


class SentinelActions:
    def __init__(
        self,
        *,
        server: RedisServer,
        membership: Membership,
        sentinels: Sentinels,
        hold: WriteHold,
    ) -> None:
        self._server = server
        self._membership = membership
        self._sentinels = sentinels
        self._hold = hold

    def kinds(self) -> list[ActionKind]:
        return [
            ActionKind(
                kind=action_kinds.CONTROLLER_SWITCHOVER,
                description="Have Sentinel replace this primary, losing nothing.",
                run=translated(self._switchover),
                args=SwitchoverArgs,
                cancel=self._leave,
            ),
            ActionKind(
                kind=action_kinds.CONTROLLER_FAILOVER,
                description="See that Sentinel replaces a primary that is gone.",
                run=translated(self._failover),
                args=FailoverArgs,
            ),
        ]

    async def _switchover(self, _args: SwitchoverArgs, before: Value) -> Step:
        return await self._hold.used_by(lambda: self._hand_over_step(before))

    async def _leave(self, _before: Value) -> None:
        """Sentinel cannot be told to stop. What comes of it is looked after."""
        self._hold.leave()

    async def _hand_over_step(self, before: Value) -> Step:
        state = before if isinstance(before, dict) else {}
        if "is_asked" not in state:
            return await self._prepare()
        try:
            if "undo" in state:
                await self._hold.put_back()
                return failed(state["undo"], state)
            facts, council = await self._server.facts(), await self._council()
            if not state["is_asked"]:
                return await self._hand_over(facts, council, state)
            return await self._until_replaced(facts, council, state)
        except NoContact as exc:
            if exc.contact is StoreContact.REFUSED:
                return failed("its server is gone: Sentinel replaces it by itself", state)
            return _progress(state, str(exc))
        except Refused as exc:
            return _progress(state, str(exc))

    async def _prepare(self) -> Step:
        facts, council = await self._server.facts(), await self._council()
        if facts.follows is not None and council.agreed == facts.follows:
            return done(_outcome(council, facts.follows))
        why = self._against(facts, council)
        if why is not None:
            return failed(why)
        return again({"is_asked": False}, pause_ms=0)

    async def _failover(self, args: FailoverArgs, before: Value) -> Step:
        """Sentinel finds a death by itself, and two failovers at once lose more than one. So it is
        given its time, and asked only when it begins nothing."""
        state = before if isinstance(before, dict) else {}
        old, council = address(args.node), await self._council()
        new = council.agreed
        if new is not None and new != old:
            # Its word counts once the server keeps it.
            info = await self._server.call_copy(new, "INFO", "replication")
            if info["role"] == "master":
                return done(_outcome(council, new))
            return _progress(state, f"Sentinel names {text(new)}, which is no primary yet")
        if council.is_failing_over or not council.is_unanimous_for(old):
            return _progress(state, "a failover of Sentinel is under way")
        if state.get("is_asked"):
            idle = int(state.get("idle", 0)) + 1
            if idle > SENTINEL_IDLE_STEPS_MAX:
                return failed("Sentinel gave its failover up: see its log", state)
            return _progress({**state, "idle": idle}, "Sentinel was asked")
        patience_ms = 2 * max(it.down_after_ms for it in council.says) + SENTINEL_MARGIN_MS
        if int(state.get("steps", 0)) * STEP_MS < patience_ms:
            return _progress(state, "Sentinel is given the time to find it out by itself")
        await self._sentinels.fail_over(council)
        return _progress({**state, "is_asked": True}, "Sentinel was asked")

    def _against(self, facts: Facts, council: Council) -> str | None:
        """Why a healthy primary is not handed over now; nothing was changed."""
        if not facts.is_primary:
            return f"it follows {text(facts.follows or self._server.address)}: nothing to hand over"
        if not council.is_unanimous_for(self._server.address):
            others = {text(it.primary) for it in council.says}
            return f"the Sentinels take {', '.join(sorted(others))} for the primary"
        if council.is_failing_over:
            return "a failover of Sentinel is under way"
        if any(it.is_down for it in council.says):
            return "a Sentinel takes this primary for dead"
        return None

    async def _hand_over(self, facts: Facts, council: Council, state: dict[str, Value]) -> Step:
        """Nothing waits in between: writes are refused as short as it can be."""
        asked: dict[str, Value] = {**state, "is_asked": True, "idle": 0}
        if council.is_failing_over or not council.is_unanimous_for(self._server.address):
            # An earlier process asked and could not record it.
            return _progress(asked, "a failover of Sentinel is under way")
        choices = await self._sentinels.choices(council)
        await self._hold.refuse_writes(facts)
        behind = await self._behind(choices)
        why = f"{', '.join(map(text, behind))} may be chosen and lacks writes" if behind else None
        if why is None:
            try:
                await self._sentinels.fail_over(council)
            except Refused as exc:
                why = f"Sentinel refuses: {exc}"
            except NoContact:
                # Nobody knows whether it heard: what comes of it is waited for, as of one that did.
                pass
        if why is not None:
            return again({**state, "undo": f"{why}: nothing was changed"}, pause_ms=0)
        return _progress(asked, "Sentinel was asked")

    async def _until_replaced(
        self, facts: Facts, council: Council, state: dict[str, Value]
    ) -> Step:
        own, new = self._server.address, council.agreed
        if new is not None and new != own:
            if facts.follows != new:
                # A server that was replaced takes no write any more; Sentinel tells it soon.
                await self._hold.refuse_writes(facts)
                return _progress(state, f"{text(new)} is the primary; this one is told soon")
            self._membership.save(follows=new)
            await self._hold.put_back()
            if facts.is_link_up:
                return done(_outcome(council, new))
            return _progress(state, f"it begins to follow {text(new)}")
        is_late = int(state.get("steps", 0)) >= SENTINEL_STEPS_MAX
        is_moving = council.is_failing_over or not council.is_unanimous_for(own)
        idle = 0 if is_moving else int(state["idle"]) + 1
        if idle <= SENTINEL_IDLE_STEPS_MAX and not is_late:
            what = "a failover" if is_moving else "no failover"
            return _progress({**state, "idle": idle}, f"{what} of Sentinel is under way")
        # It must not refuse writes for ever as the primary that it is.
        why = "Sentinel did not carry its failover out: this one stays primary"
        return again({**state, "undo": why}, pause_ms=0)

    async def _council(self) -> Council:
        """Raises Refused when too few answer: what they want as a whole cannot be known then."""
        council = await self._sentinels.council()
        if not council.is_quorate:
            count = f"{len(council.says)} of {council.known_count}"
            raise Refused(f"only {count} Sentinels answer")
        return council

    async def _behind(self, choices: Iterable[Address]) -> list[Address]:
        """Who of them lacks something of what this primary has; they are given a moment."""
        wanted = (await self._server.facts()).offset
        behind = list(choices)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + SENTINEL_HOLD_MS_MAX / 1_000
        while behind and loop.time() < ends_at:
            offsets = await asyncio.gather(*(self._offset(it) for it in behind))
            behind = [it for it, at in zip(behind, offsets, strict=True) if at < wanted]
            if behind:
                await asyncio.sleep(_LOOK_MS / 1_000)
        return behind

    async def _offset(self, copy: Address) -> int:
        """-1: it does not say, or follows somebody else."""
        try:
            info = await self._server.call_copy(copy, "INFO", "replication")
            follows = str(info["master_host"]), int(info["master_port"])
            return int(info["slave_repl_offset"]) if follows == self._server.address else -1
        except (NoContact, Refused, KeyError, TypeError, ValueError):
            return -1


def _progress(state: dict[str, Value], message: str) -> Step:
    return step_again(state, message, bound=SENTINEL_STEPS_MAX, pause_ms=STEP_MS)


def _outcome(council: Council, primary: Address) -> dict[str, Value]:
    return {
        "primary": text(primary),
        "controller": "sentinel",
        "epoch": max(it.epoch for it in council.says),
        "agreeing": sum(it.primary == primary for it in council.says),
        "known": council.known_count,
    }

"""The three calls of the Redis agent, and whether its node may be stopped. Called by the SDK.

Rule: attributes hold what is settled. A value that changes all the time would be an event in every
cycle of the control plane; it is a reading, or the offset and the lag of the shard.
"""

from __future__ import annotations

import asyncio
import contextlib

from replicante.agents import sdk
from replicante.agents.sdk import NodeStatus, Sight, StoreContact
from replicante.agents.stores.redis import facts as redis_facts
from replicante.agents.stores.redis.after_hang import AfterHang
from replicante.agents.stores.redis.facts import NOWHERE, Address, Facts
from replicante.agents.stores.redis.last_facts import LastFacts
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.sentinels import Sentinels, told
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.settings import PROTECTION, KeptSettings
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.agents.stores.redis.write_hold import WriteHold
from replicante.model.node import (
    CONTROLLER_PRIMARY,
    WRITES_PROTECTED,
    WRITES_REFUSED,
    Attribute,
)

STORE_ID = "redis.replication"


class RedisStore(sdk.Store):
    def __init__(
        self,
        *,
        server: RedisServer,
        membership: Membership,
        sentinels: Sentinels,
        after_hang: AfterHang,
        hold: WriteHold,
        last: LastFacts,
        kept: KeptSettings,
        cluster_id: str,
    ) -> None:
        """cluster_id: Redis has no name for what replicates together, so it is given."""
        self._server = server
        self._sentinels = sentinels
        self._after_hang = after_hang
        self._hold = hold
        self._membership = membership
        self._cluster_id = cluster_id
        self._last = last
        self._kept = kept
        self._leads_beside: Address | None = None
        """Whom the server of a primary is to follow after a start, as the last look found it."""

    async def node(self) -> sdk.NodeSays:
        try:
            facts = await self._facts()
            controllers = await self._server.controllers()
            await self._take_in(facts)
            self._take_over(facts)
        except NoContact as exc:
            self._last.gone()
            return self._says(NodeStatus.UNAVAILABLE, str(exc), exc.contact, ())
        except Refused as exc:
            why = f"it does not tell its agent what it is: {exc}"
            controllers = self._server.controllers_last
            return self._says(NodeStatus.UNKNOWN, why, StoreContact.ANSWERS, controllers)
        status, reason = facts.status
        if not self._membership.is_member:
            status, reason = NodeStatus.NOT_IN_CLUSTER, None
        return self._says(status, reason, StoreContact.ANSWERS, controllers)

    async def store(self) -> sdk.StoreSays:
        facts = await self._facts()
        self._expect_member()
        attributes: dict[str, Attribute] = {
            **facts.resources.attributes,
            "redis.io/replication-id": facts.history_id,
            "redis.io/replicas": len(facts.replicas),
            WRITES_PROTECTED: facts.is_asking_for_replicas and self._kept.is_protecting,
            WRITES_REFUSED: self._hold.why,
        }
        return sdk.StoreSays(
            cluster_id=self._cluster_id,
            attributes=attributes,
            readings=facts.resources.readings,
        )

    async def shards(self) -> list[sdk.ShardSays]:
        facts = await self._facts()
        self._expect_member()
        sight = await self._server.sight(facts)
        lag_bytes = await self._server.lag_bytes(facts) if sight is Sight.UP else None
        return [redis_facts.shard(facts, sight, lag_bytes=lag_bytes)]

    async def can_stop(self) -> sdk.CanStop:
        facts = await self._facts()
        why = await self._why_not_stopped(facts)
        if why is not None:
            return sdk.CanStop(can_stop=False, reason=why)
        found = "a replica" if self._membership.is_member else "in no cluster"
        return sdk.CanStop(can_stop=True, reason=f"it is {found}")

    async def _why_not_stopped(self, facts: Facts) -> str | None:
        """A replica asks whom it follows: only that one knows whether it can do without it."""
        if facts.is_primary:
            return "it is the primary: hand it over first"
        if not self._membership.is_member:
            return None
        if facts.follows is None or facts.follows == NOWHERE:
            return "it follows nobody: what it holds may be all there is"
        primary = redis_facts.text(facts.follows)
        try:
            spare = await self._server.spare_count(facts.follows)
        except (NoContact, Refused, LookupError, ValueError) as exc:
            return f"its primary cannot be asked, and it may have to take over: {exc}"
        if spare is not None and spare < 1:
            return f"{primary} takes writes only beside the replicas that it has"
        return None

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sentinels.listen())
            group.create_task(self._after_hang.run())
            group.create_task(self._hold.run())
            group.create_task(self._last.run())

    async def _take_in(self, facts: Facts) -> None:
        """A server that another one admitted is a member as soon as it holds a whole copy: on the
        disk, so that it follows that one after a start, with the protection that it was given."""
        follows = facts.follows
        if self._membership.is_member or follows is None or follows == NOWHERE:
            return
        if facts.is_link_up and not facts.is_syncing:
            with contextlib.suppress(Refused):  # one that keeps its settings to itself
                await self._server.keep_as_set(PROTECTION)
            self._membership.save(follows=follows)

    def _take_over(self, facts: Facts) -> None:
        """A switchover is asked of the former primary, whose agent writes it down; this one sees
        the role. Its server would else begin, after a crash, as a copy of one that has less. In two
        looks: one that is told to follow somebody has that on the disk before its server knows."""
        follows, is_primary = self._membership.follows, facts.is_primary
        is_stale = self._membership.is_member and is_primary and follows != NOWHERE
        if is_stale and follows == self._leads_beside:
            self._membership.save(follows=NOWHERE)
        self._leads_beside = follows if is_stale else None

    async def _facts(self) -> Facts:
        facts = await self._server.facts()
        self._last.saw(facts)
        self._after_hang.look(facts)
        return facts

    def _says(
        self,
        status: NodeStatus,
        reason: str | None,
        contact: StoreContact,
        controllers: tuple[str, ...],
    ) -> sdk.NodeSays:
        where = redis_facts.text(self._server.address)
        last = self._last.told
        attributes: dict[str, Attribute] = {"redis.io/member": self._membership.is_member}
        if last is not None and status in (NodeStatus.UNAVAILABLE, NodeStatus.UNKNOWN):
            attributes |= last.attributes
        heard = self._sentinels.heard if controllers else ()
        if heard:
            agreed = self._sentinels.agreed
            attributes["redis.io/sentinel.group"] = ",".join(sorted({it.name for it in heard}))
            attributes["redis.io/sentinel.addresses"] = told(heard)
            attributes[CONTROLLER_PRIMARY] = None if agreed is None else redis_facts.text(agreed)
        return sdk.NodeSays(
            store_id=STORE_ID,
            node_status=status,
            status_reason=reason,
            address={"client": where, "member": where},
            store_version=sdk.StoreVersion(number="" if last is None else last.version),
            attributes=attributes,
            contact=contact,
            controllers=controllers,
        )

    def _expect_member(self) -> None:
        if not self._membership.is_member:
            raise sdk.StoreUnavailable("it is in no cluster")

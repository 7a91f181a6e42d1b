"""Asks who is in charge now: of the control plane, and of the Redis cluster. Called by the scenes
and the writer; whoever calls gives a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replicante import errors
from replicante.client import STALE, Client, Read
from replicante.demo.plan import CLUSTER_ID, NODES_COUNT, NS
from replicante.wire.clusters import ViewAnswer
from replicante.wire.status import RaftStatus
from replicante.wire.values import Json

POLL_MS = 100
STATUS_MS_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One node of the cluster, as the control plane saw it last."""

    node_id: str
    address: str
    """host:port for clients."""
    role: str
    follows: str | None
    is_fresh: bool


async def find_leader(urls: Sequence[str], *, not_: str | None = None) -> str:
    """Id of the peer that says itself that it leads, and is not `not_`."""
    async with Client(urls) as client:
        while True:
            for status in await _statuses(client, urls):
                if status.role == "leader" and status.peer != not_:
                    return status.peer
            await asyncio.sleep(POLL_MS / 1_000)


async def find_primary(client: Client) -> Copy | None:
    """The node that is known as the primary, or None. Any peer answers, from its own copy: a
    control plane without a leader stops nobody from finding the store.  Raises ReplicanteError."""
    read = Read(consistency=STALE.consistency, timeout_ms=STATUS_MS_MAX)
    try:
        view = await client.clusters.view(NS, CLUSTER_ID, read=read)
    except errors.NotFound:
        return None
    primaries = [it for it in copies(view) if it.role == "primary" and it.is_fresh]
    return primaries[0] if len(primaries) == 1 else None


async def wait_formed(client: Client, *, without: str | None = None) -> Copy:
    """The primary, once it is not `without` and two replicas follow it."""
    while True:
        try:
            found = list(copies(await client.clusters.view(NS, CLUSTER_ID, read=STALE)))
        except errors.ReplicanteError:
            # Peers are killed meanwhile; who gives the time limit judges.
            found = []
        primaries = [it for it in found if it.role == "primary" and it.is_fresh]
        if len(primaries) == 1 and primaries[0].node_id != without:
            follows = [
                it
                for it in found
                if it.role == "secondary" and it.is_fresh and it.follows == primaries[0].address
            ]
            if len(follows) == NODES_COUNT - 1:
                return primaries[0]
        await asyncio.sleep(POLL_MS / 1_000)


def copies(view: ViewAnswer) -> Iterator[Copy]:
    for node_id, shards in view.shards.items():
        details = _map(_map(view.nodes.get(node_id)).get("details"))
        address = _map(details.get("addresses")).get("client")
        for found in shards.values():
            shard = _map(found)
            follows = _map(shard.get("upstream")).get("address")
            if isinstance(address, str):
                yield Copy(
                    node_id=node_id,
                    address=address,
                    role=str(shard.get("role")),
                    follows=follows if isinstance(follows, str) else None,
                    is_fresh=shard.get("is_fresh") is True,
                )


async def _statuses(client: Client, urls: Sequence[str]) -> list[RaftStatus]:
    """Of the peers that answer, in the order of the URLs."""
    found = await asyncio.gather(
        *(client.raft_status(url, timeout_ms=STATUS_MS_MAX) for url in urls),
        return_exceptions=True,
    )
    for item in found:
        if isinstance(item, BaseException) and not isinstance(item, errors.ReplicanteError):
            raise item
    return [item for item in found if isinstance(item, RaftStatus)]


def _map(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}

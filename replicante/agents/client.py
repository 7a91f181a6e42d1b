"""Asks agents over HTTP. Called by `workers`; every failure of an agent is an answer, never an
exception.

Rules: the queue is read before the finished list, so that an action which ends in between is in the
second; an action is unknown only when the agent answered 404 for that very id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import aiohttp

from replicante.agents import protocol
from replicante.agents.breath import while_it_breathes
from replicante.agents.calls import AgentCalls, Failed, Whom
from replicante.agents.protocol import Look, SeenStore, SendAnswer, Sent
from replicante.client_tls import ClientContexts, ClientIdentity
from replicante.errors import Invalid
from replicante.limits import (
    AGENT_ACTIONS_LOOKED_UP_MAX,
    AGENT_CALL_MS_MAX,
    AGENT_CALLS_INFLIGHT_MAX,
    AGENT_LOOK_CALLS_INFLIGHT_MAX,
    AGENT_SUSPECTS_INFLIGHT_MAX,
)
from replicante.model.actions import NAction
from replicante.model.discovery import DiscoveredNode
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import (
    AgentAnswer,
    Observation,
    SeenAction,
    SeenNode,
    SeenShard,
)

_NOBODY = ClientIdentity()
_CONNECTIONS_MAX = (
    AGENT_CALLS_INFLIGHT_MAX + AGENT_SUSPECTS_INFLIGHT_MAX
) * AGENT_LOOK_CALLS_INFLIGHT_MAX


class HttpAgents:
    """One a peer; `close` when it stops. ca_bundle: of the namespace, a path or the PEM itself."""

    def __init__(self, identity: ClientIdentity = _NOBODY) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._inflight = asyncio.Semaphore(AGENT_CALLS_INFLIGHT_MAX)
        self._suspects = asyncio.Semaphore(AGENT_SUSPECTS_INFLIGHT_MAX)
        self.contexts = ClientContexts(identity, whom="agents")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def look(self, ask: Look, *, ca_bundle: str | None) -> Observation:
        """Takes at most `ask.limit_ms`; cancelled only by the end of the worker."""
        found = Observation(node_id=ask.node.node_id, at_ms=ask.at_ms, answer=AgentAnswer.ANSWERED)
        try:
            turn = self._suspects if ask.is_suspect else self._inflight
            async with turn, asyncio.timeout(ask.limit_ms / 1_000):
                agent = self._agent(
                    Whom(
                        node=ask.node,
                        cluster_id=ask.cluster_id,
                        epoch=ask.epoch,
                        ca_bundle=ca_bundle,
                    )
                )
                return await while_it_breathes(agent, _look(agent, ask))
        except TimeoutError:
            failed = Failed(AgentAnswer.TIMEOUT, f"no answer within {ask.limit_ms} ms")
        except Failed as exc:
            failed = exc
        return Observation(
            node_id=found.node_id, at_ms=ask.at_ms, answer=failed.answer, message=str(failed)
        )

    async def submit(
        self,
        action: NAction,
        node: DiscoveredNode,
        *,
        epoch: int,
        begin_within_ms: int | None,
        ca_bundle: str | None,
    ) -> Sent:
        """Hands an action over; a repeat under the same id does nothing."""
        whom = Whom(node=node, cluster_id=action.cluster_id, epoch=epoch, ca_bundle=ca_bundle)
        body = protocol.order_body(action, begin_within_ms=begin_within_ms)
        try:
            async with self._inflight, asyncio.timeout(AGENT_CALL_MS_MAX / 1_000):
                reply = await self._agent(whom).call(
                    "POST", protocol.ACTION, body, to=action.sent_to
                )
        except TimeoutError:
            return Sent(answer=SendAnswer.UNKNOWN, message="no answer in time")
        except Failed as exc:
            if exc.answer is AgentAnswer.STALE_EPOCH:
                return Sent(answer=SendAnswer.STALE_EPOCH, message=str(exc))
            is_known = exc.answer in (AgentAnswer.REFUSED, AgentAnswer.BAD_ADDRESS)
            answer = SendAnswer.REFUSED if is_known else SendAnswer.UNKNOWN
            return Sent(answer=answer, message=str(exc))
        if reply.status < 300 or reply.status == 409:
            return Sent(answer=SendAnswer.TAKEN)
        answer = SendAnswer.REFUSED if reply.status < 500 else SendAnswer.UNKNOWN
        return Sent(answer=answer, message=f"status {reply.status}: {reply.error_text}")

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None:
        """Asks for the end of an action. What came of it the next look shows; an agent of the
        original does not know the call."""
        whom = Whom(node=node, cluster_id=action.cluster_id, epoch=epoch, ca_bundle=ca_bundle)
        try:
            async with self._inflight, asyncio.timeout(AGENT_CALL_MS_MAX / 1_000):
                await self._agent(whom).call(
                    "POST", f"{protocol.ACTION}/{action.action_id}/cancel", {}
                )
        except (TimeoutError, Failed):
            return

    def _agent(self, whom: Whom) -> AgentCalls:
        return AgentCalls(whom, session=self._open(), contexts=self.contexts)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # As many as can be used at once: nobody waits here, where waiting would look like the
            # silence of an agent.
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX)
            # What is sent packed might unpack to more than may be read.
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session


async def _look(agent: AgentCalls, ask: Look) -> Observation:
    reply = await agent.get(protocol.INFO_NODE)
    try:
        node_id, node = protocol.read_node(reply.body)
    except Invalid as exc:
        raise Failed(AgentAnswer.GARBAGE, f"info/node: {exc.path}: {exc.message}") from exc
    if node_id != ask.node.node_id:
        message = f"it says that it is node {node_id[:200]}"
        raise Failed(AgentAnswer.WRONG_IDS, message)
    (store, store_error), (shards, shards_error) = await _inside(agent, ask, node)
    queue = await _ids(agent, protocol.ACTIONS_QUEUE)
    finished = await _ids(agent, protocol.ACTIONS_FINISHED)
    history = finished or () if ask.is_history_wanted else ()
    listed = [it for it in (*(queue or ()), *history) if it not in ask.settled]
    actions, unknown = await _actions(agent, dict.fromkeys((*ask.wanted, *listed)))
    return Observation(
        node_id=node_id,
        at_ms=ask.at_ms,
        answer=AgentAnswer.ANSWERED,
        is_fenced=reply.is_fenced,
        node=node,
        store_attributes=None if store is None else store.attributes,
        store_readings={} if store is None else store.readings,
        store_error=store_error,
        shards=shards,
        shards_error=shards_error,
        queue=queue,
        finished=finished,
        actions=actions,
        unknown_actions=unknown,
        incarnations=tuple(agent.incarnations),
        boots=tuple(agent.boots),
    )


async def _inside(
    agent: AgentCalls, ask: Look, node: SeenNode
) -> tuple[tuple[SeenStore | None, str | None], tuple[tuple[SeenShard, ...] | None, str | None]]:
    """What the store itself tells. One that hangs is not waited for again in the same look."""
    if node.status is NodeStatus.UNAVAILABLE and node.contact is StoreContact.SILENT:
        told = "not asked: the store does not answer its agent"
        return (None, told), (None, told)
    # Both are waited for, also when one of them ends the look: no call is left behind.
    store, shards = await asyncio.gather(_store(agent, ask), _shards(agent), return_exceptions=True)
    if isinstance(store, BaseException):
        raise store
    if isinstance(shards, BaseException):
        raise shards
    return store, shards


async def _store(agent: AgentCalls, ask: Look) -> tuple[SeenStore | None, str | None]:
    """Raises Failed for a store of another cluster; any other failure is a part of the answer."""
    try:
        reply = await agent.get(protocol.INFO_STORE)
        store = protocol.read_store(reply.body)
    except Failed as exc:
        _raise_if_overtaken(exc)
        return None, str(exc)
    except Invalid as exc:
        return None, f"info/store: {exc.path}: {exc.message}"
    if store.cluster_id != ask.cluster_id:
        message = f"its store belongs to the cluster {store.cluster_id[:200]}"
        raise Failed(AgentAnswer.WRONG_IDS, message)
    return store, None


async def _shards(agent: AgentCalls) -> tuple[tuple[SeenShard, ...] | None, str | None]:
    try:
        reply = await agent.get(protocol.INFO_SHARDS)
        return protocol.read_shards(reply.body), None
    except Failed as exc:
        _raise_if_overtaken(exc)
        return None, str(exc)
    except Invalid as exc:
        return None, f"info/shards: {exc.path}: {exc.message}"


async def _ids(agent: AgentCalls, path: str) -> tuple[str, ...] | None:
    try:
        return protocol.read_ids((await agent.get(path)).body)
    except Failed as exc:
        _raise_if_overtaken(exc)
    except Invalid:
        pass  # a list that cannot be read is a list that is not known
    return None


async def _actions(
    agent: AgentCalls, ids: Iterable[str]
) -> tuple[tuple[SeenAction, ...], tuple[str, ...]]:
    asked = list(ids)[:AGENT_ACTIONS_LOOKED_UP_MAX]
    inflight = asyncio.Semaphore(AGENT_LOOK_CALLS_INFLIGHT_MAX)

    async def look_up(action_id: str) -> SeenAction | bool | None:
        async with inflight:
            return await _action(agent, action_id)

    found = await asyncio.gather(*map(look_up, asked), return_exceptions=True)
    for it in found:
        if isinstance(it, BaseException):
            raise it
    seen = tuple(it for it in found if isinstance(it, SeenAction))
    unknown = tuple(action_id for action_id, it in zip(asked, found, strict=True) if it is False)
    return seen, unknown


async def _action(agent: AgentCalls, action_id: str) -> SeenAction | bool | None:
    """False: the agent says that it does not have it. None: it does not say."""
    try:
        reply = await agent.get(f"{protocol.ACTION}/{action_id}")
        if reply.status == 404:
            return False
        seen = protocol.read_action(reply.body)
    except Failed as exc:
        _raise_if_overtaken(exc)
        return None
    except Invalid:
        return None
    return seen if seen.action_id == action_id else None


def _raise_if_overtaken(exc: Failed) -> None:
    if exc.answer is AgentAnswer.STALE_EPOCH:
        raise exc

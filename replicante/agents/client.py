"""Asks agents over HTTP. Called by `workers`; every failure of an agent is an answer, never an
exception.

Rules: the queue is read before the finished list, so that an action which ends in between is in the
second; an action is unknown only when the agent answered 404 for that very id; plain HTTP is for
agents on this machine only, and over https the agent's certificate names the host of its address.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from replicante.agents import protocol
from replicante.agents.protocol import Look, SendAnswer, Sent
from replicante.client_tls import ClientContexts, ClientIdentity
from replicante.errors import Invalid
from replicante.limits import (
    AGENT_ACTIONS_LOOKED_UP_MAX,
    AGENT_ANSWER_BYTES_MAX,
    AGENT_CALL_MS_MAX,
    AGENT_CALLS_INFLIGHT_MAX,
    AGENT_LOOK_CALLS_INFLIGHT_MAX,
    AGENT_SUSPECTS_INFLIGHT_MAX,
)
from replicante.model.actions import NAction
from replicante.model.codec import Value
from replicante.model.discovery import DiscoveredNode
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import (
    AgentAnswer,
    Observation,
    SeenAction,
    SeenNode,
    SeenShard,
)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOBODY = ClientIdentity()
_CONNECTIONS_MAX = (
    AGENT_CALLS_INFLIGHT_MAX + AGENT_SUSPECTS_INFLIGHT_MAX
) * AGENT_LOOK_CALLS_INFLIGHT_MAX


class _Failed(Exception):
    """One call did not give what was asked for."""

    def __init__(self, answer: AgentAnswer, message: str) -> None:
        super().__init__(message)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    body: Value
    is_fenced: bool
    """The agent repeated the epoch of the call."""


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
                agent = _Agent(self, ask.node, ask.epoch, ca_bundle)
                return await _look(agent, ask)
        except TimeoutError:
            failed = _Failed(AgentAnswer.TIMEOUT, f"no answer within {ask.limit_ms} ms")
        except _Failed as exc:
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
        body = protocol.order_body(action, begin_within_ms=begin_within_ms)
        try:
            async with self._inflight, asyncio.timeout(AGENT_CALL_MS_MAX / 1_000):
                agent = _Agent(self, node, epoch, ca_bundle)
                reply = await agent.call("POST", protocol.ACTION, body, to=action.sent_to)
        except TimeoutError:
            return Sent(answer=SendAnswer.UNKNOWN, message="no answer in time")
        except _Failed as exc:
            if exc.answer is AgentAnswer.STALE_EPOCH:
                return Sent(answer=SendAnswer.STALE_EPOCH, message=str(exc))
            is_known = exc.answer in (AgentAnswer.REFUSED, AgentAnswer.BAD_ADDRESS)
            answer = SendAnswer.REFUSED if is_known else SendAnswer.UNKNOWN
            return Sent(answer=answer, message=str(exc))
        if reply.status < 300 or reply.status == 409:
            return Sent(answer=SendAnswer.TAKEN)
        answer = SendAnswer.REFUSED if reply.status < 500 else SendAnswer.UNKNOWN
        return Sent(answer=answer, message=f"status {reply.status}: {_error_text(reply.body)}")

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None:
        """Asks for the end of an action. What came of it the next look shows; an agent of the
        original does not know the call."""
        try:
            async with self._inflight, asyncio.timeout(AGENT_CALL_MS_MAX / 1_000):
                agent = _Agent(self, node, epoch, ca_bundle)
                await agent.call("POST", f"{protocol.ACTION}/{action.action_id}/cancel", {})
        except (TimeoutError, _Failed):
            return

    def session(self) -> aiohttp.ClientSession:
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


class _Agent:
    """The calls of one look."""

    def __init__(
        self, agents: HttpAgents, node: DiscoveredNode, epoch: int, ca_bundle: str | None
    ) -> None:
        self._agents = agents
        self._base = node.agent_address.rstrip("/")
        self._epoch = str(epoch)
        self._ca_bundle = ca_bundle
        # Who answered, in that order.
        self.incarnations: dict[str, None] = {}
        self.boots: dict[str, None] = {}
        self._tls: ssl.SSLContext | bool | None = None

    async def get(self, path: str) -> _Reply:
        """Raises _Failed for anything but 200 and 404."""
        reply = await self.call("GET", path, None)
        if reply.status not in (200, 404):
            raise _Failed(AgentAnswer.GARBAGE, f"status {reply.status}: {_error_text(reply.body)}")
        return reply

    async def call(self, method: str, path: str, body: Value, *, to: str | None = None) -> _Reply:
        """to: the incarnation of the agent that alone may obey.
        Raises _Failed when there is no answer that could be read."""
        headers = {protocol.EPOCH_HEADER: self._epoch}
        if to is not None:
            headers[protocol.INCARNATION_HEADER] = to
        try:
            async with self._agents.session().request(
                method,
                f"{self._base}{path}",
                json=body,
                headers=headers,
                ssl=self._ssl(),
                allow_redirects=False,
            ) as response:
                raw = await _bounded(response)
                is_fenced = response.headers.get(protocol.EPOCH_HEADER) == self._epoch
                status = response.status
                self._keep_marks(response.headers)
        except aiohttp.ClientConnectorError as exc:
            is_refused = isinstance(exc.os_error, ConnectionRefusedError)
            answer = AgentAnswer.REFUSED if is_refused else AgentAnswer.UNREACHABLE
            raise _Failed(answer, _short(exc)) from exc
        except aiohttp.InvalidURL as exc:
            raise _Failed(AgentAnswer.BAD_ADDRESS, f"{self._base[:200]} is no URL") from exc
        except (aiohttp.ServerTimeoutError, TimeoutError):
            raise
        except (aiohttp.ClientConnectionError, OSError) as exc:
            raise _Failed(AgentAnswer.UNREACHABLE, _short(exc)) from exc
        except aiohttp.ClientError as exc:
            raise _Failed(AgentAnswer.GARBAGE, _short(exc)) from exc
        if status == protocol.STALE_EPOCH_STATUS:
            raise _Failed(AgentAnswer.STALE_EPOCH, "it knows a greater epoch")
        return _Reply(status=status, body=_parsed(raw, status), is_fenced=is_fenced)

    def _keep_marks(self, headers: Mapping[str, str]) -> None:
        for name, kept in (
            (protocol.INCARNATION_HEADER, self.incarnations),
            (protocol.BOOT_HEADER, self.boots),
        ):
            mark = protocol.read_mark(headers.get(name))
            if mark is not None:
                kept.pop(mark, None)
                kept[mark] = None

    def _ssl(self) -> ssl.SSLContext | bool:
        """The same for all calls of a look."""
        if self._tls is None:
            self._tls = self._find_tls()
        return self._tls

    def _find_tls(self) -> ssl.SSLContext | bool:
        try:
            parts = urlsplit(self._base)
        except ValueError as exc:
            raise _Failed(AgentAnswer.BAD_ADDRESS, f"{self._base[:200]} is no URL") from exc
        if parts.scheme == "https":
            try:
                return self._agents.contexts.context(self._ca_bundle)
            except (OSError, ValueError) as exc:
                message = f"the TLS files for agents cannot be used: {_short(exc)}"
                raise _Failed(AgentAnswer.BAD_ADDRESS, message) from exc
        if parts.scheme == "http" and parts.hostname in _LOOPBACK:
            return True
        raise _Failed(
            AgentAnswer.BAD_ADDRESS,
            f"{self._base[:200]}: an agent on another machine needs https",
        )


async def _look(agent: _Agent, ask: Look) -> Observation:
    reply = await agent.get(protocol.INFO_NODE)
    try:
        node_id, node = protocol.read_node(reply.body)
    except Invalid as exc:
        raise _Failed(AgentAnswer.GARBAGE, f"info/node: {exc.path}: {exc.message}") from exc
    if node_id != ask.node.node_id:
        message = f"it says that it is node {node_id[:200]}"
        raise _Failed(AgentAnswer.WRONG_IDS, message)
    (attributes, store_error), (shards, shards_error) = await _inside(agent, ask, node)
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
        store_attributes=attributes,
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
    agent: _Agent, ask: Look, node: SeenNode
) -> tuple[
    tuple[dict[str, Any] | None, str | None], tuple[tuple[SeenShard, ...] | None, str | None]
]:
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


async def _store(agent: _Agent, ask: Look) -> tuple[dict[str, Any] | None, str | None]:
    """Raises _Failed for a store of another cluster; any other failure is a part of the answer."""
    try:
        reply = await agent.get(protocol.INFO_STORE)
        cluster_id, attributes = protocol.read_store(reply.body)
    except _Failed as exc:
        _raise_if_overtaken(exc)
        return None, str(exc)
    except Invalid as exc:
        return None, f"info/store: {exc.path}: {exc.message}"
    if cluster_id != ask.cluster_id:
        message = f"its store belongs to the cluster {cluster_id[:200]}"
        raise _Failed(AgentAnswer.WRONG_IDS, message)
    return attributes, None


async def _shards(agent: _Agent) -> tuple[tuple[SeenShard, ...] | None, str | None]:
    try:
        reply = await agent.get(protocol.INFO_SHARDS)
        return protocol.read_shards(reply.body), None
    except _Failed as exc:
        _raise_if_overtaken(exc)
        return None, str(exc)
    except Invalid as exc:
        return None, f"info/shards: {exc.path}: {exc.message}"


async def _ids(agent: _Agent, path: str) -> tuple[str, ...] | None:
    try:
        return protocol.read_ids((await agent.get(path)).body)
    except _Failed as exc:
        _raise_if_overtaken(exc)
    except Invalid:
        pass  # a list that cannot be read is a list that is not known
    return None


async def _actions(
    agent: _Agent, ids: Iterable[str]
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


async def _action(agent: _Agent, action_id: str) -> SeenAction | bool | None:
    """False: the agent says that it does not have it. None: it does not say."""
    try:
        reply = await agent.get(f"{protocol.ACTION}/{action_id}")
        if reply.status == 404:
            return False
        seen = protocol.read_action(reply.body)
    except _Failed as exc:
        _raise_if_overtaken(exc)
        return None
    except Invalid:
        return None
    return seen if seen.action_id == action_id else None


def _raise_if_overtaken(exc: _Failed) -> None:
    if exc.answer is AgentAnswer.STALE_EPOCH:
        raise exc


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > AGENT_ANSWER_BYTES_MAX:
            raise _Failed(
                AgentAnswer.GARBAGE, f"its answer is larger than {AGENT_ANSWER_BYTES_MAX} bytes"
            )
    return b"".join(chunks)


def _parsed(raw: bytes, status: int) -> Value:
    if not raw and status != 200:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as exc:
        if status != 200:
            return None
        raise _Failed(AgentAnswer.GARBAGE, "its answer is no JSON") from exc


def _error_text(body: Value) -> str:
    text = body.get("error_msg") if isinstance(body, dict) else None
    return text[:500] if isinstance(text, str) else "no reason given"


def _short(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:300]

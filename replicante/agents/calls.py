"""The calls of one look at an agent, or of one submission, over HTTP. Made by `client`.

Rules: plain HTTP is for agents on this machine only, and over https the agent's certificate names
the host of its address; each call carries the epoch and the cluster that it is for.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from replicante.agents import protocol
from replicante.client_tls import ClientContexts
from replicante.limits import AGENT_ANSWER_BYTES_MAX
from replicante.model.codec import Value
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import AgentAnswer

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Failed(Exception):
    """One call did not give what was asked for."""

    def __init__(self, answer: AgentAnswer, message: str) -> None:
        super().__init__(message)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    body: Value
    is_fenced: bool
    """The agent repeated the epoch of the call."""

    @property
    def error_text(self) -> str:
        text = self.body.get("error_msg") if isinstance(self.body, dict) else None
        return text[:500] if isinstance(text, str) else "no reason given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Which agent is asked, for which cluster, under which epoch."""

    node: DiscoveredNode
    cluster_id: str
    epoch: int
    ca_bundle: str | None


class AgentCalls:
    def __init__(
        self, whom: Whom, *, session: aiohttp.ClientSession, contexts: ClientContexts
    ) -> None:
        self._session = session
        self._contexts = contexts
        self._base = whom.node.agent_address.rstrip("/")
        self._epoch = str(whom.epoch)
        self._cluster = protocol.cluster_mark(whom.cluster_id)
        self._ca_bundle = whom.ca_bundle
        # Who answered, in that order.
        self.incarnations: dict[str, None] = {}
        self.boots: dict[str, None] = {}
        self.has_answered = False
        """Whatever it said, to any of the calls."""
        self._tls: ssl.SSLContext | bool | None = None

    async def get(self, path: str) -> Reply:
        """Raises Failed for anything but 200 and 404."""
        reply = await self.call("GET", path, None)
        if reply.status == protocol.MISDIRECTED_STATUS:
            raise Failed(AgentAnswer.WRONG_IDS, reply.error_text)
        if reply.status not in (200, 404):
            raise Failed(AgentAnswer.GARBAGE, f"status {reply.status}: {reply.error_text}")
        return reply

    async def call(self, method: str, path: str, body: Value, *, to: str | None = None) -> Reply:
        """to: the incarnation of the agent that alone may obey.
        Raises Failed when there is no answer that could be read."""
        headers = {protocol.EPOCH_HEADER: self._epoch, protocol.CLUSTER_HEADER: self._cluster}
        if to is not None:
            headers[protocol.INCARNATION_HEADER] = to
        try:
            async with self._session.request(
                method,
                f"{self._base}{path}",
                json=body,
                headers=headers,
                ssl=self._ssl(),
                allow_redirects=False,
            ) as response:
                self.has_answered = True
                raw = await _bounded(response)
                is_fenced = response.headers.get(protocol.EPOCH_HEADER) == self._epoch
                status = response.status
                self._keep_marks(response.headers)
        except aiohttp.ClientConnectorError as exc:
            is_refused = isinstance(exc.os_error, ConnectionRefusedError)
            answer = AgentAnswer.REFUSED if is_refused else AgentAnswer.UNREACHABLE
            raise Failed(answer, _short(exc)) from exc
        except aiohttp.InvalidURL as exc:
            raise Failed(AgentAnswer.BAD_ADDRESS, f"{self._base[:200]} is no URL") from exc
        except (aiohttp.ServerTimeoutError, TimeoutError):
            raise
        except (aiohttp.ClientConnectionError, OSError) as exc:
            raise Failed(AgentAnswer.UNREACHABLE, _short(exc)) from exc
        except aiohttp.ClientError as exc:
            raise Failed(AgentAnswer.GARBAGE, _short(exc)) from exc
        reply = Reply(status=status, body=_parsed(raw, status), is_fenced=is_fenced)
        if status == protocol.STALE_EPOCH_STATUS:
            message = f"it knows a greater epoch: {reply.error_text}"
            raise Failed(AgentAnswer.STALE_EPOCH, message)
        return reply

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
            raise Failed(AgentAnswer.BAD_ADDRESS, f"{self._base[:200]} is no URL") from exc
        if parts.scheme == "https":
            try:
                return self._contexts.context(self._ca_bundle)
            except (OSError, ValueError) as exc:
                message = f"the TLS files for agents cannot be used: {_short(exc)}"
                raise Failed(AgentAnswer.BAD_ADDRESS, message) from exc
        if parts.scheme == "http" and parts.hostname in _LOOPBACK:
            return True
        raise Failed(
            AgentAnswer.BAD_ADDRESS,
            f"{self._base[:200]}: an agent on another machine needs https",
        )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > AGENT_ANSWER_BYTES_MAX:
            raise Failed(
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
        raise Failed(AgentAnswer.GARBAGE, "its answer is no JSON") from exc


def _short(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:300]

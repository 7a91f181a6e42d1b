"""Makes one attempt of one call over HTTP, and says what came of it. Called by `calls`, `follow`.

Rule: an attempt never raises for what the network or a peer does; it returns a `Failure` that says
whether the request can have been carried out. Only cancellation passes through.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
import msgspec
import yarl

from replicante import errors, limits
from replicante.client.call import Call, Reply, whole_number
from replicante.client.retry import Failure, FailureKind
from replicante.wire import headers as names
from replicante.wire.durations import format_duration_ms
from replicante.wire.problems import Problem, error_of

ANSWER_GRACE_MS = 200
"""A peer is asked to give up this long before the client does, so that its reason arrives."""


class Transport:
    """Connections to all endpoints. Used on one event loop, between `open` and `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.CLIENT_CONNECTIONS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_no_hidden_repeat,),
            auto_decompress=True,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, call: Call, endpoint: str, *, budget_ms: int, after_index: int
    ) -> Reply | Failure:
        """One attempt, over before budget_ms. after_index: 0 for none."""
        query = list(call.query)
        if not call.is_local:
            budget = format_duration_ms(_peer_budget_ms(budget_ms - call.wait_ms))
            query.append((names.Q_TIMEOUT, budget))
        if after_index and not call.is_local and not call.is_write:
            query.append((names.Q_AFTER_INDEX, str(after_index)))
        connect_s = min(budget_ms, limits.CLIENT_CONNECT_MS_MAX) / 1000
        timeout = aiohttp.ClientTimeout(
            total=None, connect=budget_ms / 1000, sock_connect=connect_s
        )
        try:
            async with asyncio.timeout(budget_ms / 1000):
                async with self.session.request(
                    call.method,
                    url_of(endpoint, call.path, query),
                    data=_streamed(call.body),
                    headers=self._headers(call),
                    timeout=timeout,
                    allow_redirects=False,
                ) as response:
                    body = await _read_bounded(response)
                    return _interpret(endpoint, response, body)
        except (aiohttp.ClientError, AnswerLost, TimeoutError, OSError) as exc:
            return failure_of(exc, endpoint, budget_ms=budget_ms)

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            raise RuntimeError("The client is not open: use `async with Client(…) as client:`.")
        return self._session

    @staticmethod
    def _headers(call: Call) -> dict[str, str]:
        found = {"Accept": names.JSON, **call.headers}
        if call.body is not None:
            found.setdefault("Content-Type", names.JSON)
        if call.idempotency_key is not None:
            found[names.IDEMPOTENCY_KEY] = call.idempotency_key
        return found


def _streamed(body: bytes | None) -> bytes | io.BytesIO | None:
    """aiohttp warns of large bytes that are no stream, and where warnings are errors that would be
    told in place of the peer's refusal."""
    return body if body is None or len(body) <= limits.REQUEST_BYTES_MAX else io.BytesIO(body)


def url_of(endpoint: str, path: str, query: list[tuple[str, str]]) -> yarl.URL:
    """The path goes out as it is: a kv key may hold anything, dots and slashes too."""
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    return yarl.URL(f"{endpoint}{path}?{text}" if text else f"{endpoint}{path}", encoded=True)


def failure_of(
    exc: aiohttp.ClientError | AnswerLost | OSError, endpoint: str, *, budget_ms: int
) -> Failure:
    """What an exception of the HTTP library means for the request."""
    reason = _reason_of(exc, budget_ms)
    if isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        message = f"No connection to {endpoint}: {reason}."
        return Failure(
            kind=FailureKind.NOT_SENT,
            error=errors.Unreachable(message, endpoint=endpoint, reason=reason),
        )
    message = f"No answer from {endpoint}: {reason}."
    error = errors.OutcomeUnknown(message, endpoint=endpoint, reason=reason)
    return Failure(kind=FailureKind.NO_ANSWER, error=error)


def failure_of_answer(endpoint: str, status: int, found: Mapping[str, str], body: bytes) -> Failure:
    """What an answer other than 2xx means."""
    if found.get("Content-Type", "").split(";")[0].strip() == names.PROBLEM_JSON:
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            error = error_of(problem)
            error.details.setdefault("endpoint", endpoint)
            wait_s = whole_number(found.get(names.RETRY_AFTER, "")) or 0
            after_ms = wait_s * 1000 if status == errors.QueueFull.http_status else 0
            return Failure(kind=FailureKind.PROBLEM, error=error, retry_after_ms=after_ms)
    return bad_answer(endpoint, f"status {status} without a problem that can be read")


def bad_answer(endpoint: str, what: str) -> Failure:
    message = f"{endpoint} does not answer as a peer does: {what}."
    error = errors.BadAnswer(message, endpoint=endpoint)
    return Failure(kind=FailureKind.BAD_ANSWER, error=error)


class AnswerLost(Exception):
    """The connection broke after the request may have left."""


async def _no_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The HTTP library repeats PUT and DELETE by itself when a kept connection broke. A write
    without a key must not be repeated, so the library never learns that the connection broke."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise AnswerLost(_reason_of(exc, 0)) from exc


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """None when the body is larger than any answer of a peer."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limits.CLIENT_ANSWER_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _interpret(
    endpoint: str, response: aiohttp.ClientResponse, body: bytes | None
) -> Reply | Failure:
    if body is None:
        return bad_answer(endpoint, f"more than {limits.CLIENT_ANSWER_BYTES_MAX} bytes")
    if 200 <= response.status < 300:
        found = response.headers
        return Reply(endpoint=endpoint, status=response.status, headers=found, body=body)
    return failure_of_answer(endpoint, response.status, response.headers, body)


def _peer_budget_ms(budget_ms: int) -> int:
    return min(
        limits.REQUEST_DEADLINE_MS_MAX, max(1, budget_ms - min(ANSWER_GRACE_MS, budget_ms // 4))
    )


def _reason_of(exc: BaseException, budget_ms: int) -> str:
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the connection was closed"
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return "it took too long to connect"
    if isinstance(exc, TimeoutError):
        return f"nothing came within {budget_ms} ms"
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return "the name is not known"
    if isinstance(exc, OSError) and exc.errno and exc.errno > 0:
        return os.strerror(exc.errno).lower()
    return str(exc).strip() or type(exc).__name__

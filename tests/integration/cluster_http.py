"""Raw HTTP to one peer, without retries; every refusal is checked to keep the promises of
problem+json. Used by `cluster` and by the tests over real processes.
"""

from __future__ import annotations

import io
import json as json_text
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

REQUEST_SECONDS = 15
"""Longer than the deadline of any request here: a peer that takes it has hung."""


class NoAnswer(AssertionError):
    """The connection was refused, was lost, or stayed silent. was_sent: the peer may have read
    the request."""

    def __init__(self, detail: str, *, was_sent: bool) -> None:
        super().__init__(detail)
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self):
        return json_text.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json["code"] if self.status >= 400 else None

    @property
    def definite(self) -> bool:
        """Whether it is certain what happened: an acknowledgement, or a refusal that says so."""
        return self.status < 400 or self.json["definite"]

    @property
    def index(self) -> int:
        return int(self.headers["Replicante-Index"])


class Http:
    """Use as `async with Http() as http`."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            middlewares=(_no_hidden_repeat,),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        url: str,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> Answer:
        """Raises NoAnswer. Asserts that a refusal is a whole problem."""
        if json is not None:
            body = json_text.dumps(json).encode()
        kinds = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                URL(f"{url}{path}", encoded=True),
                data=None if body is None else io.BytesIO(body),
                headers=kinds | dict(headers or {}),
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                read = await response.read()
                answer = Answer(status=response.status, headers=response.headers, body=read)
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer(f"{method} {url}{path}: {error}", was_sent=False) from error
        except (aiohttp.ClientError, _Lost, TimeoutError) as error:
            detail = f"{method} {url}{path}: {type(error).__name__} {error}"
            raise NoAnswer(detail, was_sent=True) from error
        if answer.status >= 400:
            check_problem(answer)
        return answer


class _Lost(Exception):
    """A kept connection broke."""


async def _no_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The HTTP library repeats what it holds for harmless when a kept connection broke, unless
    it does not learn that: a hidden repeat is what the tests are to find in others."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost(str(error)) from error


def check_problem(answer: Answer) -> None:
    """What every refusal promises, whatever its reason."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer
    body = answer.json
    assert body["status"] == answer.status, body
    assert isinstance(body["definite"], bool), body
    assert body["code"] and body["title"] and body["detail"], body
    assert body["type"] == f"urn:replicante:problem:{body['code']}", body
    assert body["code"] != "internal", body
    if answer.status == 504:
        assert body["outcome"] == "unknown", body
        assert not body["definite"], body
    else:
        assert body["definite"], body
    assert b"Traceback" not in answer.body

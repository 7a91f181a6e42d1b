"""Reads request bodies: within the size, the time and the memory that one request may use.

Called by `call.Call`. Parsing and checking of large bodies happens on one thread, so that a
hostile megabyte of tiny values never holds the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from aiohttp import http_exceptions, web

from replicante import errors
from replicante.api.strict_parse import join_path
from replicante.limits import (
    HTTP_BODY_BYTES_INFLIGHT_MAX,
    HTTP_BODY_INLINE_BYTES_MAX,
    REQUEST_BYTES_MAX,
)
from replicante.wire.values import Json

T = TypeVar("T")

_AT = re.compile(r"^(?P<message>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")


class Bodies:
    """One a server. `held_bytes` counts the bodies of all requests in flight."""

    def __init__(self, *, read_ms_max: int) -> None:
        self.held_bytes = 0
        self._read_ms_max = read_ms_max
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="api-bodies")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def read(self, request: web.BaseRequest) -> bytes:
        """The whole body. The caller gives `len(body)` back with `release` when it is done.

        Raises BodyTooLarge, TooManyRequests, BodyTimeout, MalformedHttp; nothing is held then.
        """
        announced = request.content_length
        if announced is not None and announced > REQUEST_BYTES_MAX:
            raise _too_large()
        await _welcome_body(request)
        chunks: list[bytes] = []
        try:
            if request.content.is_eof():
                # The usual case: a small body came with its head, and nothing is waited for.
                await self._collect(request, chunks)
            else:
                async with asyncio.timeout(self._read_ms_max / 1_000):
                    await self._collect(request, chunks)
        except BaseException as exc:
            self.held_bytes -= sum(map(len, chunks))
            translated = _translated(exc)
            if translated is None:
                raise
            raise translated from exc
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _collect(self, request: web.BaseRequest, chunks: list[bytes]) -> None:
        size = 0
        while chunk := await request.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            self.held_bytes += len(chunk)
            if size > REQUEST_BYTES_MAX:
                raise _too_large()
            if self.held_bytes > HTTP_BODY_BYTES_INFLIGHT_MAX:
                raise errors.TooManyRequests(
                    "This peer holds too many request bodies; retry in a moment."
                )

    def release(self, size: int) -> None:
        self.held_bytes -= size
        assert self.held_bytes >= 0, "a body is given back once"

    async def work(self, body: bytes, function: Callable[[bytes], T]) -> T:
        """`function(body)`, on the loop when the body is small, else on the thread. The function
        is pure."""
        if len(body) <= HTTP_BODY_INLINE_BYTES_MAX:
            return function(body)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, body)


def to_request(value: Json, kind: type[T]) -> T:
    """A parsed body as the struct that the path takes.

    Raises Invalid with the path of the first field that is unknown, missing or of a wrong type.
    """
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as exc:
        raise _invalid(str(exc)) from None


def _invalid(text: str) -> errors.Invalid:
    """msgspec's sentence, with our form of the path."""
    match = _AT.match(text)
    assert match is not None, "the pattern matches every text"
    message, path = match["message"], (match["path"] or "").removeprefix(".")
    field = _FIELD.search(message)
    if field is not None:
        path = join_path(path, field["name"])
    return errors.Invalid(f"{message.replace('`', '')}.", path=path)


async def _welcome_body(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`, without which curl waits a second before larger bodies."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What went out is not part of the answer.
        request.writer.output_size = 0


def _translated(exc: BaseException) -> errors.RequestError | None:
    """None for what is raised as it is."""
    if isinstance(exc, TimeoutError):
        return errors.BodyTimeout()
    if isinstance(exc, web.RequestPayloadError | http_exceptions.HttpProcessingError):
        return errors.MalformedHttp("The body is broken: its length or encoding does not fit.")
    return None


def _too_large() -> errors.BodyTooLarge:
    return errors.BodyTooLarge(
        f"The body is larger than {REQUEST_BYTES_MAX} bytes.", limit=REQUEST_BYTES_MAX
    )

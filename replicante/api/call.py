"""One request as a handler sees it, and what a handler answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.negotiate import Media, body_media
from replicante.api.routing import Route
from replicante.wire.headers import Consistency

if TYPE_CHECKING:
    from aiohttp import web

    from replicante.api.bodies import Bodies


_OBJECT_NAME = re.compile(limits.NAME_PATTERN)


@dataclass(slots=True, kw_only=True)
class Call:
    """Mutable only in what it holds of memory."""

    request: web.BaseRequest
    request_id: str
    route: Route
    arguments: Mapping[str, str]
    """From the path, percent-decoded once."""
    query: Mapping[str, str]
    media: Media
    """What the answer is to be written in."""
    held_bytes: int = 0
    """Given back by `dispatch` when the request is over."""
    seen_as: Consistency | None = None
    """How the tables were read for it, once they were: also what was not there was seen so."""

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    def name(self, argument: str) -> str:
        """A part of the path that names something. Raises Invalid beyond 1 to 128 bytes."""
        name = self.arguments[argument]
        size = len(name.encode())
        if not 1 <= size <= limits.NAME_BYTES_MAX:
            raise errors.Invalid(
                f"A name is 1 to {limits.NAME_BYTES_MAX} bytes, not {size}.",
                path=argument,
                limit=limits.NAME_BYTES_MAX,
            )
        return name

    def object_name(self, argument: str) -> str:
        """A part of the path that names an object, as NAME_PATTERN. Raises Invalid."""
        name = self.arguments[argument]
        if not _OBJECT_NAME.fullmatch(name):
            raise errors.Invalid(
                "A name is 1 to 128 of A-Z a-z 0-9 . _ - and begins and ends with a letter or "
                "digit.",
                path=argument,
                limit=limits.NAME_BYTES_MAX,
            )
        return name

    async def body(self, bodies: Bodies) -> tuple[bytes, Media]:
        """The raw body and its format. Raises UnsupportedMedia, and as `Bodies.read`."""
        media = body_media(self.request.headers.get("Content-Type"))
        body = await bodies.read(self.request)
        self.held_bytes += len(body)
        return body, media


@dataclass(slots=True, kw_only=True)
class Reply:
    """status and a wire struct (or a map of plain values). Headers about the peer are added by
    `answers`."""

    status: int = 200
    body: object = None
    index: int | None = None
    """Of what was read or written; None: whatever this peer has applied."""
    staleness_ms: int | None = None
    """When consistency is given: the age at the moment of the reading."""
    consistency: Consistency | None = None
    """How it was read; None: without reading the tables, or by writing."""
    is_write: bool = False
    revision: str | None = None
    """Of the one thing that the answer shows."""
    is_replayed: bool = False
    raw: bytes | None = None
    """A ready body instead of `body`, of the type `content_type`."""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

"""Chooses the format of an answer and checks the format of a body. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from replicante import errors
from replicante.wire import headers


class Media(enum.Enum):
    """What the API speaks; value: the content type that it sends."""

    JSON = headers.JSON
    MSGPACK = headers.MSGPACK
    NDJSON = headers.NDJSON
    EVENT_STREAM = headers.EVENT_STREAM


_BY_TYPE = {
    headers.JSON: Media.JSON,
    headers.PROBLEM_JSON: Media.JSON,
    headers.NDJSON: Media.NDJSON,
    headers.EVENT_STREAM: Media.EVENT_STREAM,
    **dict.fromkeys(headers.MSGPACK_ALIASES, Media.MSGPACK),
}

PLAIN = (Media.JSON, Media.MSGPACK)
STREAMING = (Media.JSON, Media.MSGPACK, Media.NDJSON, Media.EVENT_STREAM)


def choose_media(accept: str | None, *, offered: Sequence[Media] = PLAIN) -> Media:
    """The offered format that the caller likes best; the first offered for `*/*` or nothing.

    Raises NotAcceptable when none fits.
    """
    if not accept or accept == "*/*":
        return offered[0]
    simple = _BY_TYPE.get(accept)
    if simple is not None and simple in offered:
        return simple
    best: Media | None = None
    best_rank = 0.0
    for media in offered:
        rank = max((_quality(part, media) for part in accept.split(",")), default=0.0)
        if rank > best_rank:
            best, best_rank = media, rank
    if best is None:
        offers = ", ".join(media.value for media in offered)
        raise errors.NotAcceptable(f"Accept is {accept[:200]!r}; offered here: {offers}.")
    return best


def body_media(content_type: str | None) -> Media:
    """JSON or msgpack. Raises UnsupportedMedia for anything else, also for nothing: a web form
    of a foreign page has a type of its own."""
    name = (content_type or "").partition(";")[0].strip().lower()
    media = _BY_TYPE.get(name)
    if media is not None and media in PLAIN and name != headers.PROBLEM_JSON:
        return media
    shown = f"is {content_type[:100]!r}" if content_type else "is missing"
    raise errors.UnsupportedMedia(
        f"Content-Type {shown}; send application/json or application/msgpack.",
        hints=("curl -H 'Content-Type: application/json' …",),
    )


def _quality(part: str, media: Media) -> float:
    """0 when the part does not speak of the media type; an exact name beats a wildcard."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    if _BY_TYPE.get(name) is media:
        exactness = 0.0
    elif name == "*/*":
        exactness = 0.002
    elif name.endswith("/*") and media.value.startswith(name[:-1]):
        exactness = 0.001
    else:
        return 0.0
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return 0.0
    return max(0.0, quality - exactness)

"""Cursors of lists: opaque to callers, checked when they come back. Pure."""

from __future__ import annotations

import base64
import binascii

import msgpack

from replicante import errors
from replicante.wire import headers

Position = bytes | tuple[str, ...]
"""Last key of a kv page, or last scope of an object page."""

_CURSOR_CHARS_MAX = 1_024


def write_cursor(kind: str, position: Position) -> str:
    """kind: which list it belongs to, so that a cursor of another one is refused."""
    packed: bytes = msgpack.packb([kind, position])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_key_cursor(kind: str, text: str | None) -> bytes | None:
    """Raises Invalid for a cursor that this list did not give."""
    position = _read(kind, text)
    if position is not None and not isinstance(position, bytes):
        raise _refusal()
    return position


def read_scope_cursor(kind: str, text: str | None, *, names_count: int) -> tuple[str, ...] | None:
    """Raises Invalid for a cursor that this list did not give."""
    position = _read(kind, text)
    if position is None:
        return None
    if isinstance(position, bytes) or len(position) != names_count:
        raise _refusal()
    return position


def _read(kind: str, text: str | None) -> Position | None:
    if text is None:
        return None
    if len(text) > _CURSOR_CHARS_MAX or not text.isascii():
        raise _refusal()
    padded = text + "=" * (-len(text) % 4)
    try:
        found = msgpack.unpackb(base64.b64decode(padded, altchars=b"-_", validate=True))
        found_kind, position = found
    except (binascii.Error, ValueError, TypeError, msgpack.UnpackException):
        raise _refusal() from None
    if found_kind != kind:
        raise _refusal()
    if isinstance(position, bytes):
        return position
    if isinstance(position, list) and all(isinstance(name, str) for name in position):
        return tuple(position)
    raise _refusal()


def _refusal() -> errors.Invalid:
    return errors.Invalid(
        "This is no cursor of this list; send `next` of its last page.",
        path=f"?{headers.Q_CURSOR}",
    )

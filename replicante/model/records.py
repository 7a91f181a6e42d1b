"""Decides how the records of this room become values and bytes, and back. Pure.

Called by `state` (rows), `agents` (answers, once translated), `api` and `orchestrate`. A record is
kept by us, not declared by a user: its first fault is enough to refuse it.

Unknown fields are ignored, absent ones take their defaults: a record written by a newer peer of the
same feature level, or an answer of a newer agent, is still read.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

import msgspec

from replicante.errors import Invalid
from replicante.model.codec import Value, decode_value, encode_value

_FAULT_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen noun; every field is a value, an enum, or another record."""

    later: ClassVar[tuple[str, ...]] = ()
    """Fields that came after rows without them: left out while they hold nothing, so that what was
    recorded before them keeps its bytes."""

    def to_value(self) -> dict[str, Value]:
        value: dict[str, Value] = msgspec.to_builtins(self)
        for name in self.later:
            if not value[name]:
                del value[name]
        return value

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """Raises Invalid with the path of the first fault."""
        try:
            return msgspec.convert(value, cls)
        except msgspec.ValidationError as exc:
            text = str(exc)
            found = _FAULT_PATH.search(text)
            message = text if found is None else text[: found.start()]
            raise Invalid(message, path="" if found is None else found["path"]) from exc

    def encode(self) -> bytes:
        """Canonical bytes: equal records have equal bytes.  Raises Invalid."""
        return encode_value(self.to_value())

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Raises Invalid."""
        return cls.from_value(decode_value(encoded))

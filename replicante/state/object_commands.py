"""What can be done with a declared object, as values, and their fields in a packed command. Pure.

Part of `commands`, which knows the tags.
"""

from __future__ import annotations

from typing import Any

import msgspec

from replicante.model.objects import ObjectKind
from replicante.state.expect import Expect, pack_expect, unpack_expect


class PutObject(msgspec.Struct, frozen=True):
    """Creates or replaces one object. A replacement by the same content changes nothing: no
    revision, no event, Applied with is_changed False. Rejected unknown_scope when its namespace is
    not there."""

    kind: ObjectKind
    scope: tuple[str, ...]
    """Names from the namespace downwards; for a Namespace just its own name."""
    spec: bytes
    """Canonical bytes of the normalised spec (`model.objects.Declaration.spec`)."""
    finalisers: tuple[str, ...] = ()
    """Sorted names. While one is left, a deletion stays in Deleting."""
    expect: Expect | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""


class DeleteObject(msgspec.Struct, frozen=True):
    """Asks for the end of one object: it moves to Deleting, and in the same write it is removed
    when nothing holds it. On an object that is Deleting already it changes nothing."""

    kind: ObjectKind
    scope: tuple[str, ...]
    expect: Expect | None = None


ObjectCommand = PutObject | DeleteObject


def pack_object_fields(command: ObjectCommand) -> list[Any]:
    match command:
        case PutObject(kind, scope, spec, finalisers, expect, labels):
            packed = [int(kind), list(scope), spec, list(finalisers), pack_expect(expect)]
            return [*packed, [list(pair) for pair in labels]] if labels else packed
        case DeleteObject(kind, scope, expect):
            return [int(kind), list(scope), pack_expect(expect)]


def unpack_put(packed: list[Any]) -> PutObject:
    _, kind, scope, spec, finalisers, expect, *more = packed
    if type(spec) is not bytes:
        raise TypeError("a spec is bytes")
    labels: tuple[tuple[str, str], ...] = ()
    if more:
        (pairs,) = more
        labels = tuple(_unpack_label(pair) for pair in pairs)
    return PutObject(
        ObjectKind(kind),
        unpack_names(scope),
        spec,
        unpack_names(finalisers),
        unpack_expect(expect),
        labels,
    )


def unpack_delete(packed: list[Any]) -> DeleteObject:
    _, kind, scope, expect = packed
    return DeleteObject(ObjectKind(kind), unpack_names(scope), unpack_expect(expect))


def unpack_names(names: Any) -> tuple[str, ...]:
    """Raises TypeError for anything but a list of text."""
    if type(names) is not list or not all(type(name) is str for name in names):
        raise TypeError("names are a list of text")
    return tuple(names)


def _unpack_label(pair: Any) -> tuple[str, str]:
    name, value = unpack_names(pair)
    return name, value

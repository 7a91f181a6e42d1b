"""The vocabulary of wire structs: plain values, and the bases of requests and answers. Pure."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from replicante.wire.shapes import VALUE, documented

Json: TypeAlias = Annotated[Any, documented({"$ref": f"#/components/schemas/{VALUE}"})]
"""None, bool, int of 64 bits, finite float, str, or list and dict (text keys) of these.

The one place where the wire says Any: user values have no shape of ours."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer answers. Decoders ignore fields that they do not know."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user sends. An unknown field is an error that names it."""

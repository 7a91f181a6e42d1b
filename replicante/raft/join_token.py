"""What a new peer shows to become a learner: one text, made by a member (ADR 0022). Pure.

It names the cluster and the peer, and holds a secret of which the cluster keeps the digest; a
peer that was invited once is let in once. Called by peer, neighbours and the command line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from replicante import limits
from replicante.errors import InvalidConfig

_PREFIX = "rj1-"
"""Another layout is another prefix."""


class JoinToken(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    cluster_name: str
    cluster_id: str
    peer_id: str
    secret: str
    """32 hex digits."""
    authorities: tuple[str, ...] = ()
    """sha256 in hex of the public keys of the authorities that the cluster believes: two, while
    one follows the other; none where peers speak plain TCP."""
    generation: int = 0
    lineage: str = ""
    """Which of the histories that begin with this cluster's birth; see `LogHeader`."""

    @property
    def digest(self) -> str:
        return digest_of(self.secret)


def digest_of(secret: str) -> str:
    return hashlib.blake2b(secret.encode(), digest_size=16).hexdigest()


def encode_token(token: JoinToken) -> str:
    body = base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode()
    return _PREFIX + body.rstrip("=")


def decode_token(text: str) -> JoinToken:
    """Raises InvalidConfig."""
    body = text.strip()
    if not body.startswith(_PREFIX) or len(body) > limits.JOIN_TOKEN_BYTES_MAX:
        raise InvalidConfig("this is no join token", hints=("replicante raft token ID makes one",))
    body = body.removeprefix(_PREFIX)
    try:
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return _decoder.decode(packed)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidConfig(
            "this join token is damaged",
            hints=("copy it whole: it is one word", "replicante raft token ID makes another"),
        ) from error


_decoder = msgspec.msgpack.Decoder(JoinToken)

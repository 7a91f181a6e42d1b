"""Names for the numbers and identities that cross rooms, and the arithmetic of stamps. Pure.

Index = generation·2^40 + position. Stamp = index·2^16 + ordinal, a 63-bit integer, in JSON a
decimal string of 19 digits, so that text order and numeric order agree (ADR 0006). Revision,
fencing token, event id and job id are stamps; an index alone is never one.
"""

from __future__ import annotations

from typing import NewType

PeerId = NewType("PeerId", str)
"""The operator's name of a peer, as `p1`; PEER_ID_PATTERN in limits/requests.py."""
Incarnation = NewType("Incarnation", str)
"""32 hex digits, minted once by a data directory; a voter is (peer id, incarnation) (ADR
0012)."""
ClusterId = NewType("ClusterId", str)
"""32 hex digits: the hash of the genesis entry."""
Index = NewType("Index", int)
"""Place in the log: generation·2^40 + position, position from 1."""
Term = NewType("Term", int)
Stamp = NewType("Stamp", int)

POSITION_BITS = 40
ORDINAL_BITS = 16
ORDINAL_MAX = (1 << ORDINAL_BITS) - 1
GENERATION_MAX = (1 << (63 - ORDINAL_BITS - POSITION_BITS)) - 1
STAMP_DIGITS = 19
STAMP_MAX = (1 << 63) - 1


def cluster_uri(cluster_name: str) -> str:
    """How the certificate of an authority names its cluster (ADR 0017)."""
    return f"replicante://{cluster_name}"


def peer_uri(cluster_name: str, peer_id: str) -> str:
    """How a certificate names a peer: a URI among its subject alternative names (ADR 0017)."""
    return f"{cluster_uri(cluster_name)}/{peer_id}"


def make_index(generation: int, position: int) -> Index:
    assert 0 <= generation <= GENERATION_MAX
    assert 0 <= position < 1 << POSITION_BITS
    return Index(generation << POSITION_BITS | position)


def generation_of(index: int) -> int:
    return index >> POSITION_BITS


def position_of(index: int) -> int:
    return index & ((1 << POSITION_BITS) - 1)


def make_stamp(index: int, ordinal: int) -> Stamp:
    assert 0 <= ordinal <= ORDINAL_MAX
    return Stamp(index << ORDINAL_BITS | ordinal)


def stamp_index(stamp: int) -> Index:
    return Index(stamp >> ORDINAL_BITS)


def stamp_ordinal(stamp: int) -> int:
    return stamp & ORDINAL_MAX


def format_stamp(stamp: int) -> str:
    return f"{stamp:019d}"


def parse_stamp(text: str) -> Stamp | None:
    """None when the text is not a stamp: 1 to 19 ASCII digits, at most 2^63 − 1."""
    if not 1 <= len(text) <= STAMP_DIGITS or not text.isascii() or not text.isdigit():
        return None
    value = int(text)
    return Stamp(value) if value <= STAMP_MAX else None

"""Decides what a digest of the state is: the sum of the hashes of its rows. Pure.

`row_hash` is given to the store, which keeps the sum up to date while it flushes (on its own
thread, from rows as stored, never from commands); `digest_rows` computes the same from scratch.
Two peers with the same digest at the same index hold the same rows. A sum needs no order, so it
can be kept row by row. It finds accidents (a bug, a bad disk), whose chance to collide in 128 bits
is nil; it is no signature against somebody who computes colliding rows.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from replicante.limits import ROW_KEY_BYTES_MAX
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.kv import DIGEST_BITS, Reader

_HASH_BYTES: Final = DIGEST_BITS // 8
_LENGTHS: Final = tuple(size.to_bytes(2, "big") for size in range(ROW_KEY_BYTES_MAX + 1))


def row_hash(key: bytes, value: bytes) -> int:
    """One row as a number of DIGEST_BITS bits. The key's length separates key and value."""
    digest = blake2b(_LENGTHS[len(key)] + key + value, digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big")


def digest_rows(reader: Reader) -> int:
    """The digest of everything that the reader shows; reads every row."""
    total = sum(row_hash(key, value) for key, value in reader.scan(b"", ABOVE_ALL_KEYS))
    return total % (1 << DIGEST_BITS)


def format_digest(digest: int) -> str:
    """32 hex digits."""
    return f"{digest:032x}"

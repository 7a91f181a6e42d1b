"""The digest by which a copy of the state is known whole: stored, sent or backed up. Pure."""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 16


def new_digest(data: bytes | memoryview = b"") -> hashlib.blake2b:
    """Of `data` and of what it is updated with."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)

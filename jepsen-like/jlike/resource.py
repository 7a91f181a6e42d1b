"""What a lease guards outside of the cluster, as any store that knows fencing tokens would be.

Used by `jlike.workload.lock`. It asks nobody who holds the lease: it refuses a token that is lower
than one that it has seen, and that must be enough. It keeps what it knows in this process, out of
reach of every fault.
"""

from __future__ import annotations


class Resource:
    def __init__(self) -> None:
        self._greatest: dict[str, str] = {}

    def write(self, name: str, *, token: str) -> bool:
        """Whether it was taken. Tokens are stamps of one length, so they compare as text."""
        if token < self._greatest.get(name, ""):
            return False
        self._greatest[name] = token
        return True

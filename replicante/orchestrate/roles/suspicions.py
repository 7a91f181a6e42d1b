"""What is suspected of the primary of a shard, by the keys of a cluster's memory. Pure.

Called by `primaries`, `candidates`, and the files of `memory` that count looks.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicante.model.converge_state import Suspicion


def suspicion_key(shard_id: str) -> str:
    """Since when no primary was seen."""
    return f"primary-gone:{shard_id}"


def demotion_key(shard_id: str) -> str:
    """Since when none was seen and the last one says, or said, that it is none."""
    return f"primary-demoted:{shard_id}"


def heard_key(shard_id: str, whom: str | None = None) -> str:
    """In how many looks copies heard another one in its place; of one: in how many they did not
    since they did. The name of a shard may hold any character."""
    key = f"primary-elsewhere:{len(shard_id)}:{shard_id}"
    return key if whom is None else f"{key}:{whom}"


def without(suspicions: Mapping[str, Suspicion], shard_id: str) -> dict[str, Suspicion]:
    """Those that are left when another one is the primary of a shard: none of the former one."""
    of_former = (suspicion_key(shard_id), demotion_key(shard_id))
    return {
        key: it
        for key, it in suspicions.items()
        if key not in of_former and not key.startswith(heard_key(shard_id))
    }


def next_look(before: Suspicion | None, now_ms: int) -> Suspicion:
    """After one more look that says so."""
    if before is None:
        return Suspicion(since_ms=now_ms, count=1, last_ms=now_ms)
    if before.last_ms == now_ms:
        # The same cycle again, after a crash: one look counts once.
        return before
    return Suspicion(since_ms=before.since_ms, count=before.count + 1, last_ms=now_ms)

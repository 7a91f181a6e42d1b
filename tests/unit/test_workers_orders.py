"""Calls of a platform that convergence wished, by workers over a whole state."""

from __future__ import annotations

from work_bench import WorkBench

from replicante.platforms.client import PlatformSays
from replicante.testing.builders import cluster_document, put_object


def declare(bench: WorkBench, mode: str) -> None:
    nodes = {"data": {"desired_count": 1, "node_class": "small"}}
    definition = {"store": "redis", "store_version": "6.2", "nodes": nodes}
    spec = {"interval": "10s", "mode": mode, "platform": {"name": "p"}}
    document = cluster_document("r", spec={**spec, "declaration": {"definition": definition}})
    bench.lone.do(put_object(document))


async def test_a_call_that_failed_is_not_repeated_while_the_cluster_is_only_observed():
    bench = WorkBench()
    asked: list[str] = []

    async def carry_out(platform, call) -> PlatformSays:
        asked.append(call.action_id)
        return PlatformSays(failure="no room" if len(asked) == 1 else None, value={"count": 1})

    bench.platform.carry_out = carry_out
    declare(bench, "active")
    await bench.turns(1)
    assert len(asked) == 1
    declare(bench, "observe")
    await bench.turns(4)
    assert len(asked) == 1
    declare(bench, "active")
    await bench.turns(4)
    assert asked == [asked[0]] * 2

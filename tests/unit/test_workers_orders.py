"""Calls of a platform that convergence wished, by workers over a whole state."""

from __future__ import annotations

import msgspec
from work_bench import WorkBench

from replicante.model.codec import encode_value
from replicante.model.decision import Ruling
from replicante.model.objects import read_declaration
from replicante.platforms.client import PlatformSays
from replicante.testing.builders import (
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)


def document_of(mode: str):
    nodes = {"data": {"desired_count": 1, "node_class": "small"}}
    definition = {"store": "redis", "store_version": "6.2", "nodes": nodes}
    spec = {"interval": "10s", "mode": mode, "platform": {"name": "p"}}
    return cluster_document("r", spec={**spec, "declaration": {"definition": definition}})


def declare(bench: WorkBench, mode: str) -> None:
    bench.lone.do(put_object(document_of(mode)))


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


async def test_a_platform_that_promises_no_node_has_failed():
    bench = WorkBench()
    asked: list[str] = []

    async def carry_out(platform, call) -> PlatformSays:
        asked.append(call.action_id)
        return PlatformSays(value={"count": 0})

    bench.platform.carry_out = carry_out
    declare(bench, "active")
    await bench.turns(1)
    (order,) = bench.records().oactions
    assert (order.payload["requested"], order.payload["attempts"]) == (False, 1)
    assert "count" in order.payload["last_error"]


async def test_a_cluster_stored_with_a_platform_elsewhere_is_watched_and_orders_nothing():
    """Nodes that come from there would be filed under another namespace."""
    bench = WorkBench()
    bench.lone.do(put_namespace("shop"))
    bench.lone.do(put_object(platform_document("p", ns="shop")))
    document = document_of("active")
    spec = {**read_declaration(document).spec, "platform": {"ns_id": "shop", "name": "p"}}
    command = msgspec.structs.replace(put_object(document), spec=encode_value(spec))
    bench.lone.do(command)
    await bench.turns(2)
    assert bench.platform.calls == []
    assert bench.records().report.is_success
    (proposal,) = bench.decision().proposals
    denied = {it.rule for it in proposal.verdicts if it.ruling is Ruling.DENY}
    assert denied == {"platform_usable"}

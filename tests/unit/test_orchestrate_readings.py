"""Readings of a store are kept with every look and are no news."""

from __future__ import annotations

import msgspec
from orchestrate_builders import replicated

from replicante.model.change import ChangeCode, RecordKind
from replicante.model.node import StoreExtras
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Offset


def look(world, **fields):
    """n1 tells these fields of its store."""
    first, *rest = world.inputs().observations
    return world.cycle(observations=(msgspec.structs.replace(first, **fields), *rest))


def changes(result) -> list[str | None]:
    return [it.code for it in result.changes if it.kind is RecordKind.STORE_EXTRAS]


def extras(world) -> StoreExtras:
    return next(it for it in world.of(RecordKind.STORE_EXTRAS) if it.node_id == "n1")


def test_a_reading_that_moves_is_kept_without_an_event():
    world = replicated()
    look(world, store_attributes={"a/b": 1}, store_readings={"used": 1})
    moved = look(world, store_attributes={"a/b": 1}, store_readings={"used": 2})
    assert changes(moved) == [None]
    assert extras(world).readings == {"used": 2}
    settled = look(world, store_attributes={"a/b": 2}, store_readings={"used": 2})
    assert changes(settled) == [ChangeCode.STORE_EXTRAS_SYNC_UPDATE]


def test_the_last_readings_stay_when_the_store_cannot_be_asked():
    world = replicated()
    look(world, store_readings={"used": 1})
    result = look(world, answer=AgentAnswer.TIMEOUT, node=None, store_attributes=None)
    assert changes(result) == [ChangeCode.STORE_EXTRAS_SYNC_UPDATE]
    assert (extras(world).readings, extras(world).is_fresh) == ({"used": 1}, False)


def test_extras_without_readings_have_the_bytes_of_before():
    names = {"ns_id": "default", "cluster_id": "r", "node_id": "n1"}
    assert "readings" not in StoreExtras(**names).to_value()
    told = StoreExtras(**names, readings={"used": 1})
    assert StoreExtras.decode(told.encode()) == told


def test_a_decision_says_how_far_a_copy_is_behind():
    world = replicated()
    first, second, *rest = world.inputs().observations
    (copy,) = second.shards
    copy = msgspec.structs.replace(copy, lag=Offset(value=12, unit="bytes"))
    second = msgspec.structs.replace(second, shards=(copy,))
    result = world.cycle(observations=(first, second, *rest))
    assert "12 bytes behind" in result.decision.seen[1].roles[0]

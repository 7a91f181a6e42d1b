from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import replicante.telemetry.metrics as declared
from replicante.raft.status import Role
from replicante.telemetry.logs import silent_logger
from replicante.telemetry.loop_lag import watch_loop_lag
from replicante.telemetry.metrics import METRICS, Metrics, MetricType, QueueFigures, snake_case
from replicante.testing.fake_peer import FakePeer


def scraped(metrics: Metrics) -> dict:
    families = text_string_to_metric_families(metrics.render().decode())
    return {family.name: family for family in families}


def test_every_declared_metric_is_listed_once_and_named_alike():
    specs = [one for one in vars(declared).values() if isinstance(one, declared.MetricSpec)]
    assert len(specs) == len(METRICS) == len({spec.name for spec in METRICS})
    for spec in METRICS:
        assert spec.name.startswith("replicante_")
        assert spec.name.endswith("_total") == (spec.type is MetricType.COUNTER)
        assert spec.help.endswith(".")


def test_what_is_scraped_is_what_is_declared():
    metrics = Metrics(peer_id="p1", version="1")
    metrics.sample_status(FakePeer().status)
    metrics.sample_sizes(lambda: {"state_bytes": 5.0})
    figures = QueueFigures(
        moves={("q", "acked"): 3}, jobs={}, oldest_age_ms={"q": 1_500}, left_out={"age": 2}
    )
    metrics.sample_queues(lambda: figures)
    found = {name for name in scraped(metrics) if name.startswith("replicante_")}
    expected = {spec.name.removesuffix("_total") for spec in METRICS}
    assert found == expected


def test_gauges_about_raft_are_read_when_somebody_scrapes():
    peer = FakePeer()
    metrics = Metrics(peer_id="p1", version="1")
    metrics.sample_status(peer.status)
    value = metrics.registry.get_sample_value
    assert value("replicante_raft_role", {"role": "leader"}) == 1
    assert value("replicante_raft_staleness_seconds") == 0.003
    peer.staleness = None
    peer.base_status = replace(peer.base_status, role=Role.FOLLOWER, term=7)
    assert value("replicante_raft_role", {"role": "leader"}) == 0
    assert value("replicante_raft_role", {"role": "follower"}) == 1
    assert value("replicante_raft_term") == 7
    assert value("replicante_raft_staleness_seconds") == float("inf")


def test_two_peers_fit_into_one_process():
    one, two = Metrics(peer_id="p1", version="1"), Metrics(peer_id="p2", version="1")
    one.writes.labels("applied").inc()
    assert two.registry.get_sample_value("replicante_writes_total", {"result": "applied"}) is None


@dataclass
class LeaderChanged:
    term: int


def test_observations_are_counted_by_name():
    metrics = Metrics(peer_id="p1", version="1")
    metrics.observed(LeaderChanged(1))
    metrics.observed(LeaderChanged(2))
    name = "replicante_raft_observations_total"
    assert metrics.registry.get_sample_value(name, {"kind": "leader_changed"}) == 2


def test_names_of_types_become_labels():
    assert snake_case("LeaderChanged") == "leader_changed"
    assert snake_case("Tick") == "tick"


async def test_a_slice_that_holds_the_loop_is_measured():
    metrics = Metrics(peer_id="p1", version="1")
    watch = asyncio.create_task(watch_loop_lag(metrics=metrics, log=silent_logger()))
    count = "replicante_loop_lag_seconds_count"
    async with asyncio.timeout(20):
        while not metrics.registry.get_sample_value(count):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


def test_no_other_file_makes_metrics():
    root = Path(declared.__file__).parents[1]
    for path in root.rglob("*.py"):
        if path.name == "metrics.py":
            continue
        # At the top of the module: names for types stand in a block of their own.
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("prometheus_client"), path

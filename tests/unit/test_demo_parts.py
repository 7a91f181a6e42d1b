"""The parts of the demo: what it declares, where it stands, what its client and its tail note."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from replicante.demo.ground import Ground
from replicante.demo.lookups import Copy, copies
from replicante.demo.plan import documents
from replicante.demo.sightings import Sightings, event_ms
from replicante.demo.writer import Ack, Ledger
from replicante.dev_plan import plan_peers
from replicante.errors import StartRefused
from replicante.model.action_kinds import STORE_PROMOTE, STORE_REJOIN
from replicante.wire.clusters import ViewAnswer
from replicante.wire.events import Event

SECONDARY = {"role": "secondary", "is_fresh": True}
EXAMPLE = Path(__file__).parents[2] / "docs/examples/redis-cluster.yaml"


def test_the_demo_declares_what_the_example_shows():
    shown = EXAMPLE.read_text().replace("./playground-data", "/nodes")
    assert list(documents(Path("/nodes"))) == list(yaml.safe_load_all(shown))


def plans(folder: Path):
    return plan_peers(
        peers_count=1, data_dir=folder, http_port=1, raft_port=3, log_format="json"
    )  # fmt: skip


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("replicante.demo.ground.check_ports", lambda _: None)
    folder = tmp_path / "data"
    (folder / "p1").mkdir(parents=True)
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(StartRefused, match=r"holds letter\.txt"):
        Ground(folder).prepare(plans(folder))
    assert (folder / "p1").exists()


def test_what_a_demo_before_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("replicante.demo.ground.check_ports", lambda _: None)
    folder = tmp_path / "data"
    for name in ("p1", "logs", "nodes"):
        (folder / name).mkdir(parents=True)
    Ground(folder).prepare(plans(folder))
    assert not folder.exists()


def test_logs_stay_when_they_are_wanted(tmp_path):
    for name in ("p1", "logs", "nodes"):
        (tmp_path / name).mkdir(parents=True)
    Ground(tmp_path).clear(keeps_logs=True)
    assert [it.name for it in tmp_path.iterdir()] == ["logs"]


def ack(number: int, at_ms: int, node_id: str = "c1-1") -> Ack:
    return Ack(number=number, node_id=node_id, at_ms=at_ms)


def test_the_pause_is_the_longest_that_ends_in_the_time_asked_for():
    ledger = Ledger(acks=[ack(1, 0), ack(2, 500), ack(3, 510), ack(4, 700), ack(5, 1_700)])
    assert ledger.longest_pause_ms(since_ms=505, until_ms=800) == 190
    assert ledger.longest_pause_ms(since_ms=1_700, until_ms=9_000) is None


async def test_a_wait_counts_what_another_node_acknowledged_after_the_moment():
    ledger = Ledger(acks=[ack(1, 10, "c1-2"), ack(2, 30)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ledger.wait_for(1, after_ms=20, not_by="c1-1")
    ledger.acks.append(ack(3, 31, "c1-2"))
    await ledger.wait_for(1, after_ms=20, not_by="c1-1")


def test_copies_are_read_from_the_view():
    view = ViewAnswer(
        spec={},
        discovery=None,
        nodes={"c1-1": {"details": {"addresses": {"client": "h:1"}}}, "c1-2": {"details": None}},
        store_extras={},
        shards={
            "c1-1": {"all": SECONDARY | {"upstream": {"address": "h:2"}}},
            "c1-2": {"all": {"role": "primary", "is_fresh": True}},
        },
        nactions_by_node={},
        oactions_unfinished=[],
    )
    one = Copy(node_id="c1-1", address="h:1", role="secondary", follows="h:2", is_fresh=True)
    assert list(copies(view)) == [one]


def event(code: str, after: dict, before: dict | None = None, key: str = "c1-1") -> Event:
    return Event(
        id="1",
        seq=1,
        chain="",
        index=1,
        code=code,
        time="2026-01-02T03:04:05.678Z",
        clock_ms=1,
        ns="default",
        cluster="c1",
        key=key,
        payload={"after": after, "before": before},
        cause=None,
    )


def decision(outcome: str, action_id: str | None = "a") -> Event:
    verdict = {"rule": "failure_confirmed", "ruling": "allow", "reason": "it is refused"}
    proposal = {
        "step": "failover",
        "effect": "make c1-2 the primary",
        "outcome": outcome,
        "action_id": action_id,
        "loss": {"text": "none"},
        "verdicts": [{"rule": "mode_active", "ruling": "allow", "reason": "active"}, verdict],
    }
    return event("DECISION", {"decision_id": "d", "proposals": [proposal]})


def test_a_decision_is_told_once_with_the_reason_that_was_recorded():
    seen = Sightings()
    effect, reason = seen.take(decision("done"))
    assert effect == "decided: make c1-2 the primary"
    assert reason == "because it is refused; 2 rules allow it; worst loss: none"
    assert seen.take(decision("done")) == ()
    assert [it.reason for it in seen.decisions] == ["it is refused"]


def test_what_was_not_done_is_no_decision():
    seen = Sightings()
    assert seen.take(decision("denied", None)) == ()
    assert seen.decisions == []


def test_a_store_that_goes_down_is_noted_with_the_time_of_its_event():
    seen = Sightings()
    found = event("NODE_DOWN", {"contact": "refused"})
    assert seen.take(found) == ("the store of c1-1 is down: it refuses connections",)
    assert [(it.node_id, it.at_ms) for it in seen.downs] == [("c1-1", event_ms(found))]
    assert event_ms(found) % 60_000 == 5_678


def test_a_promotion_is_noted_with_its_decision():
    seen = Sightings()
    promote = {"kind": STORE_PROMOTE, "node_id": "c1-2", "args": {"replaces": "c1-1"}, "cause": "d"}
    seen.take(event("NACTION_CREATE", promote))
    seen.take(event("NACTION_CREATE", {"kind": STORE_REJOIN, "node_id": "c1-3"}))
    assert [(it.node_id, it.replaces, it.decision_id) for it in seen.promotions] == [
        ("c1-2", "c1-1", "d")
    ]


def test_a_shard_is_told_of_when_its_role_changes_only():
    seen = Sightings()
    after = {"node_id": "c1-2", "role": "primary", "upstream": None}
    assert seen.take(event("SHARD_SYNC_UPDATE", after, after)) == ()
    before = {"node_id": "c1-2", "role": "secondary"}
    assert seen.take(event("SHARD_SYNC_UPDATE", after, before)) == ("c1-2 is primary",)


def test_every_event_is_counted():
    seen = Sightings()
    assert seen.take(event("KV_PUT", {})) == ()
    assert seen.events_count == 1

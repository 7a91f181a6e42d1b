"""The verdict of the demo: everything that was not proved fails it."""

from __future__ import annotations

import json

import msgspec
import pytest

from replicante.demo.report import (
    DecisionSeen,
    DemoReport,
    Formed,
    LeaderKill,
    PrimaryKill,
    PromotionSeen,
    Writes,
    judged,
    last_line,
    numbers,
    ranges,
)

LEADER_KILL = LeaderKill(
    before="p1", pid=1, after="p2", to_leader_ms=100, longest_pause_ms=30, is_restarted=True
)
PRIMARY_KILL = PrimaryKill(
    node_id="c1-1",
    killed_ms=1_000,
    successor="c1-2",
    to_detect_ms=300,
    to_decide_ms=301,
    to_writable_ms=500,
    to_safe_ms=600,
    to_rejoin_ms=2_000,
    takes_writes=False,
)
WRITES = Writes(
    acknowledged=((1, 9), (12, 20)), in_doubt=((10, 11),), found=((1, 10), (12, 20)), counter=19
)
DECISION = DecisionSeen(
    at_ms=1_301,
    decision_id="d",
    step="failover",
    effect="make c1-2 the primary",
    reason="connections are refused",
    worst_loss="none",
    rules_count=26,
)
PROMOTION = PromotionSeen(at_ms=1_301, node_id="c1-2", replaces="c1-1", decision_id="d")


def report(**changes) -> DemoReport:
    """Of a demo in which all went well, but for the changes."""
    wanted = {
        "peers": ("p1", "p2", "p3"),
        "formed": Formed(primary="c1-1", replicas_count=2, seconds=9.0),
        "leader_kill": LEADER_KILL,
        "primary_kill": PRIMARY_KILL,
        "writes": WRITES,
        "decisions": (DECISION,),
        "promotions": (PROMOTION,),
    }
    return judged(DemoReport(**(wanted | changes)))


def but(good, **changes):
    return msgspec.structs.replace(good, **changes)


def test_a_demo_in_which_all_was_proved_is_ok():
    assert report().is_ok
    assert report().lost == ()
    assert last_line(report()) == "demo: ok"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failed_steps": ("restart: it hangs",)}, "restart: it hangs"),
        ({"formed": None}, "it was not made"),
        ({"formed": Formed(primary="c1-1", replicas_count=1, seconds=1)}, "1 of 2 replicas"),
        ({"leader_kill": None}, "no leader was killed"),
        ({"leader_kill": but(LEADER_KILL, after=None)}, "nobody took over from p1"),
        ({"leader_kill": but(LEADER_KILL, after="p1")}, "although it was killed"),
        ({"leader_kill": but(LEADER_KILL, longest_pause_ms=None)}, "no write to Redis was"),
        ({"leader_kill": but(LEADER_KILL, is_restarted=False)}, "p1 did not come back"),
        ({"primary_kill": None}, "no primary was killed"),
        ({"primary_kill": but(PRIMARY_KILL, successor=None)}, "no other node took writes"),
        ({"primary_kill": but(PRIMARY_KILL, successor="c1-1")}, "c1-1 is still the primary"),
        ({"primary_kill": but(PRIMARY_KILL, successor="c1-3")}, "c1-3 took the writes"),
        ({"primary_kill": but(PRIMARY_KILL, to_writable_ms=None)}, "no other node took writes"),
        ({"primary_kill": but(PRIMARY_KILL, to_safe_ms=None)}, "no other node took writes"),
        ({"primary_kill": but(PRIMARY_KILL, to_detect_ms=None)}, "no event tells that c1-1"),
        ({"primary_kill": but(PRIMARY_KILL, to_decide_ms=None)}, "no event tells of a decision"),
        ({"primary_kill": but(PRIMARY_KILL, to_rejoin_ms=None)}, "did not come back as a replica"),
        ({"primary_kill": but(PRIMARY_KILL, takes_writes=None)}, "nobody tried to write"),
        ({"primary_kill": but(PRIMARY_KILL, takes_writes=True)}, "c1-1 takes writes"),
        ({"promotions": ()}, "no event tells of a decision"),
        ({"decisions": ()}, "has no reason"),
        ({"decisions": (but(DECISION, reason=""),)}, "has no reason"),
        ({"writes": but(WRITES, acknowledged=())}, "none was acknowledged"),
        ({"writes": but(WRITES, found=None)}, "not read back"),
        ({"writes": but(WRITES, found=((1, 10),), counter=10)}, "9 of 18 acknowledged"),
        ({"writes": but(WRITES, found=((1, 21),), counter=21)}, "1 numbers are there that nobody"),
        ({"writes": but(WRITES, counter=20)}, "the counter stands at 20, and 19 increments"),
    ],
)  # fmt: skip
def test_each_thing_that_was_not_proved_fails_the_demo(changes, reason):
    found = report(**changes)
    assert not found.is_ok
    assert last_line(found).startswith("demo: FAILED (")
    assert reason in last_line(found)


def test_lost_is_what_was_acknowledged_and_is_not_there_and_nothing_in_doubt():
    found = report(writes=but(WRITES, found=((2, 9), (12, 18)), counter=15))
    assert found.lost == ((1, 1), (19, 20))


def test_an_unjudged_report_is_no_success():
    assert last_line(DemoReport(peers=())).startswith("demo: FAILED")


def test_numbers_are_kept_as_runs_of_neighbours():
    assert ranges([5, 1, 2, 3, 3, 9]) == ((1, 3), (5, 5), (9, 9))
    assert list(numbers(((1, 3), (5, 5)))) == [1, 2, 3, 5]


def test_the_report_is_json_that_says_what_was_seen():
    written = json.loads(msgspec.json.encode(report()))
    assert written["verdict"] == "ok"
    assert written["writes"]["acknowledged"] == [[1, 9], [12, 20]]
    assert {"to_detect_ms", "to_decide_ms", "to_writable_ms"} <= set(written["primary_kill"])
    assert written["decisions"][0]["reason"]
    assert all(check["is_ok"] for check in written["checks"])

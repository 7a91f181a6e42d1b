"""The verdict of the demo: everything that was not proved fails it."""

from __future__ import annotations

import json

import msgspec
import pytest

from replicante.demo_report import (
    DemoReport,
    EventsSeen,
    Kill,
    ReadBack,
    StateDigest,
    compare,
    judged,
    last_line,
)
from replicante.wire.headers import Consistency

PEERS = ("p1", "p2", "p3")
WRITTEN = {"demo/a": {"n": 1}, "demo/b": {"n": 2}}


def report(**changes) -> DemoReport:
    """Of a demo in which all went well, but for the changes."""
    wanted = {
        "peers": PEERS,
        "acknowledged": WRITTEN,
        "kill": Kill(
            leader_before="p1",
            pid=1,
            leader_after="p2",
            acknowledged_after_count=1,
            write_gap_ms=100,
            is_restarted=True,
        ),
        "read_backs": tuple(
            ReadBack(peer=peer, consistency=consistency, equal_count=2)
            for peer in PEERS
            for consistency in ("linearizable", "stale")
        ),
        "digests": tuple(StateDigest(peer=peer, index=9, value="aa") for peer in PEERS),
        "events": EventsSeen(delivered_count=2, resumed_count=1),
    }
    return judged(DemoReport(**(wanted | changes)))


def test_a_demo_in_which_all_was_proved_is_ok():
    assert report().is_ok
    assert last_line(report()) == "demo: ok"


def kill(**changes) -> Kill:
    good = report().kill
    assert good is not None
    return msgspec.structs.replace(good, **changes)


def read_backs(**changes) -> tuple[ReadBack, ...]:
    good = report().read_backs
    return (*good[:3], msgspec.structs.replace(good[3], **changes), *good[4:])


def events(**changes) -> EventsSeen:
    return msgspec.structs.replace(EventsSeen(delivered_count=2, resumed_count=0), **changes)


def digests(**changes) -> tuple[StateDigest, ...]:
    good = report().digests
    return (*good[:2], msgspec.structs.replace(good[2], **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"acknowledged": {}}, "writes: 0 acknowledged"),
        ({"kill": None}, "no leader was killed"),
        ({"kill": kill(leader_after=None)}, "nobody took over from p1"),
        ({"kill": kill(leader_after="p1")}, "although it was killed"),
        ({"kill": kill(acknowledged_after_count=0)}, "no write was acknowledged after"),
        ({"kill": kill(write_gap_ms=None)}, "no write was acknowledged after"),
        ({"kill": kill(is_restarted=False)}, "p1 did not come back"),
        ({"read_backs": ()}, "linearizable: not read"),
        ({"read_backs": report().read_backs[:-1]}, "read back from p3: stale: not read"),
        ({"read_backs": read_backs(equal_count=1)}, "1 of 2 values are equal"),
        ({"read_backs": read_backs(missing=("demo/a",))}, "1 keys are missing (demo/a)"),
        ({"read_backs": read_backs(different=("demo/b",))}, "1 values differ (demo/b)"),
        ({"read_backs": read_backs(error="no answer")}, "no answer"),
        ({"digests": ()}, "no digest of p1, p2, p3"),
        ({"digests": report().digests[:2]}, "no digest of p3"),
        ({"digests": digests(value="bb")}, "the states differ"),
        ({"digests": digests(index=10)}, "the states differ"),
        ({"events": None}, "nobody followed them"),
        ({"events": events(missing=("k",))}, "1 are missing"),
        ({"events": events(repeated=("k",))}, "came again"),
        ({"failed_steps": ("restart: it hangs",)}, "restart: it hangs"),
    ],
)  # fmt: skip
def test_each_thing_that_was_not_proved_fails_the_demo(changes, reason):
    found = report(**changes)
    assert not found.is_ok
    assert last_line(found).startswith("demo: FAILED (")
    assert reason in last_line(found)


def test_an_unjudged_report_is_no_success():
    assert last_line(DemoReport(peers=PEERS)).startswith("demo: FAILED")


def test_values_are_compared_not_only_keys():
    found = compare(
        WRITTEN,
        {"demo/a": {"n": 2}, "demo/x": 1},
        peer="p1",
        consistency=Consistency.STALE,
        error=None,
    )
    assert (found.different, found.missing, found.equal_count) == (("demo/a",), ("demo/b",), 0)


def test_the_report_is_json_that_says_what_was_seen():
    written = json.loads(msgspec.json.encode(report()))
    assert written["verdict"] == "ok"
    assert written["acknowledged"] == WRITTEN
    assert {"leader_before", "leader_after", "write_gap_ms"} <= set(written["kill"])
    assert [it["peer"] for it in written["digests"]] == list(PEERS)
    assert len(written["read_backs"]) == 6
    assert all(check["is_ok"] for check in written["checks"])

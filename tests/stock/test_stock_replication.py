"""Append, acknowledge, commit: what unchanged PySyncObj 0.3.17 loses, and what ours keeps when
the same messages arrive in the same order. Ids in brackets are those of the audit.
"""

from __future__ import annotations

from our_group import ready_group
from stock_group import SUCCESS, StockTime, stock

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.status import Role

# --- an old append arrives once more [c1] -----------------------------------------------------


def test_stock_an_old_append_cuts_an_acknowledged_write_off():
    with stock("ABC") as group:
        group.elect("A", "B")
        old = group.links["A", "B"][-1]
        answers = group.add("A", "x")
        group.run("AB", seconds=1)
        assert answers == [(1, SUCCESS)]

        group.hear("B", "A", **old)
        assert group.log("B") == [(1, 0), (2, 1)]

        group.isolate("A")
        group.elect("B", "C")
        group.run("BC", seconds=1)
        assert group["C"].values == [], "acknowledged, and on no peer that is left"


def test_ours_keeps_its_tail_when_an_old_append_arrives():
    group = ready_group("ABC")
    group.drop("A", "C")
    first = group.propose("A", "w")
    old = group.drop("A", "B")
    group.reconnect("A", "B")
    ticket = group.propose("A", "x")
    group.run("AB", ms=300)
    assert group["A"].proposals[first].outcome == b"1"
    assert group["A"].proposals[ticket].outcome == b"2"
    before = group.log("B")

    assert any(isinstance(message, m.Append) and message.entries for message in old)
    for message in old:
        group.hear("B", "A", message)
    assert group.log("B") == before

    group.isolate("A")
    group.elect("B", "C")
    group.run("BC", ms=1_000)
    assert group["C"].values == ["w", "x"]


# --- first in, first out, one reconnect [c2] --------------------------------------------------


def test_stock_repeated_refusals_lose_an_acknowledged_write_over_plain_tcp():
    with stock("ABC", appendEntriesBatchSizeBytes=60) as group:
        group.elect("A", "B")
        group.run("AB", seconds=0.3)
        answers = [group.add("A", f"value {i}") for i in range(6)]
        group.run("A", seconds=0.2)
        group.drop("A", "B")  # the connection broke; the new one carries three heartbeats
        group.run("A", seconds=0.4)
        group.deliver("A", "B")
        assert len(group.links["B", "A"]) >= 2, "each heartbeat was refused"

        group.deliver("B", "A", 1)
        group.run("A", seconds=0.15)
        first_resend = len(group.links["A", "B"])
        group.deliver("B", "A", 1)
        group.run("A", seconds=0.15)
        assert len(group.links["A", "B"]) > first_resend > 1

        group.deliver("A", "B", first_resend)
        group.deliver("B", "A")
        group.run("A", seconds=0.05)
        assert [answer for [(_, answer)] in answers] == [SUCCESS] * 6
        full = group.last("B")
        group.deliver("A", "B", 1)
        assert group.last("B") < full, "the second resend began to repeat what was there"

        group.isolate("A")
        group.elect("B", "C")
        group.run("BC", seconds=1)
        assert len(group["C"].values) < 6


def test_ours_repeats_what_may_be_lost_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(limits, "APPEND_ENTRIES_MAX", 2)
    group = ready_group("ABC")
    tickets = [group.propose("A", f"value {i}") for i in range(6)]
    group.reconnect("A", "B")
    group.step("A")
    resent = list(group.links["A", "B"])
    assert resent
    group.run("AB", ms=1_000)
    assert [group["A"].proposals[ticket].error for ticket in tickets] == [None] * 6
    full = group.log("B")

    for body in resent:
        group.hear("B", "A", m.decode_message(body))
        assert group.log("B") == full

    group.isolate("A")
    group.elect("B", "C")
    group.run("BC", ms=1_000)
    assert group["C"].values == [f"value {i}" for i in range(6)]


# --- acknowledgements of another term [d] -----------------------------------------------------


def test_stock_counts_acknowledgements_of_an_old_term():
    with stock("ABCDE") as group:
        group.elect("A", "BC")
        for other in "CDE":
            group.drop("A", other)
        for i in range(6):
            group.add("A", f"old {i}")
        group.tick("A")
        StockTime.now_s += 0.2
        group.tick("A")
        group.deliver("A", "B")
        assert group.last("A") == group.last("B") == 8
        for other in "CDE":
            group.drop("A", other)

        group.elect("D", "CE")
        for other in "ABC":
            group.deliver("D", other)
        assert group.log("B") == [(1, 0), (2, 2)], "cut, rightly; its answers are still on the way"

        group.elect("A", "CD")
        answers = [group.add("A", f"new {i}") for i in range(5)]
        group.tick("A")
        StockTime.now_s += 0.2
        group.tick("A")
        group.deliver("A", "C")
        group.deliver("C", "A")
        group.tick("A")
        assert group["A"].raftCommitIndex < 8, "on two of five peers"

        group.deliver("B", "A")
        group.tick("A")
        assert group["A"].raftCommitIndex == 8
        assert [reason for [(_, reason)] in answers] == [SUCCESS] * 5
        assert [name for name in "ABCDE" if (8, 3) in group.log(name)] == ["A", "C"]


def test_ours_counts_acknowledgements_of_its_own_term_only():
    group = ready_group("ABCDE")
    known = group.last("A")
    for i in range(6):
        group.propose("A", f"old {i}")
    group.deliver("A", "B")
    assert group.last("B") == group.last("A") == known + 6
    for other in "CDE":
        group.drop("A", other)

    group.elect("D", "CE")
    for other in "ABC":
        group.deliver("D", other)
    assert group.log("B")[-1] == (known + 1, 2)

    group.elect("A", "CE")
    while group.last("A") < known + 6:
        group.propose("A", "new")
    group.deliver("A", "C")
    group.deliver("C", "A")
    commit_index = group["A"].engine.commit_index
    assert commit_index < known + 6

    old = [m.decode_message(body) for body in group.links["B", "A"]]
    assert any(
        isinstance(ack, m.AppendAck) and ack.term == 1 and ack.match_index == known + 6
        for ack in old
    )
    for message in old:
        if isinstance(message, m.AppendAck):
            group.hear("A", "B", message)
    assert group["A"].engine.progress[group.key("B")].match_index == 0
    assert group["A"].engine.commit_index == commit_index


# --- an append with an older term [e5] --------------------------------------------------------


def test_stock_answers_nothing_to_an_old_leader():
    with stock("ABC") as group:
        group.elect("A", "B")
        group.isolate("A")
        group.elect("C", "B")
        group.drop("B", "A")
        StockTime.now_s += 1
        group.tick("A")
        assert group.deliver("A", "B") == 1
        assert not group.links["B", "A"]
        assert group["A"]._isLeader(), "it learns nothing"


def test_ours_tells_an_old_leader_of_the_newer_term():
    group = ready_group("ABC")
    group.elect("C", "B")
    group.drop("B", "A")
    group.drop("C", "A")
    group.now_ms += 150
    group.step("A")
    group.deliver("A", "B")
    group.deliver("B", "A")
    assert group["A"].engine.role is Role.FOLLOWER
    assert group["A"].engine.term == 2

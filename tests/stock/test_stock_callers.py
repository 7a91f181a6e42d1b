"""Apply, callers, reads and the wire: what unchanged PySyncObj 0.3.17 does, and what ours does
in the same place. Ids in brackets are those of the audit.

Rows without a test in this folder: the 4 GiB bound of the journal [b3]; a part of a snapshot that a
transport loses, which TCP does not [l2].
"""

from __future__ import annotations

import pickle
import struct
import zlib

import pytest
from our_group import ready_group
from pysyncobj import FAIL_REASON, replicated
from pysyncobj.tcp_connection import TcpConnection
from stock_group import SUCCESS, StockGroup, StockPeer, StockTime, Wires, stock

from replicante import limits
from replicante.errors import FatalError, NoLeader, OutcomeUnknown, ReadTimeout
from replicante.raft import messages as m
from replicante.raft.frames import FrameDecoder, FrameError, decode_greeting

# --- a replicated method raises [h1] ----------------------------------------------------------


def test_stock_applies_a_failing_method_at_every_tick_and_answers_nobody():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        answers = []
        group["A"].fail(callback=lambda *answer: answers.append(answer))
        with pytest.raises(ValueError, match="a mistake"):
            group.run("ABC", seconds=1)
        group.isolate("A")
        for _ in range(5):
            with pytest.raises(ValueError, match="a mistake"):
                group.run("A", seconds=0.2)
        assert not group.links["A", "B"], "not a single heartbeat in a second"
        assert answers == []


def test_ours_stops_at_the_entry_that_its_machine_cannot_apply():
    group = ready_group("ABC")
    group.propose("A", "fail")
    with pytest.raises(
        FatalError, match=r"entry \d+ of term \d+ cannot be applied: ValueError"
    ) as caught:
        group.run("ABC", ms=500)
    assert caught.value.details["index"] == group.last("A")


# --- a caller's callback raises [h2]; ours has none: its callers await futures ----------------


def test_stock_applies_twice_where_a_callback_raised():
    def raising(result, reason):
        raise RuntimeError("a mistake of the caller")

    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group["A"].add("x", callback=raising)
        with pytest.raises(RuntimeError):
            group.run("ABC", seconds=1)
        group.run("ABC", seconds=1)
        assert group["A"].values == ["x", "x"]
        assert group["B"].values == ["x"]


# --- an entry of an unknown kind [h3] ---------------------------------------------------------


def test_stock_applies_the_command_after_an_unknown_entry_twice():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        version_entry = 3
        group["A"]._applyCommand(pickle.dumps(7), None, version_entry)
        group["A"].add("x")
        group.run("ABC", seconds=1)
        assert [peer.values for peer in group.peers.values()] == [["x", "x"]] * 3


def test_ours_stops_at_an_entry_of_an_unknown_kind():
    group = ready_group("ABC")
    [append] = [message for message in _appends(group, "A", "B", value="x") if message.entries]
    strange = m.WireRecord(
        term=1, kind=77, clock_ms=append.entries[0].clock_ms, wall_ms=0, payload=b""
    )
    changed = m.Append(
        **{name: getattr(append, name) for name in m.Append.__struct_fields__}
        | {"entries": [strange]}
    )
    with pytest.raises(FatalError, match="kind 77"):
        group.hear("B", "A", changed)


# --- what a stored number means [read] --------------------------------------------------------


def test_stock_calls_another_method_for_an_old_entry_after_one_was_added():
    class Newer(StockPeer):
        @replicated
        def abolish(self) -> None:
            self.values.clear()

    with stock("A") as group:
        wires = Wires(group, "A")
        newer = Newer("A", [], wires)
        old_number = group["A"]._methodToID["add_v0"]
        assert newer._idToMethod[old_number].__name__ != "add_v0"


# --- a forwarded command, or its answer, is lost [i1, i2] -------------------------------------


@pytest.mark.parametrize("lost", ["the command", "the answer"])
def test_stock_never_answers_when_a_message_was_lost(lost):
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        answers = group.add("B", "x")
        group.tick("B")
        if lost == "the command":
            group.drop("B", "A")
        else:
            group.deliver("B", "A")
            group.tick("A")
            group.drop("A", "B")
        group.run("ABC", seconds=300)
        assert answers == []
        assert group["B"].values == ([] if lost == "the command" else ["x"])


@pytest.mark.parametrize("lost", ["the command", "the answer"])
def test_ours_sends_again_under_the_same_number_and_answers(lost):
    group = ready_group("ABC")
    ticket = group.propose("B", "x")
    if lost == "the command":
        assert any(isinstance(message, m.Propose) for message in group.drop("B", "A"))
    else:
        group.deliver("B", "A")
        group.drop("A", "B")
    group.run("ABC", ms=2 * limits.RESEND_MS)
    assert group["B"].proposals[ticket].outcome == b"1"
    assert [peer.values for peer in group.peers.values()] == [["x"]] * 3


def test_ours_says_unknown_at_the_deadline_when_nothing_comes_back():
    group = ready_group("ABC")
    ticket = group.propose("B", "x", timeout_ms=1_000)
    group.isolate("B")
    group.run("B", ms=1_100)
    error = group["B"].proposals[ticket].error
    assert isinstance(error, OutcomeUnknown) and not error.definite


# --- the leader changes under a forwarded command [i4] ----------------------------------------


def test_stock_reports_a_failure_for_a_write_that_happens():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        answers = group.add("B", "x")
        group.tick("B")
        group.deliver("B", "A")
        group.run("AC", seconds=0.2)
        group.isolate("A")
        group.elect("C", "B")
        group.run("BC", seconds=1)
        assert answers == [(None, FAIL_REASON.LEADER_CHANGED)]
        assert group["B"].values == ["x"]


def test_ours_answers_with_the_outcome_through_a_change_of_leader():
    group = ready_group("ABC")
    ticket = group.propose("B", "x")
    group.deliver("B", "A")
    group.drop("A", "B")
    group.run("AC", ms=200)
    group.isolate("A")
    group.elect("C", "B")
    group.run("BC", ms=1_000)
    assert group["B"].proposals[ticket].outcome == b"1"
    assert group["B"].values == group["C"].values == ["x"]


# --- reads at a leader that was deposed [j] ---------------------------------------------------


def test_stock_a_deposed_leader_answers_an_old_value():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group.isolate("A")
        group.elect("B", "C")
        answers = group.add("B", "new")
        group.run("BC", seconds=1)
        group.run("A", seconds=25)
        assert answers == [(1, SUCCESS)]
        assert group["A"]._isLeader()
        assert group["A"].values == []


def test_ours_a_deposed_leader_answers_no_read():
    group = ready_group("ABC")
    group.isolate("A")
    at_once = group.read("A")
    group.elect("B", "C")
    group.propose("B", "new")
    group.run("BC", ms=200)
    assert group["B"].values == ["new"]
    group.isolate("A")
    group.run("A", ms=limits.ELECTION_MS_MAX)
    later = group.read("A")
    assert not group["A"].engine.is_leader
    group.run("A", ms=3_100)
    refused = [group["A"].reads[ticket].error for ticket in (at_once, later)]
    assert all(isinstance(error, ReadTimeout | NoLeader) for error in refused)


# --- an answer that comes after its command was applied [i3] -----------------------------------


def test_stock_calls_a_success_unknown_when_its_answer_is_late():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        answers = group.add("B", "x")
        late = _answer_of_the_leader(group)
        group.run("ABC", seconds=1)
        assert group["B"].values == ["x"] and answers == []
        group.hear("B", "A", **late)
        group.tick("B")
        assert answers == [(None, FAIL_REASON.UNKNOWN_OUTCOME)]


def test_ours_needs_no_answer_to_know_what_it_applied():
    group = ready_group("ABC")
    ticket = group.propose("B", "x")
    group.deliver("B", "A")
    for _ in range(4):
        group.run("AC", ms=50)
        for message in group.drop("A", "B"):
            if isinstance(message, m.Append):  # whatever else the leader says never arrives
                group.hear("B", "A", message)
        for message in group.drop("B", "A"):
            if isinstance(message, m.AppendAck):
                group.hear("A", "B", message)
    assert group["B"].proposals[ticket].outcome == b"1"


# --- a caller whose command a snapshot brings [i5b] --------------------------------------------


def test_stock_never_answers_a_caller_whose_command_came_with_a_snapshot():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        answers = group.add("B", "x")
        told = _answer_of_the_leader(group)
        group.drop("A", "B")
        group.hear("B", "A", **told)
        for value in "yz":
            group.add("A", value)
        group.run("AC", seconds=1)
        group["A"].forceLogCompaction()
        for _ in "made", "seen":
            group.tick("A")
        group.isolate("B")
        group.run("ABC", seconds=300)
        assert group["B"].values == ["x", "y", "z"] and answers == []


# --- there is no leader [o2] ------------------------------------------------------------------


def test_stock_queues_without_a_leader_for_ever():
    with stock("ABC") as group:
        answers = group.add("B", "x")
        group.run("B", seconds=300)
        assert answers == []


def test_ours_refuses_definitely_when_there_is_no_leader():
    group = ready_group("ABC")
    group.start("B")
    ticket = group.propose("B", "x", timeout_ms=1_000)
    group.run("B", ms=1_100)
    error = group["B"].proposals[ticket].error
    assert isinstance(error, NoLeader) and error.definite


# --- bytes from anybody [k] -------------------------------------------------------------------


def _answer_of_the_leader(group: StockGroup) -> dict[str, object]:
    """A took the command of B; where it is in the log, which B has not heard yet."""
    group.tick("B")
    group.deliver("B", "A")
    group.tick("A")
    link = group.links["A", "B"]
    (answer,) = [it for it in link if it["type"] == "apply_command_response"]
    link.remove(answer)
    return answer


_HEARD: list[str] = []


def _hear(words: str) -> None:
    _HEARD.append(words)


class _Stranger:
    def __reduce__(self):
        return _hear, ("code of the sender",)


def test_stock_runs_what_the_network_sends():
    connection = TcpConnection(None)
    body = zlib.compress(pickle.dumps(_Stranger()))
    connection._TcpConnection__readBuffer = struct.pack("i", len(body)) + body
    _HEARD.clear()
    connection._TcpConnection__processParseMessage()
    assert _HEARD == ["code of the sender"]


def test_ours_drops_bytes_that_are_not_its_messages():
    _HEARD.clear()
    pickled = pickle.dumps(_Stranger())
    framed = struct.pack("i", len(pickled)) + zlib.compress(pickled)
    for decode in (
        m.decode_message,
        decode_greeting,
        FrameDecoder(limit_bytes=limits.HANDSHAKE_BYTES_MAX).feed,
    ):
        for body in (pickled, framed):
            with pytest.raises(FrameError):
                decode(body)
    assert _HEARD == []


def _appends(group, sender: str, target: str, *, value: str) -> list[m.Append]:
    group.drop(sender, target)
    group.propose(sender, value)
    return [message for message in group.drop(sender, target) if isinstance(message, m.Append)]


# --- a command in several parts [l1] -----------------------------------------------------------


def test_stock_ends_a_long_command_twice():
    with stock("AB", appendEntriesBatchSizeBytes=100) as group:
        group.elect("A", "B")
        group.run("AB", seconds=1)
        group.add("A", "x" * 150)
        group.tick("A")
        StockTime.now_s += 0.2
        group.tick("A")
        parts = [it["transmission"] for it in group.links["A", "B"]]
        assert parts == ["start", "finish", "finish"]
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            group.deliver("A", "B")


def test_ours_takes_a_command_of_any_size(monkeypatch):
    monkeypatch.setattr(limits, "APPEND_BYTES_MAX", 100)
    group = ready_group("ABC")
    values = ["x" * size for size in range(80, 220)]
    for value in values:
        group.propose("A", value)
        group.run("ABC", ms=20)
    group.run("ABC", ms=200)
    assert [peer.values for peer in group.peers.values()] == [values] * 3

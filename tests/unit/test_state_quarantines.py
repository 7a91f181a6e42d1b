"""What the log tells of peers whose state is wrong, and who writes it there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from replicante.ids import format_stamp
from replicante.limits import QUARANTINES_KEPT_MAX
from replicante.raft.status import Quarantine, Role
from replicante.state.apply_quarantines import noted
from replicante.state.eventlog import Event, read_event
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.tables import EVENTS, QUARANTINES_KEY
from replicante.storage.keys import prefix_range
from replicante.telemetry.logs import silent_logger
from replicante.testing.builders import CheckedState, LoneState, envelope_bytes
from replicante.testing.fake_peer import FakePeer, Trouble
from replicante.workers.peer_view import PeerView
from replicante.workers.quarantines import Quarantines

DIGESTS = {"p1": "good", "p2": "bad", "p3": "good"}
NOTE = NoteQuarantine("p2", "i", 2_048, tuple(sorted(DIGESTS.items())))


def told(state: LoneState) -> list[Event]:
    events = [read_event(row) for _, row in state.store.scan(*prefix_range(EVENTS))]
    return [event for event in events if event.code == "RAFT_PEER_QUARANTINED"]


# --- apply ----------------------------------------------------------------------------------------


def test_the_event_holds_who_is_wrong_since_when_and_how_that_is_known():
    state = CheckedState()
    done = state.do(NOTE, request_id="quarantine of p2", actor="replicante")
    (event,) = told(state)
    assert (event.key, event.cause["actor"]) == ("p2", "replicante")
    assert event.payload_value() == {
        "digests": DIGESTS,
        "incarnation": "i",
        "index": 2_048,
        "revision": format_stamp(done.revision),
    }


def test_one_incarnation_is_told_of_once_whoever_tells_it():
    state = CheckedState()
    first = state.do(NOTE)
    again = state.do(NoteQuarantine("p2", "i", 4_096))
    assert (again.revision, again.is_changed) == (first.revision, False)
    assert len(told(state)) == 1


def test_two_notes_in_one_entry_make_one_event():
    state = CheckedState()
    state.propose_together([envelope_bytes(NOTE), envelope_bytes(NOTE)])
    assert len(told(state)) == 1


def test_the_peer_that_comes_back_can_be_found_wrong_again():
    state = CheckedState()
    state.do(NOTE)
    assert state.do(NoteQuarantine("p2", "j", 4_096)).is_created
    assert [it.payload_value()["incarnation"] for it in told(state)] == ["i", "j"]


def test_what_is_remembered_is_bounded_and_keeps_the_newest():
    state = LoneState()
    for number in range(QUARANTINES_KEPT_MAX + 3):
        state.do(NoteQuarantine("p2", f"i{number}", 1))
    kept = noted(state.store)
    assert len(kept) == QUARANTINES_KEPT_MAX
    assert kept[-1].incarnation == f"i{QUARANTINES_KEPT_MAX + 2}"


def test_a_state_that_lost_the_row_goes_on(monkeypatch):
    """The peer that is told of applies it too, and nobody knows which rows it lost: it may tell
    the event twice, and it does not stop."""
    state = LoneState()
    put = state.machine._writer.put
    monkeypatch.setattr(
        state.machine._writer, "put", lambda key, row: key == QUARANTINES_KEY or put(key, row)
    )
    assert state.do(NOTE).is_created
    assert state.do(NOTE).is_created


# --- the leader -----------------------------------------------------------------------------------


@pytest.fixture
def peer() -> FakePeer:
    """Leads, and knows that p2 is wrong."""
    peer = FakePeer(CheckedState())
    (one,) = peer.base_status.peers
    other = replace(one, peer_id="p2", incarnation="i", differs_at=2_048, evidence=DIGESTS)
    peer.base_status = replace(peer.base_status, peers=(one, other))
    return peer


def teller(peer: FakePeer) -> Quarantines:
    return Quarantines(peer=PeerView(peer), state=peer.lone.machine, log=silent_logger())


async def test_the_leader_tells_what_it_found_once(peer):
    for leader in (teller(peer), teller(peer)):
        await leader.tell()
        await leader.tell()
    (event,) = told(peer.lone)
    assert event.payload_value()["digests"] == DIGESTS
    assert peer.proposals_count == 1, "what the log has told is not proposed again"


async def test_who_does_not_lead_tells_nothing(peer):
    peer.base_status = replace(peer.base_status, role=Role.FOLLOWER)
    await teller(peer).tell()
    assert peer.proposals_count == 0


async def test_a_leader_that_is_wrong_itself_accuses_nobody(peer):
    wrong = Quarantine(index=2_048, own_digest="bad", digest="good")
    peer.base_status = replace(peer.base_status, quarantine=wrong)
    await teller(peer).tell()
    assert peer.proposals_count == 0


async def test_what_could_not_be_written_is_written_by_a_later_pass(peer, monkeypatch):
    monkeypatch.setattr("replicante.workers.quarantines.QUARANTINES_LOOP_MS", 1)
    peer.trouble = Trouble.LOST_BEFORE
    running = asyncio.create_task(teller(peer).run())
    async with asyncio.timeout(60):
        await peer.proposed.wait()
        assert told(peer.lone) == []
        peer.trouble = Trouble.NONE
        assert await peer.wait_applied(peer.lone.applied_index + 1, timeout_ms=60_000)
    running.cancel()
    assert len(told(peer.lone)) == 1

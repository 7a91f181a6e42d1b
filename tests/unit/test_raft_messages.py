"""Every message survives its encoding; no bytes raise anything but FrameError."""

from __future__ import annotations

import contextlib
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.frames import Channel, FrameError

UNSIGNED = st.integers(0, (1 << 63) - 1)
RECORDS = st.builds(
    m.WireRecord, UNSIGNED, st.integers(0, 255), UNSIGNED, UNSIGNED, st.binary(max_size=30)
)
APPENDS = st.builds(
    m.Append,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
    st.integers(-1, 1 << 40),
    st.lists(RECORDS, max_size=4),
    st.binary(min_size=16, max_size=16),
)
COMMANDS = st.builds(m.WireCommand, UNSIGNED, UNSIGNED, UNSIGNED, st.binary(max_size=30))
NAMES = st.text(max_size=20)
DIGESTS = st.binary(min_size=16, max_size=16)
FIELDS = {
    m.AppendAck: (UNSIGNED, UNSIGNED, st.booleans(), UNSIGNED, UNSIGNED, UNSIGNED),
    m.VoteRequest: (UNSIGNED, UNSIGNED, UNSIGNED, st.booleans()),
    m.VoteReply: (UNSIGNED, st.booleans()),
    m.PreVoteRequest: (UNSIGNED, UNSIGNED, UNSIGNED),
    m.PreVoteReply: (UNSIGNED, UNSIGNED, st.booleans()),
    m.TimeoutNow: (UNSIGNED,),
    m.Propose: (st.lists(COMMANDS, max_size=4), UNSIGNED),
    m.ReadIndexRequest: (UNSIGNED,),
    m.ReadIndexReply: (UNSIGNED, UNSIGNED),
    m.BirthNotice: (st.binary(max_size=50),),
    m.SnapshotChunk: (
        *[UNSIGNED] * 4,
        DIGESTS,
        UNSIGNED,
        st.binary(max_size=50),
        UNSIGNED,
        DIGESTS,
        UNSIGNED,
        st.binary(max_size=50),
    ),
    m.SnapshotAck: (UNSIGNED, UNSIGNED, UNSIGNED, st.booleans()),
    m.ChangeRequest: (UNSIGNED, UNSIGNED, st.integers(0, 255), *[NAMES] * 4, UNSIGNED),
    m.ChangeReply: (UNSIGNED, UNSIGNED, NAMES, UNSIGNED),
    m.Standing: (
        UNSIGNED,
        st.lists(st.tuples(UNSIGNED, st.text(min_size=1, max_size=20)), max_size=4),
        UNSIGNED,
    ),
}
MESSAGES = st.one_of(APPENDS, *(st.builds(kind, *fields) for kind, fields in FIELDS.items()))


def test_every_kind_of_message_is_drawn():
    assert [m.Append, *FIELDS] == list(get_args(m.Message))


def encode(*fields):
    return msgspec.msgpack.encode(fields)


@given(message=MESSAGES)
def test_a_message_survives_its_encoding(message):
    assert m.decode_message(m.encode_message(message)) == message


@settings(max_examples=300)
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_raise_frame_error_only(body):
    with contextlib.suppress(FrameError):
        m.decode_message(body)


@settings(max_examples=300)
@given(message=MESSAGES, place=st.floats(0, 1), byte=st.integers(0, 255))
def test_damaged_messages_raise_frame_error_only(message, place, byte):
    body = bytearray(m.encode_message(message))
    body[int(place * (len(body) - 1))] = byte
    with contextlib.suppress(FrameError):
        m.decode_message(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        encode(99, 1),
        encode(4, -1, True),
        encode(4, 1 << 63, True),
        encode(4, 1.0, True),
        encode(4, 1, 1),
        encode(4, "1", True),
        encode(4, 1),
        encode(2, 1, 1, True, None),
        b"\x94\x0f\x01\x01\xa2\xff\xfe",  # a text that is no UTF-8
        msgspec.msgpack.encode({"term": 1}),
        b"\x91" * 5_000,
    ],
)
def test_other_types_ranges_and_shapes_are_refused(body):
    with pytest.raises(FrameError):
        m.decode_message(body)


def record(payload=b""):
    return m.WireRecord(1, 4, 0, 0, payload)


def append_of(entries):
    return m.Append(1, 1, 1, 1, 0, 1, 0, -1, entries, bytes(16))


@pytest.mark.parametrize(
    ("fits", "too_large"),
    [
        (
            append_of([record()] * limits.APPEND_ENTRIES_MAX),
            append_of([record()] * (limits.APPEND_ENTRIES_MAX + 1)),
        ),
        (
            append_of([record(bytes(limits.ENTRY_BYTES_MAX))]),
            append_of([record(bytes(limits.ENTRY_BYTES_MAX + 1))]),
        ),
        (
            m.Propose([m.WireCommand(1, 1, 0, b"")] * limits.PROPOSALS_PENDING_MAX),
            m.Propose([m.WireCommand(1, 1, 0, b"")] * (limits.PROPOSALS_PENDING_MAX + 1)),
        ),
        (
            m.Propose([m.WireCommand(1, 1, 0, bytes(limits.COMMAND_BYTES_MAX))]),
            m.Propose([m.WireCommand(1, 1, 0, bytes(limits.COMMAND_BYTES_MAX + 1))]),
        ),
        (
            m.BirthNotice(bytes(limits.HELLO_BIRTH_BYTES_MAX)),
            m.BirthNotice(bytes(limits.HELLO_BIRTH_BYTES_MAX + 1)),
        ),
    ],
)
def test_what_exceeds_a_bound_is_refused(fits, too_large):
    assert m.decode_message(m.encode_message(fits)) == fits
    with pytest.raises(FrameError):
        m.decode_message(m.encode_message(too_large))


def test_fields_that_a_newer_peer_adds_are_ignored_and_missing_ones_have_their_default():
    assert m.decode_message(encode(4, 7, True, "new")) == m.VoteReply(7, True)
    assert m.decode_message(encode(3, 7, 8, 6)) == m.VoteRequest(7, 8, 6, is_transfer=False)


def test_the_largest_append_fits_a_frame():
    """It ends after the entry that crosses its soft size, and that entry may be of full size."""
    small = limits.APPEND_BYTES_MAX // (limits.APPEND_ENTRIES_MAX - 1)
    entries = [record(bytes(small))] * (limits.APPEND_ENTRIES_MAX - 1)
    body = m.encode_message(append_of([*entries, record(bytes(limits.ENTRY_BYTES_MAX))]))
    assert len(body) <= limits.FRAME_BYTES_MAX


def test_votes_and_heartbeats_never_wait_behind_entries():
    assert m.channel_of(append_of([])) is Channel.VITAL
    assert m.channel_of(append_of([record()])) is Channel.BULK
    assert m.channel_of(m.Propose([])) is Channel.BULK
    for message in (m.VoteRequest(1, 1, 1), m.VoteReply(1, True), m.TimeoutNow(1)):
        assert m.channel_of(message) is Channel.VITAL

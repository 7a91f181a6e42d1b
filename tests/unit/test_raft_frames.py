"""Frames, greetings and refusals between peers: what is carried, and everything that is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante import limits
from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.raft import frames
from replicante.raft.frames import (
    Channel,
    FrameDecoder,
    FrameError,
    FrameFault,
    Hello,
    Refusal,
    RefusalCode,
)

SMALL_LIMIT_BYTES = 1_000

bodies = st.lists(st.binary(min_size=1, max_size=200), max_size=8)
cuts = st.lists(st.integers(min_value=0, max_value=2_000), max_size=12)


OPTIONAL = {"protocol_min", "birth", "configuration_index", "was_member", "join", "lineage"}
"""Parts of a greeting that older peers leave out."""


def hello(**changes: object) -> Hello:
    whole = Hello(
        cluster_name="demo",
        cluster_id=ClusterId("ab" * 16),
        generation=3,
        peer_id=PeerId("p1"),
        incarnation=Incarnation("0f" * 16),
        process="c1" * 16,
        channel=Channel.VITAL,
        raft_address="127.0.0.1:7001",
        http_address="127.0.0.1:8001",
        birth=b"\x00opaque",
    )
    return msgspec.structs.replace(whole, **changes)


def as_map(record: Hello) -> dict[str, object]:
    return msgpack.unpackb(frames.encode_hello(record))


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def fault_of(body: bytes) -> FrameFault:
    with pytest.raises(FrameError) as caught:
        frames.decode_greeting(body)
    return caught.value.fault


def feed_fault(data: bytes, *, limit_bytes: int = SMALL_LIMIT_BYTES) -> FrameFault:
    with pytest.raises(FrameError) as caught:
        FrameDecoder(limit_bytes=limit_bytes).feed(data)
    return caught.value.fault


# --- frames -----------------------------------------------------------------------------


def test_a_frame_is_length_checksum_and_body():
    assert frames.encode_frame(b"body") == struct.pack(">II", 4, crc32(b"body")) + b"body"


@given(pieces=st.lists(st.binary(max_size=50), max_size=6))
def test_a_body_in_pieces_is_the_frame_of_the_whole(pieces):
    whole = b"".join(pieces)
    assert frames.body_bytes(pieces) == frames.body_bytes(whole) == len(whole)
    if whole:
        assert frames.encode_frame(pieces) == frames.encode_frame(whole)


@given(bodies=bodies, places=cuts)
def test_frames_survive_every_cut_of_the_stream(bodies, places):
    stream = b"".join(map(frames.encode_frame, bodies))
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    received = [body for chunk in cut(stream, places) for body in decoder.feed(chunk)]
    assert received == bodies
    assert all(type(body) is bytes for body in received)
    assert decoder.is_between_frames


@given(bodies=bodies)
def test_frames_survive_arrival_byte_by_byte(bodies):
    stream = b"".join(map(frames.encode_frame, bodies))
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    received = [body for byte in stream for body in decoder.feed(bytes([byte]))]
    assert received == bodies


def test_an_incomplete_frame_is_kept_until_its_rest_arrives():
    stream = frames.encode_frame(b"body")
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    assert decoder.feed(stream[:-1]) == []
    assert not decoder.is_between_frames
    assert decoder.feed(stream[-1:]) == [b"body"]


@given(bodies=st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=5), data=st.data())
def test_a_flipped_bit_is_never_delivered(bodies, data):
    stream = bytearray(b"".join(map(frames.encode_frame, bodies)))
    bit = data.draw(st.integers(min_value=0, max_value=len(stream) * 8 - 1))
    stream[bit // 8] ^= 1 << bit % 8
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    received = []
    try:
        for chunk in cut(bytes(stream), data.draw(cuts)):
            received += decoder.feed(chunk)
    except FrameError:
        pass
    else:
        assert not decoder.is_between_frames, "the rest of a longer frame is still awaited"
    assert len(received) < len(bodies)
    assert received == bodies[: len(received)]


@given(chunks=st.lists(st.binary(max_size=60), max_size=20))
def test_arbitrary_bytes_raise_nothing_but_frame_errors(chunks):
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    for chunk in chunks:
        try:
            decoder.feed(chunk)
        except FrameError:
            return


def test_a_length_above_the_limit_is_refused_from_its_header_alone():
    header = struct.pack(">II", SMALL_LIMIT_BYTES + 1, 0)
    assert feed_fault(header) is FrameFault.TOO_LARGE


def test_a_length_above_the_limit_is_refused_when_its_header_comes_in_two():
    header = struct.pack(">II", SMALL_LIMIT_BYTES + 1, 0)
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    assert decoder.feed(header[:3]) == []
    with pytest.raises(FrameError):
        decoder.feed(header[3:])


def test_a_web_browser_is_refused_by_its_first_bytes():
    assert feed_fault(b"GET / HTTP/1.1\r\n", limit_bytes=limits.FRAME_BYTES_MAX) is (
        FrameFault.TOO_LARGE
    )


def test_a_run_of_zeros_is_no_stream_of_empty_frames():
    assert feed_fault(bytes(64)) is FrameFault.EMPTY


def test_the_limit_grows_with_trust():
    decoder = FrameDecoder(limit_bytes=10)
    decoder.set_limit(SMALL_LIMIT_BYTES)
    assert decoder.feed(frames.encode_frame(b"x" * 11)) == [b"x" * 11]


def test_the_largest_frame_passes():
    body = bytes(limits.FRAME_BYTES_MAX)
    decoder = FrameDecoder(limit_bytes=limits.FRAME_BYTES_MAX)
    assert decoder.feed(frames.encode_frame(body)) == [body]


def test_damage_in_a_frame_that_came_in_two_is_found():
    stream = bytearray(frames.encode_frame(b"body"))
    stream[-1] ^= 1
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    decoder.feed(bytes(stream[:9]))
    with pytest.raises(FrameError) as caught:
        decoder.feed(bytes(stream[9:]))
    assert caught.value.fault is FrameFault.CHECKSUM


def test_nothing_behind_damage_is_believed():
    decoder = FrameDecoder(limit_bytes=SMALL_LIMIT_BYTES)
    for data in (bytes(8), frames.encode_frame(b"good")):
        with pytest.raises(FrameError) as caught:
            decoder.feed(data)
        assert caught.value.fault is FrameFault.EMPTY


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", FrameFault.EMPTY),
        ([], FrameFault.EMPTY),
        ([b"", b""], FrameFault.EMPTY),
        (bytes(limits.FRAME_BYTES_MAX + 1), FrameFault.TOO_LARGE),
    ],
)
def test_a_body_that_no_peer_would_take_is_not_framed(body, fault):
    with pytest.raises(FrameError) as caught:
        frames.encode_frame(body)
    assert caught.value.fault is fault


# --- greetings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting",
    [
        hello(),
        hello(channel=Channel.BULK),
        hello(cluster_id=ClusterId(""), generation=0, http_address="", birth=b""),
        hello(birth=bytes(limits.HELLO_BIRTH_BYTES_MAX), raft_address="x" * 260),
    ],
)
def test_a_greeting_comes_back_as_it_was(greeting):
    body = frames.encode_hello(greeting)
    assert frames.decode_greeting(body) == greeting
    assert len(body) < limits.HANDSHAKE_BYTES_MAX


def test_a_greeting_with_unknown_fields_is_understood():
    newer = as_map(hello()) | {"mood": {"deep": [1, 2]}, "protocol_max": 9}
    assert frames.decode_greeting(msgpack.packb(newer)) == hello(protocol_max=9)


@dataclass(frozen=True)
class Bad:
    changes: dict[str, object]
    fault: FrameFault = FrameFault.MALFORMED


@pytest.mark.parametrize(
    "bad",
    [
        Bad({"magic": "something"}, FrameFault.NOT_A_PEER),
        Bad({"magic": 5}, FrameFault.NOT_A_PEER),
        Bad({"kind": 5}, FrameFault.NOT_A_PEER),
        Bad({"protocol_min": "1"}, FrameFault.NOT_A_PEER),
        Bad({"protocol_min": 2, "protocol_max": 3}, FrameFault.VERSION),
        Bad({"protocol_min": 0, "protocol_max": 0}, FrameFault.VERSION),
        Bad({"protocol_min": 0}),
        Bad({"kind": "farewell"}),
        Bad({"cluster_name": ""}),
        Bad({"cluster_name": "demo\n"}),
        Bad({"cluster_name": "x" * 129}),
        Bad({"cluster_id": "short"}),
        Bad({"cluster_id": None}),
        Bad({"generation": -1}),
        Bad({"generation": 1 << 40}),
        Bad({"generation": True}),
        Bad({"generation": 1.0}),
        Bad({"peer_id": "P1"}),
        Bad({"peer_id": "p1\n"}),
        Bad({"peer_id": "x" * 65}),
        Bad({"incarnation": ""}),
        Bad({"incarnation": "0F" * 16}),
        Bad({"process": "1"}),
        Bad({"channel": "telephone"}),
        Bad({"raft_address": ""}),
        Bad({"raft_address": "x" * 261}),
        Bad({"raft_address": "a b:1"}),
        Bad({"http_address": "\x1b[2J"}),
        Bad({"birth": "text"}),
        Bad({"birth": bytes(limits.HELLO_BIRTH_BYTES_MAX + 1)}),
    ],
    ids=str,
)
def test_a_greeting_with_a_wrong_field_is_refused(bad):
    assert fault_of(msgpack.packb(as_map(hello()) | bad.changes)) is bad.fault


@pytest.mark.parametrize("name", sorted(set(as_map(hello())) - OPTIONAL))
def test_a_greeting_without_a_required_field_is_refused(name):
    without = as_map(hello())
    del without[name]
    assert fault_of(msgpack.packb(without)) in {
        FrameFault.MALFORMED,
        FrameFault.NOT_A_PEER,
        FrameFault.VERSION,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x81\xa4kind",
        msgpack.packb([1, 2]),
        msgpack.packb({"magic": b"\xff"}),
        b"\x81\xa5magic\xa2\xff\xff",
        frames.encode_hello(hello()) + b"\x00",
    ],
)
def test_what_is_no_greeting_is_not_a_peer(body):
    assert fault_of(body) is FrameFault.NOT_A_PEER


def test_bottomless_nesting_in_an_unknown_field_is_refused():
    deep = msgpack.packb(as_map(hello()) | {"zz": 0})[:-1] + b"\x91" * 15_000 + b"\x00"
    assert len(deep) < limits.HANDSHAKE_BYTES_MAX
    assert fault_of(deep) is FrameFault.NOT_A_PEER


@given(body=st.binary(max_size=300))
def test_arbitrary_bytes_as_a_greeting_raise_nothing_but_frame_errors(body):
    with pytest.raises(FrameError):
        frames.decode_greeting(body)


@given(data=st.data())
def test_a_mutated_greeting_is_read_or_refused(data):
    body = bytearray(frames.encode_hello(hello()))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        greeting = frames.decode_greeting(bytes(body))
    except FrameError:
        return
    assert isinstance(greeting, Hello | Refusal)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(as_map(hello()))), value=values)
def test_any_value_in_any_field_is_read_or_refused(name, value):
    try:
        greeting = frames.decode_greeting(msgpack.packb(as_map(hello()) | {name: value}))
    except FrameError:
        return
    assert isinstance(greeting, Hello | Refusal)


# --- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_comes_back_as_it_was(code):
    refusal = Refusal(code=code, message="this is cluster “demo”")
    assert frames.decode_greeting(frames.encode_refusal(refusal)) == refusal


def test_a_code_of_a_newer_peer_keeps_its_message():
    record = {"magic": frames.MAGIC, "kind": "refuse", "code": "brand_new", "message": "why"}
    assert frames.decode_greeting(msgpack.packb(record)) == Refusal(
        code=RefusalCode.OTHER, message="why"
    )


def test_a_long_message_is_cut_between_characters():
    refusal = Refusal(code=RefusalCode.OTHER, message="é" * limits.REFUSAL_MESSAGE_BYTES_MAX)
    decoded = frames.decode_greeting(frames.encode_refusal(refusal))
    assert decoded.message == "é" * (limits.REFUSAL_MESSAGE_BYTES_MAX // 2)


def test_control_characters_of_a_stranger_reach_no_terminal():
    refusal = Refusal(code=RefusalCode.OTHER, message="\x1b[2Jgone\n")
    assert frames.decode_greeting(frames.encode_refusal(refusal)).message == "?[2Jgone?"


@pytest.mark.parametrize("record", [{"code": 5, "message": ""}, {"code": "other"}])
def test_a_refusal_with_a_wrong_field_is_refused_itself(record):
    body = msgpack.packb({"magic": frames.MAGIC, "kind": "refuse"} | record)
    assert fault_of(body) is FrameFault.MALFORMED


def test_an_error_says_what_is_wrong():
    with pytest.raises(FrameError, match=r"version: it speaks protocol 7 to 8, this peer 1 to 1"):
        frames.decode_greeting(frames.encode_hello(hello(protocol_min=7, protocol_max=8)))

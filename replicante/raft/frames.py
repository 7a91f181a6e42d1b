"""Decides which bytes pass between peers: frames, the greeting that opens a link, its refusal.
Pure. Called by raft.links; raft.transport builds greetings from what the peer knows of itself.
Rules: a length is judged before anything is kept for it; decoders raise FrameError and nothing
else; the bodies of later frames are opaque here (ADR 0011).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import Annotated, TypeVar
from zlib import crc32

import msgspec
from msgspec import Meta

from replicante import limits
from replicante.ids import GENERATION_MAX, ClusterId, Incarnation, PeerId

HEADER_BYTES = 8
"""Length of the body, then its crc32, both big-endian and unsigned."""
MAGIC = "replicante-peer"
PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
"""Versions of this protocol that this code speaks; two peers use the greatest that both do."""

_HEADER = struct.Struct(">II")
_Record = TypeVar("_Record")


class FrameFault(enum.Enum):
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    CHECKSUM = "checksum"
    NOT_A_PEER = "not_a_peer"
    """The bytes are no greeting of this protocol: a stranger, a browser, a port scanner."""
    VERSION = "version"
    MALFORMED = "malformed"


class FrameError(Exception):
    """Bytes that a peer cannot accept; the connection that brought them is dropped.

    Never leaves the Raft room. A reader of message bodies may raise it too, with MALFORMED.
    """

    def __init__(self, fault: FrameFault, detail: str) -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.value}: {detail}")


class Channel(enum.StrEnum):
    """One TCP connection each way and channel, so that bulk never delays a heartbeat."""

    VITAL = "vital"
    BULK = "bulk"


class RefusalCode(enum.Enum):
    """Why a peer will not talk to another. On the wire: a name is never reused."""

    VERSION = "version"
    MALFORMED = "malformed"
    SELF = "self"
    """The connection leads back to the peer that opened it."""
    IDENTITY_CLASH = "identity_clash"
    """Both ends claim one peer id, with another data directory or with a copy of it."""
    WRONG_PEER = "wrong_peer"
    """Another peer than the one expected answers at this address."""
    REPLACED = "replaced"
    """A newer connection of the same peer, incarnation and channel took the place of this one."""
    CLUSTER_NAME = "cluster_name"
    CLUSTER_ID = "cluster_id"
    GENERATION = "generation"
    INCARNATION = "incarnation"
    NOT_A_MEMBER = "not_a_member"
    REMOVED = "removed"
    """A committed configuration, no older than any that the other has, does not list it."""
    TOKEN = "token"
    """It asks to join with a token that is not good here, or not yet."""
    STOPPING = "stopping"
    CERTIFICATE = "certificate"
    """The certificate names another peer or another cluster than the greeting."""
    TLS = "tls"
    """One end speaks TLS, the other plain TCP."""
    OTHER = "other"
    """A newer peer's reason that this one has no name for; the message still tells it."""


_Hex32 = Meta(pattern=r"\A[0-9a-f]{32}\Z")
_Address = Meta(pattern=rf"\A[!-~]{{1,{limits.ADDRESS_BYTES_MAX}}}\Z")


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="hello"):
    """First frame of each side of a connection: who speaks, for which cluster, on which channel.

    Fields that a newer peer adds are ignored as long as the version ranges overlap.
    """

    magic: str = MAGIC
    protocol_min: Annotated[int, Meta(ge=1, le=0xFFFF)] = PROTOCOL_MIN
    protocol_max: Annotated[int, Meta(ge=1, le=0xFFFF)] = PROTOCOL_MAX
    cluster_name: Annotated[str, Meta(pattern=rf"\A{limits.NAME_PATTERN}\Z")]
    cluster_id: Annotated[ClusterId, Meta(pattern=r"\A([0-9a-f]{32})?\Z")]
    """Empty before genesis."""
    generation: Annotated[int, Meta(ge=0, le=GENERATION_MAX)]
    peer_id: Annotated[PeerId, Meta(pattern=rf"\A{limits.PEER_ID_PATTERN}\Z")]
    incarnation: Annotated[Incarnation, _Hex32]
    process: Annotated[str, _Hex32]
    """Minted by each start of a process: tells a connection to oneself, or a restart, from a copy
    of one's data directory."""
    channel: Channel
    raft_address: Annotated[str, _Address]
    http_address: Annotated[str, Meta(pattern=rf"\A[!-~]{{0,{limits.ADDRESS_BYTES_MAX}}}\Z")]
    """May be empty."""
    birth: Annotated[bytes, Meta(max_length=limits.HELLO_BIRTH_BYTES_MAX)] = b""
    """Opaque here; peers exchange genesis through it."""
    configuration_index: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    """Of the newest configuration in the sender's log; 0 before genesis."""
    was_member: bool = False
    """A configuration in its log lists or listed the sender."""
    join: Annotated[str, Meta(pattern=r"\A([0-9a-f]{32})?\Z")] = ""
    """Secret of the token with which a new peer asks to become a learner (ADR 0022)."""
    lineage: Annotated[str, Meta(pattern=r"\A([0-9a-f]{32})?\Z")] = ""
    """Of the sender's generation, see `LogHeader`; empty in generation 0."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a peer ends a connection; the last frame on it. `message` is for people."""

    code: RefusalCode
    message: str


class _RefusalRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refuse"):
    magic: str = MAGIC
    code: str
    message: str


class _Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What every version of a greeting or refusal has; read before anything else is believed."""

    magic: str
    kind: str
    protocol_min: int = 0
    protocol_max: int = 0


_OPENING = msgspec.msgpack.Decoder(_Opening)
_HELLO = msgspec.msgpack.Decoder(Hello)
_REFUSAL = msgspec.msgpack.Decoder(_RefusalRecord)
_CODES = {code.value: code for code in RefusalCode}


def body_bytes(body: bytes | Sequence[bytes]) -> int:
    return len(body) if isinstance(body, bytes) else sum(map(len, body))


def frame_parts(body: bytes | Sequence[bytes]) -> list[bytes]:
    """The frame of one body as buffers to be written in order, without copying the body.

    A sequence is one body in pieces. Raises FrameError: EMPTY, or TOO_LARGE above FRAME_BYTES_MAX.
    """
    pieces = [body] if isinstance(body, bytes) else list(body)
    length, checksum = 0, 0
    for piece in pieces:
        length += len(piece)
        checksum = crc32(piece, checksum)
    _check_length(length, limit_bytes=limits.FRAME_BYTES_MAX)
    return [_HEADER.pack(length, checksum), *pieces]


def encode_frame(body: bytes | Sequence[bytes]) -> bytes:
    return b"".join(frame_parts(body))


class FrameDecoder:
    """Cuts a stream back into the bodies that were framed, however the network cut it.

    Keeps at most one incomplete frame, and none whose length exceeds the limit. After an error
    every further call raises it again: nothing behind damaged bytes can be trusted.
    """

    __slots__ = ("_error", "_limit_bytes", "_partial")

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._partial = bytearray()
        self._error: FrameError | None = None

    @property
    def is_between_frames(self) -> bool:
        return not self._partial

    def set_limit(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies completed by these bytes, in order. Raises FrameError (EMPTY, TOO_LARGE,
        CHECKSUM); bodies that the same bytes completed before the damage are lost with it.
        """
        if self._error is not None:
            raise FrameError(self._error.fault, self._error.detail)
        try:
            return self._feed(data)
        except FrameError as error:
            self._error = error
            self._partial.clear()
            raise

    def _feed(self, data: bytes) -> list[bytes]:
        bodies: list[bytes] = []
        position = self._complete(data, bodies) if self._partial else 0
        end = len(data)
        limit_bytes = self._limit_bytes
        while end - position >= HEADER_BYTES:
            length, checksum = _HEADER.unpack_from(data, position)
            if not 0 < length <= limit_bytes:
                _check_length(length, limit_bytes=limit_bytes)
            start = position + HEADER_BYTES
            if start + length > end:
                break
            position = start + length
            body = data[start:position]
            if crc32(body) != checksum:
                raise _damaged(length)
            bodies.append(body)
        if position < end:
            self._partial += data[position:]
        return bodies

    def _complete(self, data: bytes, bodies: list[bytes]) -> int:
        """Adds to the incomplete frame what it lacks; the count of bytes taken from `data`."""
        partial = self._partial
        taken = 0
        if len(partial) < HEADER_BYTES:
            taken = min(HEADER_BYTES - len(partial), len(data))
            partial += data[:taken]
            if len(partial) < HEADER_BYTES:
                return taken
        length: int
        length, checksum = _HEADER.unpack_from(partial)
        _check_length(length, limit_bytes=self._limit_bytes)
        missing = HEADER_BYTES + length - len(partial)
        partial += data[taken : taken + missing]
        if len(partial) < HEADER_BYTES + length:
            return len(data)
        with memoryview(partial) as view:
            body = bytes(view[HEADER_BYTES:])
        partial.clear()
        if crc32(body) != checksum:
            raise _damaged(length)
        bodies.append(body)
        return taken + missing


def encode_hello(hello: Hello) -> bytes:
    return msgspec.msgpack.encode(hello)


def encode_refusal(refusal: Refusal) -> bytes:
    """The message is cut to REFUSAL_MESSAGE_BYTES_MAX."""
    message = refusal.message.encode("utf-8", "replace")[: limits.REFUSAL_MESSAGE_BYTES_MAX]
    record = _RefusalRecord(code=refusal.code.value, message=message.decode("utf-8", "ignore"))
    return msgspec.msgpack.encode(record)


def decode_greeting(body: bytes) -> Hello | Refusal:
    """The first frame of a connection, or the last.

    Raises FrameError: NOT_A_PEER, VERSION when no version is shared, MALFORMED.
    """
    opening = _decode(_OPENING, body, fault=FrameFault.NOT_A_PEER)
    if opening.magic != MAGIC:
        raise FrameError(FrameFault.NOT_A_PEER, "the magic is not that of a peer")
    if opening.kind == "refuse":
        return _printable(_decode(_REFUSAL, body, fault=FrameFault.MALFORMED))
    if opening.protocol_max < PROTOCOL_MIN or opening.protocol_min > PROTOCOL_MAX:
        raise FrameError(
            FrameFault.VERSION,
            f"it speaks protocol {opening.protocol_min} to {opening.protocol_max},"
            f" this peer {PROTOCOL_MIN} to {PROTOCOL_MAX}",
        )
    return _decode(_HELLO, body, fault=FrameFault.MALFORMED)


def _decode(
    decoder: msgspec.msgpack.Decoder[_Record], body: bytes, *, fault: FrameFault
) -> _Record:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(fault, str(error)) from error


def _printable(record: _RefusalRecord) -> Refusal:
    """A stranger's words reach logs and terminals: no control characters, bounded length."""
    words = record.message[: limits.REFUSAL_MESSAGE_BYTES_MAX]
    message = "".join(letter if letter.isprintable() else "?" for letter in words)
    return Refusal(code=_CODES.get(record.code, RefusalCode.OTHER), message=message)


def _check_length(length: int, *, limit_bytes: int) -> None:
    if length == 0:
        raise FrameError(FrameFault.EMPTY, "a frame without a body")
    if length > limit_bytes:
        raise FrameError(
            FrameFault.TOO_LARGE, f"a frame of {length} bytes, {limit_bytes} are allowed here"
        )


def _damaged(length: int) -> FrameError:
    return FrameError(
        FrameFault.CHECKSUM, f"the checksum of a frame of {length} bytes does not match"
    )

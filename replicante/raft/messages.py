"""Every message between peers, its fields, its encoding (ADR 0011). Pure.

A message is a msgpack array whose first element is its tag; a tag is never reused, fields are
only added at the end with a default. Decoding accepts exactly these types and shapes: anything
else is a FrameError, and the connection that carried it is dropped. Terms, indexes and rounds
are unsigned 63-bit integers.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from replicante import limits
from replicante.raft.frames import Channel, FrameError, FrameFault

Unsigned = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX)]
Blob = Annotated[bytes, Meta(max_length=limits.ENTRY_BYTES_MAX)]
Command = Annotated[bytes, Meta(max_length=limits.COMMAND_BYTES_MAX)]
"""A larger one would make an entry that no follower takes."""
Chain = Annotated[bytes, Meta(min_length=16, max_length=16)]


class WireRecord(msgspec.Struct, array_like=True, frozen=True):
    """A log entry in an append message; its index follows from its place, its chain is
    recomputed."""

    term: Unsigned
    kind: Annotated[int, Meta(ge=0, le=255)]
    clock_ms: Unsigned
    wall_ms: Unsigned
    payload: Blob


class Append(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """AppendEntries (Raft paper, figure 2), also the heartbeat when it carries no entries."""

    term: Unsigned
    prev_index: Unsigned
    prev_term: Unsigned
    commit_index: Unsigned
    clock_ms: Unsigned
    """The leader's cluster clock (ADR 0013)."""
    round: Unsigned
    """Grows with every broadcast of this leader in this term; echoed by the acknowledgement."""
    echoed_round: Unsigned
    """Newest round that this follower echoed in this term; 0 before the first."""
    quorum_age_ms: int
    """Age of the leader's own quorum confirmation; −1 when it has none in this term, or has not
    committed an entry of this term."""
    entries: Annotated[list[WireRecord], Meta(max_length=limits.APPEND_ENTRIES_MAX)] = []
    chain: bytes = b""
    """Chain of the last of `entries`: a follower that computes another one has another history
    and stops."""


class AppendAck(msgspec.Struct, array_like=True, frozen=True, tag=2):
    term: Unsigned
    round: Unsigned
    is_success: bool
    match_index: Unsigned
    """On success: entries up to here are durable on the follower and equal to the leader's."""
    hint_index: Unsigned = 0
    hint_term: Unsigned = 0
    """On refusal: the newest place where the logs may agree (back-off by term runs)."""


class VoteRequest(msgspec.Struct, array_like=True, frozen=True, tag=3):
    term: Unsigned
    last_index: Unsigned
    last_term: Unsigned
    is_transfer: bool = False
    """The old leader asked for this election: followers do not stick to it (thesis §4.2.3)."""
    configuration_index: Unsigned = 0
    """Of the sender's newest configuration (thesis §4.1)."""


class VoteReply(msgspec.Struct, array_like=True, frozen=True, tag=4):
    term: Unsigned
    is_granted: bool


class PreVoteRequest(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Would you vote for me? Changes nothing on either side (thesis §9.6)."""

    next_term: Unsigned
    last_index: Unsigned
    last_term: Unsigned
    configuration_index: Unsigned = 0


class PreVoteReply(msgspec.Struct, array_like=True, frozen=True, tag=6):
    term: Unsigned
    next_term: Unsigned
    is_granted: bool


class TimeoutNow(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """The leader hands over: the receiver starts an election at once (thesis §3.10)."""

    term: Unsigned


class WireCommand(msgspec.Struct, array_like=True, frozen=True):
    session: Unsigned
    sequence: Unsigned
    floor: Unsigned
    data: Command


class Propose(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Commands for the leader; repeated to the next leader until the proposer applies them (ADR
    0014)."""

    commands: Annotated[list[WireCommand], Meta(max_length=limits.PROPOSALS_PENDING_MAX)]
    boot: Unsigned = 0
    """Not 0: the sender also asks for a session, as the process of this boot (ADR 0014)."""


class ReadIndexRequest(msgspec.Struct, array_like=True, frozen=True, tag=9):
    number: Unsigned


class ReadIndexReply(msgspec.Struct, array_like=True, frozen=True, tag=10):
    number: Unsigned
    index: Unsigned


class BirthNotice(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """A `birth.BirthNote`, told on every new link and whenever it changes (ADR 0012)."""

    note: Annotated[bytes, Meta(max_length=limits.HELLO_BIRTH_BYTES_MAX)]


class SnapshotChunk(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """InstallSnapshot (paper §7): a part of the state as of `index`, which was committed. The
    frame's checksum guards the part, `digest` the whole. It never moves a commit index."""

    term: Unsigned
    """Of the sender, who leads."""
    index: Unsigned
    index_term: Unsigned
    clock_ms: Unsigned
    chain: Chain
    """Term, clock and chain of the entry at `index`: the log of the receiver begins there."""
    configuration_index: Unsigned
    configuration: Annotated[bytes, Meta(max_length=limits.CONFIGURATION_BYTES_MAX)]
    size_bytes: Unsigned
    digest: Annotated[bytes, Meta(min_length=16, max_length=16)]
    """blake2b-128 of all `size_bytes`."""
    offset: Unsigned
    data: Annotated[bytes, Meta(max_length=limits.SNAPSHOT_CHUNK_BYTES)]


class SnapshotAck(msgspec.Struct, array_like=True, frozen=True, tag=13):
    term: Unsigned
    index: Unsigned
    offset: Unsigned
    """The receiver has everything before it; the sender goes on, or begins again, there."""
    is_installed: bool = False
    """Its state is durably at `index` or further."""


class ChangeRequest(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """A change of the members, or of the leader, for the leader of `term`; the other fields are
    those of `changes.Change`. Repeated until the sender sees it done (ADR 0021)."""

    term: Unsigned
    number: Unsigned
    kind: Annotated[int, Meta(ge=0, le=255)]
    peer_id: Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX)]
    incarnation: Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX)] = ""
    address: Annotated[str, Meta(max_length=limits.ADDRESS_BYTES_MAX)] = ""
    digest: Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX)] = ""
    valid_ms: Unsigned = 0


class ChangeReply(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Refused: this request did not happen and will not. That it happened, or an earlier one for
    the same change, is told by the log."""

    term: Unsigned
    number: Unsigned
    message: Annotated[str, Meta(max_length=limits.REFUSAL_MESSAGE_BYTES_MAX)]
    commit_index: Unsigned = 0
    """Of the leader: whatever happened before is told by the log up to it."""


class Standing(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """What a peer says of its state machine: told on every new link, and to everybody when it
    changes (ADR 0044, ADR 0045)."""

    level_max: Unsigned
    """Highest level that its state machine supports."""
    digests: Annotated[list[tuple[Unsigned, Name]], Meta(max_length=limits.DIGESTS_KEPT)] = []
    """(index, digest of the whole state at it), oldest first."""
    quarantined_index: Unsigned = 0
    """Not 0: it knows since this index that its state is wrong."""


Message = (
    Append
    | AppendAck
    | VoteRequest
    | VoteReply
    | PreVoteRequest
    | PreVoteReply
    | TimeoutNow
    | Propose
    | ReadIndexRequest
    | ReadIndexReply
    | BirthNotice
    | SnapshotChunk
    | SnapshotAck
    | ChangeRequest
    | ChangeReply
    | Standing
)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    return _encoder.encode(message)


def decode_message(body: bytes) -> Message:
    """Raises FrameError; never anything else, whatever the bytes."""
    try:
        message: Message = _decoder.decode(body)
    except (ValueError, RecursionError) as error:  # also a text that is no UTF-8
        raise FrameError(FrameFault.MALFORMED, str(error)) from error
    return message


def channel_of(message: Message) -> Channel:
    match message:
        case Append():
            return Channel.BULK if message.entries else Channel.VITAL
        case Propose() | SnapshotChunk():
            return Channel.BULK
        case _:
            return Channel.VITAL

from __future__ import annotations

import msgpack
import pytest

from replicante.errors import FatalError, Invalid
from replicante.limits import KV_KEY_BYTES_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.command_bytes import Tag, pack_command, unpack_command
from replicante.state.commands import (
    Batch,
    DeleteObject,
    KvDelete,
    KvGet,
    KvPut,
    KvTxn,
    PutObject,
    SetEventRetention,
    SetFeatureLevel,
    stamps_max,
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.fences import Fence, FenceOn
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordChange,
    RecordCycle,
    RequestWork,
)

NAMESPACE = ObjectKind.NAMESPACE

# One of each, with the bytes that stand in logs for ever.
PACKED = [
    (KvPut(b"k", b"\xc0"), "9401c4016bc401c0c0"),
    (KvPut(b"k", b"\xc0", Expect.at(1 << 16)), "9401c4016bc401c0ce00010000"),
    (KvPut(b"k", b"\xc0", Expect.absent()), "9401c4016bc401c000"),
    (KvPut(b"k", b"\xc0", Expect.present()), "9401c4016bc401c0ff"),
    (KvDelete(b"k"), "9302c4016bc0"),
    (
        PutObject(NAMESPACE, ("a",), b"\x80", ("f",), None),
        "96030191a161c4018091a166c0",
    ),
    (DeleteObject(NAMESPACE, ("a",)), "94040191a161c0"),
    (Batch((KvDelete(b"k"), KvDelete(b"l"))), "9205929302c4016bc09302c4016cc0"),
    (SetFeatureLevel(2), "920602"),
    (SetEventRetention(1, 2, 3), "9407010203"),
    (KvPut(b"k", b"\xc0", None, 1 << 16), "9501c4016bc401c0c0ce00010000"),
    (
        KvTxn(
            (
                Compare(b"k", CompareKind.ABSENT),
                Compare(b"k", CompareKind.REVISION_LESS, 7),
                Compare(b"k", CompareKind.VALUE_EQUALS, b"\xc0"),
            ),
            (KvGet(b"k"),),
            (KvDelete(b"k"),),
        ),
        "9408939201c4016b9304c4016b079306c4016bc401c0919209c4016b919302c4016bc0",
    ),
    (LeaseAcquire("l", 1_000, b"\x80"), "940aa16ccd03e8c40180"),
    (LeaseRenew("l", 7), "940ba16c07c0"),
    (LeaseRenew("l", 7, 1_000), "940ba16c07cd03e8"),
    (LeaseRelease("l", 7), "930ca16c07"),
    (LeaseForceRelease("l", "why"), "930da16ca3776879"),
    (
        PutObject(ObjectKind.CLUSTER_SPEC, ("n", "c"), b"\x80", labels=(("a", "b"),)),
        "97030392a16ea163c4018090c09192a161a162",
    ),
    (
        CreateAction(ActionOn.NODE, ("n", "c", "i"), b"\x80", True),
        "95280193a16ea163a169c40180c3",
    ),
    (
        MoveAction(ActionOn.CLUSTER, ("n", "c", "i"), ActionVerb.CANCEL, "why"),
        "95290293a16ea163a16903a3776879",
    ),
    (
        RecordCycle(
            Fence(FenceOn.CLUSTER, "n", "c", 7),
            (
                RecordChange(
                    RecordKind.NODE,
                    ("n", "c", "x"),
                    None,
                    b"\x80",
                    ChangeCode.NODE_SYNC_NEW,
                    "y",
                ),
                RecordChange(RecordKind.REPORT, ("n", "c"), 5, None, None),
            ),
        ),
        (
            "952a9401a16ea163079296a46e6f646593a16ea163a178c0c40180ad4e4f44455f53594e435f4e4557a179"
            "96a67265706f727492a16ea16305c0c0c090c0"
        ),
    ),
    (
        RecordCycle(Fence(FenceOn.PLATFORM, "n", "p", 7), (), (("c", b"\x80"),), b"\x80"),
        "952a9402a16ea17007909192a163c40180c40180",
    ),
    (
        RecordCycle(Fence(FenceOn.CLUSTER, "n", "c", 7), (), answers=9),
        "962a9401a16ea163079090c009",
    ),
    (DropRecords("n", "c"), "932ba16ea163"),
    (
        QueueEnqueue("q", (NewJob(body=b"\xc0", group="g", attempts_max=5),)),
        "931ea1719196c401c00000a167c005",
    ),
    (PutConsumer("c", 7, Expect.absent()), "9414a1630700"),
    (DeleteConsumer("c"), "9315a163c0"),
    (QueueClaim("q", 2, 1_000, "w", 7), "961fa17102cd03e8a17707"),
    (QueueAck("q", 7, 8, (KvDelete(b"k"),)), "9520a1710708919302c4016bc0"),
    (QueueNack("q", 7, 8, 9, "r"), "9621a171070809a172"),
    (QueueExtend("q", 7, 8), "9522a1710708c0"),
    (QueuePause("q", "r"), "9323a171a172"),
    (QueueResume("q"), "9224a171"),
    (QueueRedrive("q", 0, (7,)), "9425a171009107"),
    (QueueRedrive("q", 5, (), 7), "9525a171059007"),
    (QueuePurge("q", 9, True, "r"), "9526a17109c3a172"),
    (QueuePurge("q", 9, False, "r", 7), "9626a17109c2a17207"),
    (RequestWork(FenceOn.PLATFORM, "n", "p"), "942c02a16ea170"),
    (ConfirmDiscovery("n", "c", ("a", "b"), "why"), "952da16ea16392a161a162a3776879"),
    (NoteQuarantine("p", "i", 7, (("o", "x"), ("p", "y"))), "9532a170a169079292a16fa17892a170a179"),
]


@pytest.mark.parametrize(("command", "packed"), PACKED)
def test_a_command_packs_to_the_same_bytes_for_ever(command, packed):
    assert msgpack.packb(pack_command(command)).hex() == packed


@pytest.mark.parametrize(("command", "packed"), PACKED)
def test_a_packed_command_is_read_back(command, packed):
    assert unpack_command(msgpack.unpackb(bytes.fromhex(packed))) == command


def test_every_tag_is_covered():
    # A get stands only inside a transaction.
    covered = {unpacked[0] for unpacked in (pack_command(c) for c, _ in PACKED)}
    assert covered | {Tag.KV_GET} == set(Tag)


def test_tags_never_change():
    assert {tag.name: int(tag) for tag in Tag} == {
        "KV_PUT": 1,
        "KV_DELETE": 2,
        "PUT_OBJECT": 3,
        "DELETE_OBJECT": 4,
        "BATCH": 5,
        "SET_FEATURE_LEVEL": 6,
        "SET_EVENT_RETENTION": 7,
        "KV_TXN": 8,
        "KV_GET": 9,
        "LEASE_ACQUIRE": 10,
        "LEASE_RENEW": 11,
        "LEASE_RELEASE": 12,
        "LEASE_FORCE_RELEASE": 13,
        "CREATE_ACTION": 40,
        "MOVE_ACTION": 41,
        "RECORD_CYCLE": 42,
        "DROP_RECORDS": 43,
        "PUT_CONSUMER": 20,
        "DELETE_CONSUMER": 21,
        "QUEUE_ENQUEUE": 30,
        "QUEUE_CLAIM": 31,
        "QUEUE_ACK": 32,
        "QUEUE_NACK": 33,
        "QUEUE_EXTEND": 34,
        "QUEUE_PAUSE": 35,
        "QUEUE_RESUME": 36,
        "QUEUE_REDRIVE": 37,
        "QUEUE_PURGE": 38,
        "REQUEST_WORK": 44,
        "CONFIRM_DISCOVERY": 45,
        "NOTE_QUARANTINE": 50,
    }


@pytest.mark.parametrize(
    "packed",
    [
        [],
        [1, b"k", b"\xc0", None, 0],
        [1, b"k", b"\xc0", None, 1, 1],
        [8, [], [[5, []]], []],
        [8, [[1, b""]], [], []],
        [8, [[7, b"k"]], [], []],
        [8, [[1, b"k", 1]], [], []],
        [8, [[3, b"k", b"x"]], [], []],
        [8, [[3, b"k", 0]], [], []],
        [9, b"k"],
        [10, "", 1_000, b"\x80"],
        [10, "l" * 129, 1_000, b"\x80"],
        [10, "l", 0, b"\x80"],
        [10, "l", 1, "x"],
        [11, "l", -1, None],
        [12, "l", "1"],
        [13, "l", b"x"],
        [3, 3, ["n"], b"\x80", [], None, [["a"]]],
        [3, 3, ["n"], b"\x80", [], None, [["a", 1]]],
        [40, 3, ["n"], b"\x80", True],
        [40, 1, ["n"], b"\x80", 1],
        [40, 1, ["n"], "x", True],
        [41, 1, ["n"], 4, ""],
        [41, 1, ["n"], 1, b""],
        [42, [1, "n", "c", 0], [], [], None],
        [42, [3, "n", "c", 1], [], [], None],
        [42, [1, "n", "c", 1], [["nouns", [], None, None, None, None]], [], None],
        [42, [1, "n", "c", 1], [["node", [], 0, None, None, None]], [], None],
        [42, [1, "n", "c", 1], [["node", [], None, "x", None, None]], [], None],
        [42, [1, "n", "c", 1], [["node", [], None, None, "NO_CODE", None]], [], None],
        [42, [1, "n", "c", 1], [["node", [], None, None, None, 1]], [], None],
        [42, [1, "n", "c", 1], [], [["c", "x"]], None],
        [42, [1, "n", "c", 1], [], [], "x"],
        [42, [1, "n", "c", 1], [], [], None, 0],
        [43, "n", 1],
        [44, 3, "n", "c"],
        [44, 1, "n", None],
        [50, "p", "i", 0, []],
        [50, b"p", "i", 7, []],
        [50, "p", "i", 7, [["o"]]],
        [50, "p", "i", 7, [["o", 1]]],
        [99],
        [0],
        [None],
        ["1", b"k", b"\xc0", None],
        "text",
        None,
        7,
        {},
        [1],
        [1, b"k", b"\xc0"],
        [1, b"k", b"\xc0", None, None],
        [1, "k", b"\xc0", None],
        [1, b"", b"\xc0", None],
        [1, b"k" * (KV_KEY_BYTES_MAX + 1), b"\xc0", None],
        [1, b"\xff", b"\xc0", None],
        [1, b"k", "v", None],
        [1, b"k", b"\xc0", -2],
        [1, b"k", b"\xc0", True],
        [1, b"k", b"\xc0", "1"],
        [2, b"k"],
        [2, 5, None],
        [3, 99, ["a"], b"\x80", [], None],
        [3, 1, "a", b"\x80", [], None],
        [3, 1, [b"a"], b"\x80", [], None],
        [3, 1, ["a"], "x", [], None],
        [3, 1, ["a"], b"\x80", None, None],
        [4, 1, ["a"]],
        [5, None],
        [5, [[6, 1]]],
        [5, [[5, [[2, b"k", None]]]]],
        [5, [[]]],
        [6, -1],
        [6, 1.0],
        [6, True],
        [7, 1, 2],
        [[1], b"k"],
    ],
    ids=repr,
)
def test_what_admission_never_makes_is_fatal(packed):
    with pytest.raises(FatalError):
        unpack_command(packed)


def test_a_broken_command_is_described_without_its_content():
    with pytest.raises(FatalError) as caught:
        unpack_command([1, "secret", "secret", None])
    assert "secret" not in str(caught.value)
    assert "tag 1 with 3 fields" in str(caught.value)


@pytest.mark.parametrize("revision", [0, -1])
def test_no_thing_has_a_revision_that_is_not_positive(revision):
    with pytest.raises(Invalid):
        Expect.at(revision)


def test_a_batch_may_use_stamps_for_each_operation():
    assert stamps_max(Batch((KvDelete(b"k"),) * 1_000)) == 4_000
    assert stamps_max(KvDelete(b"k")) == 4

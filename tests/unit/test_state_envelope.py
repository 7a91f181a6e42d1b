from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante import limits
from replicante.errors import BodyTooLarge, FatalError, Invalid, RequestError
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
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
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.envelope import Envelope, admit, bytes_least, unpack_envelope
from replicante.state.expect import Expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.testing.builders import kv_delete, kv_put

NULL = b"\xc0"


def admit_command(command, **fields):
    return admit(Envelope(request_id="r", command=command, **fields))


def test_admitted_bytes_are_what_apply_reads():
    command = kv_put("a", [1], expect=Expect.at(9))
    encoded = admit(
        Envelope(
            request_id="r-1",
            actor="ann",
            command=command,
            idempotency_key="k",
            first_attempt_ms=5,
        )
    )
    unpacked = unpack_envelope(encoded)
    assert (unpacked.request_id, unpacked.actor, unpacked.command) == ("r-1", "ann", command)
    key, first_ms, fingerprint = unpacked.idempotency
    assert (key, first_ms, len(fingerprint)) == ("k", 5, 16)


def test_admitted_bytes_never_change():
    assert admit_command(kv_put("a", 1)).hex() == "9601a172a0c09401c40161c40101c0c0"


def test_the_fingerprint_is_of_the_command_alone():
    def fingerprint(command, **fields):
        return unpack_envelope(admit(Envelope(command=command, **fields))).idempotency[2]

    one = fingerprint(kv_put("a", 1), request_id="r1", idempotency_key="k")
    assert one == fingerprint(kv_put("a", 1), request_id="r2", actor="x", idempotency_key="l")
    assert one != fingerprint(kv_put("a", 2), request_id="r1", idempotency_key="k")


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (KvPut(b"", NULL), "key"),
        (KvPut(b"k" * (limits.KV_KEY_BYTES_MAX + 1), NULL), "key"),
        (KvPut(b"\xff", NULL), "key"),
        (KvPut(b"k", b""), "value"),
        (KvPut(b"k", b"\xcc\x01"), "value"),
        (KvPut(b"k", b"\x01\x01"), "value"),
        (KvPut(b"k", NULL, Expect(1 << 63)), "expect"),
        (KvDelete(b""), "key"),
        (PutObject(ObjectKind.NAMESPACE, (), b"\x80"), "scope"),
        (PutObject(ObjectKind.NAMESPACE, ("a", "b"), b"\x80"), "scope"),
        (PutObject(ObjectKind.NAMESPACE, ("",), b"\x80"), "scope[0]"),
        (PutObject(ObjectKind.NAMESPACE, ("a" * 129,), b"\x80"), "scope[0]"),
        (PutObject(ObjectKind.NAMESPACE, ("\ud800",), b"\x80"), "scope[0]"),
        (PutObject(ObjectKind.NAMESPACE, ("a",), b"\x80\x00"), "spec"),
        (PutObject(ObjectKind.NAMESPACE, ("a",), b"\x80", ("b", "a")), "metadata.finalisers"),
        (PutObject(ObjectKind.NAMESPACE, ("a",), b"\x80", ("a", "a")), "metadata.finalisers"),
        (PutObject(ObjectKind.NAMESPACE, ("a",), b"\x80", ("",)), "metadata.finalisers[0]"),
        (
            PutObject(ObjectKind.NAMESPACE, ("a",), b"\x80", tuple(map(str, range(10, 27)))),
            "metadata.finalisers",
        ),
        (DeleteObject(ObjectKind.NAMESPACE, ("a", "b")), "scope"),
        (Batch(()), "operations"),
        (Batch((kv_delete("a"),) * (limits.REQUEST_OPERATIONS_MAX + 1)), "operations"),
        (Batch((kv_delete("a"), KvPut(b"\xff", NULL))), "operations[1].key"),
        (KvPut(b"k", NULL, None, 0), "lease"),
        (KvTxn((), ()), ""),
        (KvTxn((), (KvGet(b"k"),) * (limits.REQUEST_OPERATIONS_MAX + 1)), ""),
        (KvTxn((Compare(b"", CompareKind.ABSENT),), ()), "compares[0].key"),
        (KvTxn((Compare(b"k", CompareKind.ABSENT, 1),), ()), "compares[0]"),
        (KvTxn((Compare(b"k", CompareKind.REVISION_LESS),), ()), "compares[0].revision"),
        (KvTxn((Compare(b"k", CompareKind.REVISION_LESS, 0),), ()), "compares[0].revision"),
        (KvTxn((Compare(b"k", CompareKind.VALUE_EQUALS),), ()), "compares[0].value"),
        (KvTxn((Compare(b"k", CompareKind.VALUE_EQUALS, b""),), ()), "compares[0].value"),
        (KvTxn((), (KvGet(b""),)), "then[0].key"),
        (KvTxn((), (kv_put("a", 1, expect=Expect.absent()),)), "then[0].expect"),
        (KvTxn((), (), (KvPut(b"k", b""),)), "otherwise[0].value"),
        (LeaseAcquire("", 1_000, b"\x80"), "name"),
        (LeaseAcquire("l" * 129, 1_000, b"\x80"), "name"),
        (LeaseAcquire("l", limits.LEASE_MS_MIN - 1, b"\x80"), "duration"),
        (LeaseAcquire("l", limits.LEASE_MS_MAX + 1, b"\x80"), "duration"),
        (LeaseAcquire("l", 1_000, NULL), "owner"),
        (LeaseAcquire("l", 1_000, b"\x81"), "owner"),
        (LeaseRenew("l", 0), "token"),
        (LeaseRenew("l", 1, 999), "duration"),
        (LeaseRelease("l", 1 << 63), "token"),
        (LeaseForceRelease("l", ""), "reason"),
        (LeaseForceRelease("l", "x" * (limits.LEASE_REASON_BYTES_MAX + 1)), "reason"),
        (SetFeatureLevel(0), "level"),
        (SetFeatureLevel(99), "level"),
        (SetEventRetention(-1, 1, 1), "count_max"),
        (SetEventRetention(1, 1 << 63, 1), "bytes_max"),
        (SetEventRetention(1, 1, -1), "age_ms_max"),
    ],
)
def test_a_fault_is_refused_before_it_is_proposed(command, path):
    with pytest.raises(Invalid) as caught:
        admit_command(command)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"actor": "a" * (limits.ACTOR_BYTES_MAX + 1)}, "actor"),
        ({"actor": "\ud800"}, "actor"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * (limits.IDEMPOTENCY_KEY_BYTES_MAX + 1)}, "idempotency_key"),
        ({"idempotency_key": "\udcff"}, "idempotency_key"),
        ({"idempotency_key": "k", "first_attempt_ms": -1}, "first_attempt_ms"),
        ({"idempotency_key": "k", "first_attempt_ms": 1 << 63}, "first_attempt_ms"),
        ({"first_attempt_ms": 1}, "first_attempt_ms"),
    ],
)
def test_a_fault_around_the_command_is_refused(fields, path):
    with pytest.raises(Invalid) as caught:
        admit_command(kv_put("a", 1), **fields)
    assert caught.value.path == path


def test_a_long_request_id_is_refused():
    with pytest.raises(Invalid, match="limit is 128"):
        admit(Envelope(request_id="é" * 65, command=kv_put("a", 1)))


def test_the_limit_is_in_the_message():
    with pytest.raises(Invalid, match=str(limits.KV_KEY_BYTES_MAX)):
        admit_command(KvPut(b"k" * 400, NULL))


def test_the_largest_key_and_value_are_admitted():
    text = "x" * (limits.VALUE_BYTES_MAX - 5 - limits.KV_KEY_BYTES_MAX - 100)
    admit_command(KvPut(b"k" * limits.KV_KEY_BYTES_MAX, encode_value(text)))


def test_a_value_above_the_bound_is_too_large():
    with pytest.raises(BodyTooLarge, match=str(limits.VALUE_BYTES_MAX)) as caught:
        admit_command(kv_put("a", "x" * limits.VALUE_BYTES_MAX))
    assert caught.value.details["limit"] == limits.VALUE_BYTES_MAX


def test_operations_together_are_bounded():
    half = kv_put("a", "x" * (limits.REQUEST_BYTES_MAX // 2))
    with pytest.raises(BodyTooLarge, match=str(limits.REQUEST_BYTES_MAX)):
        admit_command(Batch((half, half)))


def test_the_largest_batch_is_admitted_and_fits_an_entry():
    encoded = admit_command(Batch((kv_delete("a"),) * limits.REQUEST_OPERATIONS_MAX))
    assert len(encoded) <= limits.COMMAND_BYTES_MAX


def test_a_batch_of_tiny_operations_is_padded_to_its_share_of_stamps():
    batch = Batch((kv_delete("a"),) * 1_000)
    encoded = admit_command(batch)
    assert len(encoded) >= bytes_least(batch) == (4_000 - 4) * limits.COMMAND_BYTES_PER_STAMP
    assert unpack_envelope(encoded).command == batch


def test_a_single_command_is_never_padded():
    assert bytes_least(kv_put("a", 1)) == 0


def test_an_entry_full_of_the_worst_commands_has_stamps_enough():
    batch = Batch((kv_delete("a"),) * 1_000)
    size = len(admit_command(batch))
    batches = limits.ENTRY_BYTES_MAX // size
    singles = limits.ENTRY_COMMANDS_MAX - batches
    sweep = limits.EXPIRE_BATCH_MAX * limits.STAMPS_PER_EXPIRY_MAX + limits.STAMPS_RESERVED
    assert batches * 4_000 + singles * 4 + sweep < 1 << 16


@given(st.binary(max_size=100))
def test_hostile_values_never_pass(raw):
    try:
        encoded = admit_command(KvPut(raw, raw))
    except RequestError:
        return
    assert unpack_envelope(encoded).command == KvPut(raw, raw)


GOOD = [1, "r", "", None, [2, b"k", None], None]


@pytest.mark.parametrize(
    "fields",
    [
        GOOD[:-1],
        [*GOOD, 1],
        [2, *GOOD[1:]],
        [1, b"r", *GOOD[2:]],
        [1, "r", None, *GOOD[3:]],
        [1, "r", "", ["k"], *GOOD[4:]],
        [1, "r", "", ["k", "5", b"f"], *GOOD[4:]],
        [1, "r", "", [5, None, b"f"], *GOOD[4:]],
        [1, "r", "", ["k", None, "f"], *GOOD[4:]],
        [1, "r", "", None, [99], None],
        [1, "r", "", None, None, None],
    ],
    ids=repr,
)
def test_an_envelope_that_admission_never_makes_is_fatal(fields):
    with pytest.raises(FatalError):
        unpack_envelope(msgpack.packb(fields))


@given(st.binary(max_size=60))
def test_random_bytes_are_fatal_to_apply_and_nothing_else(raw):
    with pytest.raises(FatalError):
        unpack_envelope(raw)

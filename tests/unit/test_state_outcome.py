from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante import errors
from replicante.errors import FatalError, RevisionMismatch
from replicante.ids import Stamp, format_stamp
from replicante.limits import REQUEST_OPERATIONS_MAX
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    Got,
    RejectCode,
    Rejected,
    TxnApplied,
    decode_outcome,
    encode_outcome,
    encode_replayed,
    rejected_error,
)

OUTCOMES = [
    (Applied(Stamp(65_536)), "9301ce0001000002"),
    (Applied(Stamp(1), True, True, False), "93010103"),
    (Applied(Stamp(1), is_changed=False), "93010100"),
    (Applied(Stamp(1), is_removed=True), "93010106"),
    (Rejected(RejectCode.NOT_FOUND), "9302a96e6f745f666f756e6480"),
    (
        Rejected(RejectCode.REVISION_MISMATCH, {"revision": None}),
        "9302b17265766973696f6e5f6d69736d6174636881a87265766973696f6ec0",
    ),
    (BatchApplied((Applied(Stamp(1)),)), "92039193010102"),
    (
        TxnApplied(True, (Applied(Stamp(1)), Got(Stamp(2), b"\xc0"), Got(None, None))),
        "9305c39393010102930602c401c09306c0c0",
    ),
]


@pytest.mark.parametrize(("outcome", "encoded"), OUTCOMES)
def test_an_outcome_has_the_same_bytes_for_ever(outcome, encoded):
    assert encode_outcome(outcome).hex() == encoded
    assert decode_outcome(bytes.fromhex(encoded)) == outcome


@pytest.mark.parametrize(("outcome", "_"), OUTCOMES)
def test_a_replayed_outcome_says_so(outcome, _):
    replayed = decode_outcome(encode_replayed(encode_outcome(outcome)))
    assert replayed.is_replayed
    assert encode_outcome(replayed) == encode_outcome(outcome)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_outcome_are_fatal(raw):
    try:
        outcome = decode_outcome(raw)
    except FatalError:
        return
    assert isinstance(outcome, Applied | Rejected | BatchApplied | TxnApplied)


def test_the_outcome_of_the_largest_batch_is_small():
    rejected = Rejected(RejectCode.REVISION_MISMATCH, {"revision": (1 << 63) - 1})
    assert len(encode_outcome(BatchApplied((rejected,) * REQUEST_OPERATIONS_MAX))) <= 64 * 1024


@pytest.mark.parametrize("code", list(RejectCode))
def test_every_rejection_is_an_error_with_its_code(code):
    error = rejected_error(Rejected(code, {}))
    assert error.code == code
    assert error.definite
    assert isinstance(error, errors.RequestError)


def test_a_mismatch_tells_the_present_revision_as_text():
    error = rejected_error(Rejected(RejectCode.REVISION_MISMATCH, {"revision": 77}))
    assert isinstance(error, RevisionMismatch)
    assert error.details == {"revision": format_stamp(77)}


def test_a_mismatch_with_nothing_there_says_so():
    error = rejected_error(Rejected(RejectCode.REVISION_MISMATCH, {"revision": None}))
    assert error.details == {"revision": None}

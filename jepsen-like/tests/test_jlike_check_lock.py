"""The checker of leases by hand: one good history, and the ways in which it can be bad."""

from __future__ import annotations

import pytest
from histories import FAIL, History

from jlike.check import lock
from jlike.verdict import Verdict

SECOND = 1_000_000_000


def _good_lock() -> History:
    history = History()
    history.did("acquire", ["l", SECOND], "10")
    history.did("renew", ["l", "10", SECOND])
    history.did("use", ["l", "10"])
    history.did("store", ["l", "10"])
    history.did("guarded", ["l", None], ["l", "10"])
    history.did("release", ["l", "10"])
    history.did("guarded", ["l", None], ["l", None])
    history.did("acquire", ["l", SECOND], "20")
    history.did("use", ["l", "20"])
    history.did("store", ["l", "10"])  # nobody of later was there yet
    history.did("store", ["l", "20"])
    history.did("store", ["l", "10"], kind=FAIL, error="fenced")
    history.passes(1_500)
    history.did("guarded", ["l", None], ["l", None])
    history.did("acquire", ["l", SECOND], "30")
    return history


def _two_holders(history):
    history.did("acquire", ["l", SECOND], "40")


def _token_goes_back(history):
    history.passes(5_000)
    history.did("acquire", ["l", SECOND], "25")


def _same_token(history):
    history.passes(5_000)
    history.did("acquire", ["l", SECOND], "30")


def _old_token_renews(history):
    history.did("renew", ["l", "20", SECOND])


def _given_back_and_renewed(history):
    history.did("release", ["l", "30"])
    history.did("renew", ["l", "30", SECOND])


def _given_back_twice(history):
    history.did("release", ["l", "30"])
    history.did("release", ["l", "30"])


def _renewal_is_forgotten(history):
    history.passes(900)
    history.did("renew", ["l", "30", SECOND])
    history.passes(200)
    history.did("acquire", ["l", SECOND], "40")


def _old_token_writes(history):
    history.did("use", ["l", "20"])


def _old_token_is_shown(history):
    history.did("guarded", ["l", None], ["l", "20"])


def _given_back_and_shown(history):
    history.did("use", ["l", "30"])
    history.did("release", ["l", "30"])
    history.did("guarded", ["l", None], ["l", "30"])


def _nobody_wrote_it(history):
    history.did("guarded", ["l", None], ["l", "30"])


def _old_token_writes_outside(history):
    history.did("store", ["l", "30"])
    history.did("store", ["l", "20"])


def _holder_is_refused_outside(history):
    history.did("store", ["l", "30"], kind=FAIL, error="fenced")


def _gone_under_its_holder(history):
    history.did("use", ["l", "30"])
    history.did("guarded", ["l", None], ["l", None])


@pytest.mark.parametrize(
    "spoil",
    [
        None,
        _old_token_writes,
        _old_token_is_shown,
        _given_back_and_shown,
        _nobody_wrote_it,
        _gone_under_its_holder,
        _old_token_writes_outside,
        _holder_is_refused_outside,
        _two_holders,
        _token_goes_back,
        _same_token,
        _old_token_renews,
        _renewal_is_forgotten,
        _given_back_and_renewed,
        _given_back_twice,
    ],
)
def test_lock(spoil):
    history = _good_lock()
    if spoil:
        spoil(history)
    expected = Verdict.INVALID if spoil else Verdict.VALID
    assert lock.check(history.operations).verdict is expected

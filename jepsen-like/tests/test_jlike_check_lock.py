"""The checker of leases by hand: one good history, and the ways in which it can be bad."""

from __future__ import annotations

import pytest
from histories import FAIL, INFO, History

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


def _holder_may_not_write(history):
    history.did("use", ["l", "30"], kind=FAIL, error="stale_token")


def _holder_may_not_renew(history):
    history.did("renew", ["l", "30", SECOND], kind=FAIL, error="stale_token")


def _holder_may_not_give_back(history):
    history.did("release", ["l", "30"], kind=FAIL, error="stale_token")


def _another_ran_out(history):
    """m is granted after l, and again when that time is over."""
    history.did("acquire", ["m", SECOND], "31")
    history.passes(1_500)
    history.did("acquire", ["m", SECOND], "41")


def _writes_after_its_time(history):
    _another_ran_out(history)
    history.did("use", ["l", "30"])


def _renews_after_its_time(history):
    _another_ran_out(history)
    history.did("renew", ["l", "30", SECOND])


def _is_shown_after_its_time(history):
    history.did("use", ["l", "30"])
    _another_ran_out(history)
    history.did("guarded", ["l", None], ["l", "30"])


@pytest.mark.parametrize(
    "spoil",
    [
        None,
        _holder_may_not_write,
        _holder_may_not_renew,
        _holder_may_not_give_back,
        _writes_after_its_time,
        _renews_after_its_time,
        _is_shown_after_its_time,
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


def _time_passes(history):
    """A cluster's clock may stand still for as long as nobody leads."""
    history.passes(1_000_000)


def _renewed_meanwhile(history):
    history.did("acquire", ["m", SECOND], "31")
    history.did("renew", ["l", "30", SECOND], kind=INFO)
    history.passes(1_500)
    history.did("acquire", ["m", SECOND], "41")


def _given_back_meanwhile(history):
    history.did("acquire", ["m", SECOND], "31")
    history.did("release", ["m", "31"], kind=INFO)
    history.passes(1_500)
    history.did("acquire", ["m", SECOND], "41")


def _lasts_shorter(history):
    history.did("acquire", ["m", SECOND // 2], "31")
    history.passes(1_500)
    history.did("acquire", ["m", SECOND], "41")


@pytest.mark.parametrize(
    "pause", [_time_passes, _renewed_meanwhile, _given_back_meanwhile, _lasts_shorter]
)
def test_a_lease_may_last_longer_than_was_said(pause):
    history = _good_lock()
    pause(history)
    history.did("use", ["l", "30"])
    assert lock.check(history.operations).verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("is_used_later", "verdict"), [(False, Verdict.VALID), (True, Verdict.INVALID)]
)
def test_who_may_have_given_it_back_may_be_refused(is_used_later, verdict):
    history = _good_lock()
    history.did("release", ["l", "30"], kind=INFO)
    history.did("use", ["l", "30"], kind=FAIL, error="stale_token")
    if is_used_later:
        history.did("use", ["l", "30"])
    assert lock.check(history.operations).verdict is verdict

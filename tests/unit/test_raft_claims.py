"""Which process speaks for a member: the first one, for as long as it is heard."""

from __future__ import annotations

import pytest

from replicante import limits
from replicante.raft.claims import Claims
from replicante.testing.clock import ManualClock

KEY = "p1/" + "1" * 32
FIRST, SECOND = "first process", "second process"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def claims(clock):
    made = Claims(clock)
    assert made.may_speak(KEY, FIRST)
    return made


def test_a_second_process_is_refused_while_the_first_may_still_be_greeting(claims, clock):
    clock.advance(limits.LINK_HANDSHAKE_MS_MAX - 1)
    assert not claims.may_speak(KEY, SECOND)
    clock.advance(1)
    assert claims.may_speak(KEY, SECOND)


def test_a_second_process_is_refused_while_a_link_of_the_first_stands(claims, clock):
    claims.link_changed(KEY, is_up=True)
    claims.link_changed(KEY, is_up=True)
    clock.advance(10 * limits.LINK_HANDSHAKE_MS_MAX)
    assert not claims.may_speak(KEY, SECOND)
    claims.link_changed(KEY, is_up=False)
    assert not claims.may_speak(KEY, SECOND)


def test_the_next_process_is_heard_when_the_last_link_of_the_one_before_ended(claims):
    claims.link_changed(KEY, is_up=True)
    claims.link_changed(KEY, is_up=False)
    assert not claims.has_links(KEY)
    assert claims.may_speak(KEY, SECOND)
    assert not claims.may_speak(KEY, FIRST)


def test_one_process_may_open_many_links_and_other_members_are_no_matter(claims):
    claims.link_changed(KEY, is_up=True)
    assert claims.may_speak(KEY, FIRST)
    assert claims.may_speak("p2/" + "2" * 32, SECOND)

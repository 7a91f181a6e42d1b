"""Addresses, names, and how long a peer waits before it dials another again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import InvalidConfig
from replicante.raft.dialling import RedialPolicy, resolve_name, split_address
from replicante.raft.links import LinkTimes

TIMES = LinkTimes(redial_ms_min=20, redial_ms_max=1_000)


def policy(fraction: float = 1.0) -> RedialPolicy:
    return RedialPolicy(times=TIMES, fraction=lambda: fraction)


def test_attempts_that_fail_wait_ever_longer_up_to_the_bound():
    waiting = policy()
    delays = [waiting.after_failure_ms() for _ in range(8)]
    assert delays == [20, 40, 80, 160, 320, 640, 1_000, 1_000]


def test_jitter_takes_up_to_half_of_a_delay():
    assert policy(0.0).after_failure_ms() == 10
    assert policy(0.5).after_failure_ms() == 15


def test_a_lost_link_is_redialled_at_once_and_only_once():
    waiting = policy()
    for _ in range(5):
        waiting.after_failure_ms()
    assert waiting.after_link_ms(has_settled=True) == 0
    assert [waiting.after_failure_ms() for _ in range(3)] == [20, 40, 80]


def test_links_that_never_last_are_redialled_ever_later():
    waiting = policy()
    assert [waiting.after_link_ms(has_settled=False) for _ in range(4)] == [0, 20, 40, 80]
    assert waiting.after_link_ms(has_settled=True) == 0
    assert waiting.after_link_ms(has_settled=False) == 0


def test_an_evicted_peer_waits_for_the_longest_time():
    assert policy().after_eviction_ms() == 1_000


@given(steps=st.lists(st.sampled_from(["failure", "brief", "settled"]), max_size=60))
def test_no_delay_exceeds_the_bound_and_no_two_zeros_follow_without_a_link(steps):
    waiting = policy()
    for step in steps:
        if step == "failure":
            assert 0 < waiting.after_failure_ms() <= 1_000
        else:
            assert 0 <= waiting.after_link_ms(has_settled=step == "settled") <= 1_000


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:7001", ("127.0.0.1", 7001)),
        ("peer-1.example.org:0", ("peer-1.example.org", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_an_address_has_a_host_and_a_port(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host",
        ":1",
        "host:",
        "host:65536",
        "host:-1",
        "::1:7",
        "[::1]",
        "a b:1",
        "x" * 300 + ":1",
    ],
)
def test_what_is_no_address_is_named(address):
    with pytest.raises(InvalidConfig, match="expected host:port"):
        split_address(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_ip_address_is_its_own_answer(host):
    assert await resolve_name(host) == [host]


async def test_the_name_of_this_machine_is_known():
    assert set(await resolve_name("localhost")) <= {"127.0.0.1", "::1"}

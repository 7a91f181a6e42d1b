"""Which endpoint is asked next."""

from __future__ import annotations

import pytest

from replicante.client.endpoints import AVOID_MS_MAX, AVOID_MS_MIN, Endpoints, normalise
from replicante.errors import Invalid

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def order(endpoints: Endpoints, *, now_ms: int) -> list[str]:
    tried: list[str] = []
    while (url := endpoints.next(tried, now_ms=now_ms)) is not None:
        tried.append(url)
    return tried


def test_the_first_one_is_asked_first_and_every_one_once():
    assert order(Endpoints([A, B, C]), now_ms=0) == [A, B, C]


def test_the_one_that_answered_last_is_preferred():
    endpoints = Endpoints([A, B, C])
    endpoints.answered(B)
    assert order(endpoints, now_ms=0) == [B, C, A]


def test_an_answer_of_a_foreign_endpoint_changes_nothing():
    endpoints = Endpoints([A, B])
    endpoints.answered(B)
    endpoints.answered("http://foreign:1")
    assert order(endpoints, now_ms=0) == [B, A]


def test_one_that_failed_is_asked_last_for_a_while():
    endpoints = Endpoints([A, B, C])
    endpoints.failed(A, now_ms=100)
    assert order(endpoints, now_ms=100) == [B, C, A]
    assert order(endpoints, now_ms=100 + AVOID_MS_MIN) == [A, B, C]


def test_one_that_fails_again_is_avoided_longer_up_to_a_bound():
    endpoints = Endpoints([A, B])
    for _ in range(50):
        endpoints.failed(A, now_ms=0)
    assert order(endpoints, now_ms=AVOID_MS_MAX - 1) == [B, A]
    assert order(endpoints, now_ms=AVOID_MS_MAX) == [A, B]


def test_an_answer_forgives_all_failures():
    endpoints = Endpoints([A, B])
    endpoints.failed(A, now_ms=0)
    endpoints.answered(A)
    assert order(endpoints, now_ms=0) == [A, B]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:16016", "http://127.0.0.1:16016"),
        ("http://127.0.0.1:16016/", "http://127.0.0.1:16016"),
        ("127.0.0.1:16016", "http://127.0.0.1:16016"),
        (" https://Peer.example:1 ", "https://peer.example:1"),
        ("http://[::1]:16016", "http://[::1]:16016"),
        ("localhost", "http://localhost"),
    ],
)
def test_an_endpoint_has_one_spelling(text, url):
    assert normalise(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://a:1", "http://a:1/path", "http://a:1?x=1", "http://a:x", "http://a:99999",
     "http://u:p@a:1", "http://a b:1", "http://ä:1", "http://[::1", "http://a:1\r\nX: y"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text):
    with pytest.raises(Invalid):
        normalise(text)


def test_a_client_needs_endpoints_and_counts_each_once():
    with pytest.raises(Invalid):
        Endpoints([])
    with pytest.raises(Invalid):
        Endpoints([f"http://h:{port}" for port in range(1, 66)])
    assert Endpoints([A, f"{A}/", B]).urls == (A, B)

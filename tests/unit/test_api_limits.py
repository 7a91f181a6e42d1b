"""Every bound that a caller can meet is answered 400 or 413, and the answer names the bound."""

from __future__ import annotations

import io
import json

import pytest
from api_harness import running

from replicante import limits

NAME = "n" * (limits.NAME_BYTES_MAX + 1)
VALUE = {"value": "v" * limits.VALUE_BYTES_MAX}
PUT = {"op": "kv.put", "key": "k", "value": 1}
GET = {"op": "get", "key": "k"}
STAMP = "0000000000000065537"
MANY = limits.REQUEST_OPERATIONS_MAX + 1
HALF = {"op": "kv.put", "key": "k", "value": "v" * (limits.REQUEST_BYTES_MAX // 2)}


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


BEYOND = [
    ("PUT", f"/kv/{'k' * (limits.KV_KEY_BYTES_MAX + 1)}", {"value": 1}, limits.KV_KEY_BYTES_MAX),
    ("GET", f"/kv/{'k' * (limits.KV_KEY_BYTES_MAX + 1)}", None, limits.KV_KEY_BYTES_MAX),
    ("PUT", "/kv/k", VALUE, limits.VALUE_BYTES_MAX),
    ("POST", "/batch", {"operations": [PUT] * MANY}, limits.REQUEST_OPERATIONS_MAX),
    ("POST", "/batch", {"operations": [HALF, HALF]}, limits.REQUEST_BYTES_MAX),
    ("POST", "/txn", {"then": [GET] * MANY}, limits.REQUEST_OPERATIONS_MAX),
    (
        "POST",
        "/queues/q/jobs",
        {"body": "b" * limits.JOB_BODY_BYTES_MAX},
        limits.JOB_BODY_BYTES_MAX,
    ),
    ("POST", "/queues/q/jobs", [{"body": 1}] * MANY, limits.REQUEST_OPERATIONS_MAX),
    ("POST", f"/queues/{NAME}/jobs", {"body": 1}, limits.NAME_BYTES_MAX),
    ("POST", "/queues/q/jobs", {"body": 1, "group": NAME}, limits.NAME_BYTES_MAX),
    ("POST", "/queues/q/jobs", {"body": 1, "dedup": NAME}, limits.NAME_BYTES_MAX),
    ("POST", "/queues/q/claim", {"max": limits.CLAIM_JOBS_MAX + 1}, limits.CLAIM_JOBS_MAX),
    ("POST", "/queues/q/claim", {"worker": NAME}, limits.NAME_BYTES_MAX),
    (
        "POST",
        f"/queues/q/jobs/{STAMP}/nack",
        {"token": STAMP, "reason": "r" * (limits.JOB_REASON_BYTES_MAX + 1)},
        limits.JOB_REASON_BYTES_MAX,
    ),
    ("POST", f"/leases/{NAME}/acquire", {"duration": "10s"}, limits.NAME_BYTES_MAX),
    (
        "POST",
        "/leases/l/acquire",
        {"duration": "10s", "owner": {"host": "h" * limits.LEASE_OWNER_BYTES_MAX}},
        limits.LEASE_OWNER_BYTES_MAX,
    ),
    ("PUT", f"/events/consumers/{NAME}", {}, limits.NAME_BYTES_MAX),
    ("PUT", "/kv/deep", {"value": deep(limits.VALUE_DEPTH_MAX + 1)}, limits.VALUE_DEPTH_MAX),
    ("PUT", "/kv/deeper", {"value": deep(limits.VALUE_DEPTH_MAX * 2)}, limits.VALUE_DEPTH_MAX),
    (
        "GET",
        f"/requests/{'k' * (limits.IDEMPOTENCY_KEY_BYTES_MAX + 1)}",
        None,
        limits.IDEMPOTENCY_KEY_BYTES_MAX,
    ),
    (
        "GET",
        f"/events?code={','.join(['C'] * (limits.EVENT_FILTER_CODES_MAX + 1))}",
        None,
        limits.EVENT_FILTER_CODES_MAX,
    ),
    (
        "GET",
        f"/kv?from={'k' * (limits.KV_KEY_BYTES_MAX + 1)}",
        None,
        limits.KV_KEY_BYTES_MAX,
    ),
    ("GET", f"/kv?limit={limits.PAGE_ITEMS_MAX + 1}", None, limits.PAGE_ITEMS_MAX),
    ("GET", f"/kv?limit={'9' * 30}", None, limits.PAGE_ITEMS_MAX),
    ("GET", f"/events?limit={limits.PAGE_ITEMS_MAX + 1}", None, limits.PAGE_ITEMS_MAX),
    ("GET", f"/leases?limit={limits.PAGE_ITEMS_MAX + 1}", None, limits.PAGE_ITEMS_MAX),
    ("GET", f"/queues?limit={limits.PAGE_ITEMS_MAX + 1}", None, limits.PAGE_ITEMS_MAX),
    ("GET", f"/queues/q/jobs?limit={limits.PAGE_ITEMS_MAX + 1}", None, limits.PAGE_ITEMS_MAX),
    (
        "GET",
        f"/list/replicante.io/v0/namespace?limit={limits.PAGE_ITEMS_MAX + 1}",
        None,
        limits.PAGE_ITEMS_MAX,
    ),
    (
        "GET",
        f"/list/replicante.io/v0/naction/n/c?limit={limits.PAGE_ITEMS_MAX + 1}",
        None,
        limits.PAGE_ITEMS_MAX,
    ),
]


async def ask(api, method, path, body):
    """A large body goes out in portions, so that the loop is not held up."""
    data = None if body is None else io.BytesIO(json.dumps(body).encode())
    headers = {} if body is None else {"Content-Type": "application/json"}
    return await api.ask(method, f"/api/v0{path}", data=data, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "body", "limit"),
    BEYOND,
    ids=[f"{method} {path[:24]} {limit}" for method, path, _, limit in BEYOND],
)
async def test_beyond_a_bound_the_answer_names_it_and_nothing_is_written(method, path, body, limit):
    async with running() as api:
        answer = await ask(api, method, path, body)
        assert answer.status in (400, 413), answer.body
        said = answer.problem(
            "invalid" if answer.status == 400 else "body_too_large", answer.status
        )
        assert str(limit) in said["detail"], said
        assert said["details"]["limit"] == limit
        assert said["definite"] is True
        assert api.peer.proposals_count == 0


AT = [
    ("PUT", f"/kv/{'k' * limits.KV_KEY_BYTES_MAX}", {"value": 1}),
    ("POST", "/batch", {"operations": [PUT] * limits.REQUEST_OPERATIONS_MAX}),
    ("POST", "/queues/q/jobs", {"body": "b" * (limits.JOB_BODY_BYTES_MAX - 5)}),
    ("POST", f"/queues/{NAME[1:]}/jobs", {"body": 1, "group": NAME[1:]}),
    ("POST", "/queues/q/claim", {"max": limits.CLAIM_JOBS_MAX, "worker": NAME[1:]}),
    ("POST", f"/leases/{NAME[1:]}/acquire", {"duration": "10s"}),
    ("GET", f"/kv?limit={limits.PAGE_ITEMS_MAX}", None),
    ("GET", f"/events?limit={limits.PAGE_ITEMS_MAX}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), AT, ids=[path[:24] for _, path, _ in AT])
async def test_at_the_bound_nothing_is_refused(method, path, body):
    async with running() as api:
        answer = await ask(api, method, path, body)
        assert answer.status in (200, 201), answer.body


async def test_a_key_of_a_write_that_is_too_long_is_refused_with_its_bound():
    async with running() as api:
        headers = {"Idempotency-Key": "k" * (limits.IDEMPOTENCY_KEY_BYTES_MAX + 1)}
        said = (await api.put("/kv/k", {"value": 1}, headers=headers)).problem("invalid", 400)
        assert said["details"]["limit"] == limits.IDEMPOTENCY_KEY_BYTES_MAX


async def test_a_time_limit_that_is_too_long_is_refused_with_its_bound():
    async with running() as api:
        said = (await api.get("/kv/k?timeout=2m")).problem("invalid", 400)
        assert said["details"]["limit"] == limits.REQUEST_DEADLINE_MS_MAX


async def test_what_is_no_number_is_not_told_a_bound():
    async with running() as api:
        said = (await api.get("/kv?limit=ten")).problem("invalid", 400)
        assert "limit" not in said.get("details", {})


async def test_the_bounds_are_those_that_are_promised():
    """Of the reference page and of everything that callers were told: they only ever grow."""
    assert limits.KV_KEY_BYTES_MAX == 384
    assert limits.NAME_BYTES_MAX == 128
    assert limits.VALUE_BYTES_MAX == limits.REQUEST_BYTES_MAX == 1 << 20
    assert limits.JOB_BODY_BYTES_MAX == 256 << 10
    assert limits.REQUEST_OPERATIONS_MAX == limits.PAGE_ITEMS_MAX == 1_000

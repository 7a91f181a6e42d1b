"""The SDK against the real API: two doors to one state, each of which can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from api_harness import running
from hypothesis import given, settings
from hypothesis import strategies as st
from test_api_kv import KEYS

from replicante import errors, limits
from replicante.client import (
    STALE,
    BatchKvDelete,
    BatchKvPut,
    BatchObjectApply,
    Client,
    EventFilter,
    Read,
    Write,
)
from replicante.model.codec import encode_value
from replicante.model.objects import read_declaration
from replicante.state.commands import KvPut
from replicante.state.object_commands import PutObject
from replicante.state.queue_commands import NewJob, QueueEnqueue
from replicante.testing.builders import LoneState, platform_document, put_namespace
from replicante.testing.fake_peer import FakePeer, Trouble

NAMESPACE = {"apiVersion": "replicante.io/v0", "kind": "Namespace", "metadata": {"name": "a"}}


@asynccontextmanager
async def cluster(**options) -> AsyncIterator[tuple[Client, FakePeer, FakePeer]]:
    """A client of two peers that hold the same state."""
    lone = LoneState()
    first, second = FakePeer(lone, peer_id="p1"), FakePeer(lone, peer_id="p2")
    async with (
        running(peer=first) as one,
        running(peer=second) as two,
        Client([one.server.url, two.server.url], **options) as client,
    ):
        yield client, first, second


async def history(client: Client, key: str) -> list[str]:
    page = await client.events.page(limit=1000, wanted=EventFilter(key=key))
    return [event.code for event in page.items if event.key == key]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 1.5, "ä\n\0", [], {"a": {"b": [1, 2.0, None]}}, "x" * 100_000],
)
async def test_what_is_written_is_what_is_read(value):
    async with cluster() as (client, _, _second):
        written = await client.kv.put("k", value)
        assert await client.kv.get("k") == written
        assert written.value == value
        assert type(written.value) is type(value)


@pytest.mark.parametrize("key", ["a", "a/b", "/", "//", "..", "a/../b", "%2F", "ä ö", "?#&=", "\n"])
async def test_any_key_comes_back_as_it_went(key):
    async with cluster() as (client, _, _second):
        await client.kv.put(key, 1)
        assert (await client.kv.get(key)).key == key
        assert [item.key async for item in client.kv.list()] == [key]
        assert (await client.kv.delete(key)).key == key
        assert await client.kv.find(key) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=6, unique=True))
async def test_any_drawn_key_comes_back_as_it_went(keys):
    async with running() as api, Client([api.server.url]) as client:
        for number, key in enumerate(keys):
            assert (await client.kv.put(key, number, must_not_exist=True)).key == key
        for number, key in enumerate(keys):
            assert (await client.kv.get(key)).value == number
        found = [item.key async for item in client.kv.list(page_items=2)]
        assert found == sorted(keys, key=str.encode)
        first = keys[0]
        assert [it.key async for it in client.kv.list(from_key=first)] == [
            key for key in found if key.encode() >= first.encode()
        ]
        done = await client.batch([BatchKvDelete(key=key) for key in keys])
        assert [item.key for item in done.items] == keys
        assert (await client.kv.page()).items == ()


@pytest.mark.parametrize("trouble", [Trouble.LOST_AFTER, Trouble.LOST_BEFORE, Trouble.SILENT])
async def test_a_write_whose_answer_is_lost_happens_once(trouble):
    async with cluster() as (client, first, _):
        first.trouble = trouble
        item = await client.kv.put("k", 1, must_not_exist=True)
        assert (item.key, item.value) == ("k", 1)
        first.trouble = Trouble.NONE
        assert await history(client, "k") == ["KV_PUT"]


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble.NO_LEADER,
        Trouble.QUEUE_FULL,
        Trouble.SESSION_ENDED,
        Trouble.STOPPING,
        Trouble.DISK_FULL,
    ],
)
async def test_a_write_that_one_peer_refuses_goes_through_another(trouble):
    async with cluster(mints_keys=False) as (client, first, _):
        first.trouble = trouble
        await client.kv.put("k", 1)
        assert (await client.kv.get("k")).value == 1


async def test_a_refusal_of_all_peers_is_told_at_the_deadline():
    async with cluster() as (client, first, second):
        first.trouble = second.trouble = Trouble.NO_LEADER
        with pytest.raises(errors.NoLeader) as caught:
            await client.kv.put("k", 1, write=Write(timeout_ms=300))
        assert caught.value.definite


async def test_an_unknown_outcome_can_be_looked_up_and_taken_up_again():
    async with cluster() as (client, first, second):
        await client.status()
        first.trouble = second.trouble = Trouble.LOST_AFTER
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await client.kv.put("k", 1, write=Write(timeout_ms=400))
        first.trouble = second.trouble = Trouble.NONE
        told = caught.value.details
        outcome = await client.outcome(told["idempotency_key"])
        assert outcome.status in (200, 201)
        again = await client.kv.put(
            "k",
            1,
            write=Write(
                idempotency_key=told["idempotency_key"], first_attempt_ms=told["first_attempt_ms"]
            ),
        )
        assert again.value == 1
        assert await history(client, "k") == ["KV_PUT"]


@pytest.mark.parametrize("size_bytes", [2 * limits.MIB, 12 * limits.MIB])
async def test_what_is_far_too_large_is_refused_by_its_limit(size_bytes):
    async with cluster() as (client, _, _second):
        with pytest.raises(errors.BodyTooLarge, match=str(limits.REQUEST_BYTES_MAX)):
            await client.kv.put("k", "x" * size_bytes)
        await client.kv.put("k", "small")


async def test_compare_and_set():
    async with cluster() as (client, _, _second):
        one = await client.kv.put("k", 1, must_not_exist=True)
        with pytest.raises(errors.RevisionMismatch) as caught:
            await client.kv.put("k", 2, must_not_exist=True)
        assert caught.value.details["revision"] == one.revision
        two = await client.kv.put("k", 2, expect_revision=one.revision)
        with pytest.raises(errors.RevisionMismatch):
            await client.kv.delete("k", expect_revision=one.revision)
        await client.kv.delete("k", expect_revision=two.revision)


async def test_lists_are_walked_over_pages_at_every_consistency():
    async with cluster() as (client, _, _second):
        keys = [f"x/{number:03d}" for number in range(25)]
        for key in [*keys, "y"]:
            await client.kv.put(key, key)
        for read in (Read(), STALE, Read.bounded(max_stale_ms=60_000)):
            listed = [item.key async for item in client.kv.list("x/", page_items=7, read=read)]
            assert listed == keys


async def test_objects_live_from_apply_to_delete():
    async with cluster() as (client, _, _second):
        dry = await client.objects.apply(NAMESPACE, is_dry_run=True)
        assert dry.is_dry_run
        with pytest.raises(errors.NotFound):
            await client.objects.get("namespace", "a")
        made = await client.objects.apply(NAMESPACE)
        assert (made.is_created, made.kind) == (True, "Namespace")
        again = await client.objects.apply(NAMESPACE)
        assert (again.is_created, again.is_changed) == (False, False)
        assert (await client.objects.get("namespace", "a")).revision == made.revision
        assert [item.id async for item in client.objects.list("namespace")] == ["a"]
        with pytest.raises(errors.Invalid) as caught:
            await client.objects.apply(NAMESPACE | {"spec": {"nonsense": 1}})
        assert caught.value.path.startswith("spec")
        await client.objects.delete("namespace", "a", expect_revision=made.revision)
        with pytest.raises(errors.NotFound):
            await client.objects.delete("namespace", "a")


async def test_a_batch_answers_each_operation():
    async with cluster() as (client, first, _):
        first.trouble = Trouble.LOST_AFTER
        answer = await client.batch(
            [
                BatchKvPut(key="a", value=1),
                BatchKvPut(key="a", value=2, is_new=True),
                BatchKvDelete(key="b"),
                BatchObjectApply(object=NAMESPACE),
            ]
        )
        assert [item.status for item in answer.items] == [201, 412, 404, 201]
        assert (await client.kv.get("a")).value == 1


async def test_events_are_followed_through_the_end_of_a_peer():
    async with cluster() as (client, _, _second):
        await client.kv.put("k/0", 0)
        seen: list[str | None] = []
        async with asyncio.timeout(20), aclosing(client.events.follow()) as events:
            async for event in events:
                seen.append(event.key)
                if len(seen) == 1:
                    await client.kv.put("k/1", 1)
                    await client.kv.put("k/2", 2)
                if len(seen) == 3:
                    break
        assert seen == ["k/0", "k/1", "k/2"]


async def test_a_stream_moves_when_its_peer_stops():
    lone = LoneState()
    first, second = FakePeer(lone, peer_id="p1"), FakePeer(lone, peer_id="p2")
    async with running(peer=second) as two, asyncio.timeout(20):
        async with running(peer=first) as one:
            client = Client([one.server.url, two.server.url])
            await client.__aenter__()
            await client.kv.put("k/0", 0)
            events = client.events.follow()
            assert (await anext(events)).key == "k/0"
        await client.kv.put("k/1", 1)
        second._wake()
        assert (await anext(events)).key == "k/1"
        await events.aclose()
        await client.__aexit__(None, None, None)


async def test_following_from_the_head_skips_what_was():
    async with cluster() as (client, _, _second), asyncio.timeout(20):
        await client.kv.put("old", 0)
        async with aclosing(client.events.follow(after="head")) as events:
            first = asyncio.create_task(anext(events))
            while not first.done():  # when the head becomes a place is for the peer to say
                await client.kv.put("new", 1)
                await asyncio.sleep(0.02)
            assert (await first).key == "new"


async def test_status_tells_who_was_asked():
    async with cluster() as (client, _, _second):
        assert (await client.status()).peer == "p1"
        other = client.endpoints[1]
        assert (await client.raft_status(other)).peer == "p2"
        digests = {
            (await client.raft_status(url, has_digest_now=True)).digest.value
            for url in client.endpoints
        }
        assert len(digests) == 1


WORST = "\x01"
"""One byte where it is stored, six in JSON."""


async def test_every_page_and_claim_at_its_bound_is_read():
    async with cluster() as (client, first, _):
        # The key and the tag of the command count for its bound, too.
        value = encode_value(WORST * (limits.VALUE_BYTES_MAX - 100))
        for number in range(4):
            first.do(KvPut(f"k{number}".encode(), value))
        assert [len(item.value) async for item in client.kv.list()] == [len(value) - 5] * 4
        body = encode_value(WORST * (limits.JOB_BODY_BYTES_MAX - 5))
        count = limits.CLAIM_BYTES_MAX // len(body)
        for _ in range(count + 1):
            first.do(QueueEnqueue("q", (NewJob(body=body, attempts_max=1),)))
        # A row is more than its body, so that one fewer fits on a page.
        assert len((await client.queues.peek("q", limit=1_000)).items) == count - 1
        claimed = await client.queues.claim("q", max_jobs=100)
        assert len(claimed) == count
        assert {len(job.body) for job in claimed} == {len(body) - 5}


async def test_the_largest_event_is_followed():
    async with cluster() as (client, first, _):
        first.do(put_namespace("default"))
        document = platform_document("here")
        document["spec"]["transport"] = {"local": {"directory": WORST * 1_000_000}}
        declared = read_declaration(document)
        spec = encode_value(declared.spec)
        first.do(PutObject(declared.kind, declared.scope, spec))
        await client.kv.put("after", 1)
        codes = []
        async with asyncio.timeout(20), aclosing(client.events.follow(after="0")) as events:
            async for event in events:
                codes.append(event.code)
                if event.code == "KV_PUT":
                    break
        assert codes == ["NAMESPACE_APPLY", "PLATFORM_APPLY", "KV_PUT"]

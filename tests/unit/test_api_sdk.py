"""The SDK and the API meet: each call of the one is understood by the other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from api_harness import LIMIT_S, running
from hypothesis import given, settings
from hypothesis import strategies as st

from replicante import errors
from replicante.api.context import ApiSettings
from replicante.client.client import Client
from replicante.client.options import STALE, EventFilter, Read, Write
from replicante.testing.builders import kv_put, namespace_document
from replicante.testing.fake_peer import FakePeer, Trouble
from replicante.wire.batch import BatchAck, BatchKvDelete, BatchKvPut, BatchObjectApply
from replicante.wire.queues import JobBody


@asynccontextmanager
async def meeting(**options):
    async with (
        asyncio.timeout(LIMIT_S),
        running(**options) as api,
        Client([api.server.url]) as client,
    ):
        yield api, client


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=3)
    ),
    max_leaves=10,
)
KEYS = st.text(
    st.one_of(st.sampled_from("/.%# ?é\n\0"), st.characters(exclude_categories=("Cs",))),
    min_size=1,
    max_size=60,
).filter(lambda key: len(key.encode()) <= 384)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=8))
async def test_what_is_put_is_what_is_read(records):
    async with meeting() as (_, client):
        for key, value in records.items():
            assert (await client.kv.put(key, value)).value == value
        for key, value in records.items():
            assert (await client.kv.get(key)).value == value
        listed = {item.key: item.value async for item in client.kv.list(page_items=3)}
        assert listed == records


async def test_conditions_and_refusals_arrive_as_errors():
    async with meeting() as (_, client):
        first = await client.kv.put("a", 1, must_not_exist=True)
        with pytest.raises(errors.RevisionMismatch) as caught:
            await client.kv.put("a", 2, must_not_exist=True)
        assert caught.value.details["revision"] == first.revision
        second = await client.kv.put("a", 2, expect_revision=first.revision)
        with pytest.raises(errors.RevisionMismatch):
            await client.kv.delete("a", expect_revision=first.revision)
        assert (await client.kv.delete("a", expect_revision=second.revision)).key == "a"
        with pytest.raises(errors.NotFound):
            await client.kv.delete("a")
        assert await client.kv.find("a") is None
        with pytest.raises(errors.Invalid):
            await client.kv.put("", 1)


async def test_objects_are_declared_read_and_removed():
    async with meeting() as (_, client):
        dry = await client.objects.apply(namespace_document("n1"), is_dry_run=True)
        assert (dry.is_dry_run, dry.is_created) == (True, True)
        applied = await client.objects.apply(namespace_document("n1"))
        assert (applied.is_created, applied.status) == (True, "Active")
        read = await client.objects.get("namespace", "n1")
        assert (read.kind, read.revision) == ("Namespace", applied.revision)
        assert [one.id async for one in client.objects.list("namespace")] == ["n1"]
        assert (await client.objects.delete("namespace", "n1")).status is None
        with pytest.raises(errors.Invalid) as caught:
            await client.objects.apply(namespace_document("n1", spec={"status": "Odd"}))
        assert caught.value.path == "spec.status"


async def test_a_batch_has_an_answer_for_each_operation():
    async with meeting() as (_, client):
        answer = await client.batch(
            [
                BatchKvPut(key="a", value={"x": 1}),
                BatchKvDelete(key="missing"),
                BatchObjectApply(object=namespace_document("n1")),
            ]
        )
        assert [item.status for item in answer.items] == [201, 404, 201]
        assert answer.items[1].problem.code == "not_found"


async def test_a_batch_acknowledges_many_jobs_at_once():
    async with meeting() as (api, client):
        await client.queues.send_many("mail", [JobBody(body=n) for n in range(5)])
        claimed = await client.queues.claim("mail", max_jobs=5, worker="w")
        before = api.peer.proposals_count
        answer = await client.batch(
            [BatchAck(queue="mail", id=job.id, token=job.token) for job in claimed]
        )
        assert [item.status for item in answer.items] == [200] * 5
        assert api.peer.proposals_count == before + 1
        assert [item async for item in client.queues.list()] == []


async def test_a_lost_answer_is_asked_for_and_a_repeat_is_harmless():
    async with meeting() as (api, client):
        api.peer.trouble = Trouble.LOST_AFTER
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await client.kv.put("a", 1, write=Write(timeout_ms=300))
        key = caught.value.details["idempotency_key"]
        api.peer.trouble = Trouble.NONE
        outcome = await client.outcome(key)
        assert outcome.status == 201
        again = await client.kv.put("a", 1, write=Write(idempotency_key=key))
        assert again.revision == outcome.items[0].revision
        assert (await client.events.page()).items[-1].seq == 1


async def test_a_client_never_goes_back():
    async with meeting() as (_, client):
        await client.kv.put("a", 1)
        assert client.seen_index > 0
        assert (await client.kv.get("a", read=STALE)).value == 1
        assert (await client.kv.get("a", read=Read.bounded(max_stale_ms=100))).value == 1


async def test_a_bounded_read_that_is_too_old_is_refused():
    async with meeting() as (api, client):
        api.peer.staleness = None
        read = Read(consistency=Read.bounded().consistency, max_stale_ms=100, timeout_ms=300)
        with suppress(errors.NotFound), pytest.raises(errors.StaleRead):
            await client.kv.get("a", read=read)


async def test_events_are_followed_through_the_loss_of_a_peer():
    peer = FakePeer()
    quick = ApiSettings(heartbeat_ms=20)
    async with (
        asyncio.timeout(LIMIT_S),
        running(peer=peer, settings=quick) as one,
        running(peer=peer, settings=quick) as two,
        Client([one.server.url, two.server.url]) as client,
    ):
        for i in range(3):
            peer.do(kv_put(f"k{i}", i))
        stream = client.events.follow()
        seqs = [(await anext(stream)).seq for _ in range(3)]
        peer.do(kv_put("k3", 3))
        await one.server.stop()
        peer.do(kv_put("k4", 4))
        seqs += [(await anext(stream)).seq for _ in range(2)]
        assert seqs == [1, 2, 3, 4, 5]
        await stream.aclose()


async def test_filtered_events_are_followed():
    async with meeting() as (api, client):
        stream = client.events.follow(wanted=EventFilter(key="b"))
        for key in ("a", "b1", "a", "b2"):
            api.peer.do(kv_put(key, 1))
        assert [(await anext(stream)).key for _ in range(2)] == ["b1", "b2"]
        await stream.aclose()


async def test_status_is_read():
    async with meeting() as (api, client):
        assert (await client.status()).peer == "p1"
        status = await client.raft_status(api.server.url, has_digest_now=True)
        assert status.role == "leader"
        assert status.digest is not None

"""One call over many attempts: fail-over, what is repeated and what is not, never going back."""

from __future__ import annotations

import time

import pytest
from scripted_peer import (
    ScriptedPeer,
    answer,
    garbage,
    hang_up,
    problem,
    refusing_url,
    running,
    silence,
)

from replicante import errors
from replicante.client import (
    STALE,
    BatchKvPut,
    Client,
    Note,
    NoteKind,
    Read,
    Write,
)

ITEM = {"key": "a", "value": 1, "revision": "0000000000000065536"}
DONE = answer(ITEM, status=201, index=1)
NO_LEADER = problem("no_leader", 503, definite=True)
UNKNOWN = problem("outcome_unknown", 504, definite=False, outcome="unknown")
SHORT = Write(timeout_ms=400)


async def test_a_read_fails_over_from_a_peer_that_is_not_there():
    peer = ScriptedPeer(DONE)
    async with running(peer), Client([await refusing_url(), peer.url]) as client:
        assert (await client.kv.get("a")).value == 1


@pytest.mark.parametrize("step", [NO_LEADER, UNKNOWN, hang_up(), garbage(status=502)])
async def test_a_keyed_write_is_repeated_elsewhere_under_the_same_key(step):
    bad, good = ScriptedPeer(step), ScriptedPeer(DONE)
    async with running(bad, good), Client([bad.url, good.url]) as client:
        assert (await client.kv.put("a", 1)).revision == ITEM["revision"]
    assert len(bad.requests) == len(good.requests) == 1
    assert bad.keys == good.keys != [None]
    assert bad.bodies == good.bodies == [b'{"value":1}']


@pytest.mark.parametrize("step", [UNKNOWN, hang_up(), garbage(status=502)])
async def test_a_write_in_doubt_is_repeated_with_when_it_was_begun(step):
    """However many keys the peers have forgotten since: they refuse what they cannot know."""
    bad, good = ScriptedPeer(DONE, step), ScriptedPeer(DONE)
    bad.clock_ms, good.clock_ms = 5_000, 9_000  # as two peers know it, one of them late
    async with running(bad, good), Client([bad.url, good.url]) as client:
        await client.kv.put("a", 1)
        await client.kv.put("a", 1)
    assert [it.headers.get("Replicante-First-Attempt-Ms") for it in bad.requests] == [None, None]
    first_ms = int(good.requests[0].headers["Replicante-First-Attempt-Ms"])
    assert 5_000 <= first_ms <= 9_000, "seen before it was begun; known after it"


async def test_a_client_that_saw_no_clock_asks_for_it_before_it_repeats_what_is_in_doubt():
    bad, good = ScriptedPeer(hang_up()), ScriptedPeer(DONE)
    good.clock_ms = 9_000
    async with running(bad, good), Client([bad.url, good.url]) as client:
        await client.kv.put("a", 1)
    first_ms = int(good.requests[0].headers["Replicante-First-Attempt-Ms"])
    assert 0 < first_ms <= 9_000, "not later than it was begun"


async def test_the_question_for_the_clock_takes_no_more_time_than_the_call_has_left():
    bad, hung = ScriptedPeer(hang_up()), ScriptedPeer(DONE)
    hung.is_hung = True
    asked_ms = []
    async with running(bad, hung), Client([bad.url, hung.url]) as client:
        send = client._transport.send

        async def noted(call, endpoint, *, budget_ms, after_index):
            asked_ms.append(budget_ms)
            return await send(call, endpoint, budget_ms=budget_ms, after_index=after_index)

        client._transport.send = noted
        with pytest.raises(errors.OutcomeUnknown):
            await client.kv.put("a", 1, write=SHORT)
    assert min(asked_ms) > 0 and max(asked_ms) <= SHORT.timeout_ms


async def test_a_repeat_that_the_peers_know_nothing_of_any_more_leaves_the_doubt():
    expired = problem("outcome_expired", 409, definite=True)
    bad, good = ScriptedPeer(DONE, hang_up()), ScriptedPeer(expired)
    bad.clock_ms = 5_000
    async with running(bad, good), Client([bad.url, good.url]) as client:
        await client.kv.put("a", 1)
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await client.kv.put("a", 1)
    assert not caught.value.definite


@pytest.mark.parametrize("step", [UNKNOWN, hang_up(), garbage(status=502), garbage(status=200)])
async def test_a_write_without_a_key_is_sent_once_when_it_may_have_happened(step):
    bad, good = ScriptedPeer(step), ScriptedPeer(DONE)
    async with running(bad, good), Client([bad.url, good.url], mints_keys=False) as client:
        with pytest.raises((errors.OutcomeUnknown, errors.BadAnswer)) as caught:
            await client.kv.put("a", 1)
    assert not caught.value.definite
    assert (len(bad.requests), len(good.requests)) == (1, 0)


async def test_a_write_without_a_key_is_not_repeated_by_the_http_library_either():
    peer = ScriptedPeer(DONE, hang_up(), DONE)
    async with running(peer), Client([peer.url], mints_keys=False) as client:
        await client.kv.put("a", 1)
        with pytest.raises(errors.OutcomeUnknown):
            await client.kv.put("a", 2)
    assert len(peer.requests) == 2


async def test_a_write_without_a_key_is_repeated_when_it_certainly_did_not_happen():
    bad, good = ScriptedPeer(NO_LEADER), ScriptedPeer(DONE)
    urls = [await refusing_url()]
    async with running(bad, good), Client([*urls, bad.url, good.url], mints_keys=False) as client:
        await client.kv.put("a", 1)
    assert (bad.keys, good.keys) == ([None], [None])


async def test_after_the_deadline_a_write_in_doubt_is_unknown_and_gives_its_key():
    peer = ScriptedPeer(hang_up(), NO_LEADER)
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await client.kv.put("a", 1, write=SHORT)
    assert caught.value.details["idempotency_key"] == peer.keys[0] == peer.keys[-1]
    assert len(peer.requests) > 1


async def test_a_write_in_doubt_can_be_taken_up_again_with_what_the_error_tells():
    peer = ScriptedPeer(answer(ITEM, index=1, clock_ms=5_000), hang_up())
    async with running(peer), Client([peer.url]) as client:
        await client.kv.get("a")
        with pytest.raises(errors.OutcomeUnknown) as caught:
            await client.kv.put("a", 1, write=SHORT)
        peer.steps = [DONE]
        told = caught.value.details
        assert told["first_attempt_ms"] == 5_000
        again = Write(
            idempotency_key=told["idempotency_key"], first_attempt_ms=told["first_attempt_ms"]
        )
        await client.kv.put("a", 1, write=again)
    assert peer.keys[-1] == peer.keys[1]
    sent = [request.headers.get("Replicante-First-Attempt-Ms") for request in peer.requests]
    assert sent[-1] == "5000"
    assert sent[:2] == [None, None] and set(sent[2:]) == {"5000"}, "only a repeat says it"


async def test_after_the_deadline_a_write_that_was_always_refused_says_why():
    peer = ScriptedPeer(NO_LEADER)
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.NoLeader) as caught:
            await client.kv.put("a", 1, write=SHORT)
    assert caught.value.definite


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_word_of_a_peer_says_more_than_the_silence_of_others(is_first):
    """Two of three peers are dead: their addresses are right, and the third one knows why."""
    peer, dead = ScriptedPeer(NO_LEADER), [await refusing_url(), await refusing_url()]
    async with running(peer):
        urls = [peer.url, *dead] if is_first else [*dead, peer.url]
        async with Client(urls) as client:
            for timeout_ms in (400, 4_000, 20_000):  # a busy machine may take the first ones
                with pytest.raises((errors.NoLeader, errors.Unreachable)) as caught:
                    await client.kv.get("a", read=Read(timeout_ms=timeout_ms))
                if caught.type is errors.NoLeader:
                    break
    assert caught.type is errors.NoLeader
    for url in dead:
        assert f"{url}: connection refused" in str(caught.value.hints)


async def test_when_nobody_is_there_the_error_names_every_endpoint_and_is_definite():
    urls = [await refusing_url(), await refusing_url()]
    async with Client(urls) as client:
        with pytest.raises(errors.Unreachable) as caught:
            await client.kv.put("a", 1, write=SHORT)
    assert set(caught.value.details["reasons"]) == set(urls)
    assert caught.value.definite


async def test_no_call_outlives_its_deadline():
    peer = ScriptedPeer(silence())
    async with running(peer), Client([peer.url]) as client:
        began = time.monotonic()
        with pytest.raises(errors.Unreachable):
            await client.kv.get("a", read=Read(timeout_ms=200))
        with pytest.raises(errors.OutcomeUnknown):
            await client.kv.put("a", 1, write=Write(timeout_ms=200))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("not_found", 404, errors.NotFound),
        ("revision_mismatch", 412, errors.RevisionMismatch),
        ("invalid", 400, errors.Invalid),
        ("body_too_large", 413, errors.BodyTooLarge),
        ("storage_full", 507, errors.StorageFull),
        ("history_gone", 410, errors.HistoryGone),
        ("history_forked", 410, errors.HistoryForked),
    ],
)
async def test_a_definite_answer_is_raised_as_its_error_and_not_repeated(code, status, error):
    first = ScriptedPeer(problem(code, status, definite=True, hints=["do this"]))
    second = ScriptedPeer(DONE)
    async with running(first, second), Client([first.url, second.url]) as client:
        with pytest.raises(error) as caught:
            await client.kv.put("a", 1)
    assert caught.value.hints == ("do this",)
    assert len(second.requests) == 0


async def test_a_peer_without_room_does_not_settle_what_an_earlier_attempt_left_open():
    first = ScriptedPeer(hang_up())
    second = ScriptedPeer(problem("storage_full", 507, definite=True))
    async with running(first, second), Client([first.url, second.url]) as client:
        with pytest.raises(errors.OutcomeUnknown):
            await client.kv.put("a", 1)


async def test_the_answer_under_the_same_key_settles_it():
    first = ScriptedPeer(hang_up())
    second = ScriptedPeer(problem("revision_mismatch", 412, definite=True))
    async with running(first, second), Client([first.url, second.url]) as client:
        with pytest.raises(errors.RevisionMismatch):
            await client.kv.put("a", 1, expect_revision="1")


async def test_a_bug_of_the_server_is_asked_of_each_peer_once():
    bug = problem("internal", 500, definite=False)
    first, second = ScriptedPeer(bug), ScriptedPeer(bug)
    async with running(first, second), Client([first.url, second.url]) as client:
        with pytest.raises(errors.ReplicanteError) as caught:
            await client.kv.get("a")
        assert caught.value.code == "internal"
        with pytest.raises(errors.OutcomeUnknown):
            await client.kv.put("a", 1)
    assert (len(first.requests), len(second.requests)) == (2, 2)


async def test_the_highest_seen_index_goes_out_with_every_read():
    peer = ScriptedPeer(answer(ITEM, index=70), answer(ITEM, index=50))
    async with running(peer), Client([peer.url]) as client:
        await client.kv.put("a", 1)
        await client.kv.put("a", 1)
        assert client.seen_index == 70
        peer.steps = [answer(ITEM, index=71)]
        await client.kv.get("a")
        await client.kv.get("a", read=STALE)
    assert [query.get("after_index") for query in peer.queries] == [None, None, "70", "71"]
    assert peer.queries[-1]["consistency"] == "stale"


async def test_an_answer_from_before_what_was_seen_is_not_taken():
    old, new = ScriptedPeer(answer(ITEM, index=70)), ScriptedPeer(answer(ITEM, index=71))
    async with running(old, new), Client([old.url, new.url]) as client:
        await client.kv.get("a")
        old.steps = [answer(ITEM | {"value": "old"}, index=69)]
        assert (await client.kv.get("a", read=STALE)).value == 1
    assert len(new.requests) == 1


async def test_a_call_pinned_to_an_endpoint_asks_no_other():
    pinned, other = ScriptedPeer(NO_LEADER), ScriptedPeer(DONE)
    async with running(pinned, other), Client([pinned.url, other.url]) as client:
        with pytest.raises(errors.NoLeader):
            await client.kv.get("a", read=Read(endpoint=pinned.url, timeout_ms=200))
    assert other.requests == []
    assert len(pinned.requests) > 1


async def test_a_status_is_local_and_takes_no_part_in_the_order_of_reads():
    peer = ScriptedPeer(answer(ITEM, index=70), garbage(status=404))
    async with running(peer), Client([peer.url]) as client:
        await client.kv.get("a")
        with pytest.raises(errors.BadAnswer):
            await client.raft_status(peer.url, timeout_ms=200)
    assert peer.queries[-1] == {}
    assert client.seen_index == 70


async def test_an_unreadable_answer_is_no_success():
    peer = ScriptedPeer(answer({"key": "a"}, index=1))
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.BadAnswer):
            await client.kv.get("a")


async def test_every_attempt_in_vain_is_noted():
    notes: list[Note] = []
    bad, good = ScriptedPeer(NO_LEADER), ScriptedPeer(DONE)
    async with running(bad, good), Client([bad.url, good.url], observe=notes.append) as client:
        await client.kv.put("a", 1)
    assert [(note.kind, note.endpoint) for note in notes] == [
        (NoteKind.TRIED_IN_VAIN, bad.url),
    ]


async def test_listing_walks_all_pages_in_order():
    peer = ScriptedPeer(
        answer({"items": [ITEM, ITEM | {"key": "b"}], "next": "c u/r"}, index=1),
        answer({"items": [ITEM | {"key": "c"}], "next": None}, index=1),
    )
    async with running(peer), Client([peer.url]) as client:
        assert [item.key async for item in client.kv.list("x/", page_items=2)] == ["a", "b", "c"]
    assert [query.get("cursor") for query in peer.queries] == [None, "c u/r"]
    assert peer.queries[0]["prefix"] == "x/"


@pytest.mark.parametrize("key", ["a/b", "a//b", "..", "a/../b", "%2F", "ä ö", "?q#f", "\n", "."])
async def test_a_key_goes_out_as_it_is(key):
    from replicante.wire.paths import unquote_once

    peer = ScriptedPeer(DONE)
    async with running(peer), Client([peer.url]) as client:
        await client.kv.get(key)
    target = peer.requests[0].raw_path.split("?")[0]
    assert target.startswith("/api/v0/kv/")
    assert unquote_once(target.removeprefix("/api/v0/kv/")) == key.encode()


async def test_what_was_not_found_at_an_index_counts_as_seen():
    peer = ScriptedPeer(problem("not_found", 404, definite=True, index=80))
    async with running(peer), Client([peer.url]) as client:
        assert await client.kv.find("a") is None
        assert client.seen_index == 80


async def test_find_tells_a_missing_key_from_a_missing_path():
    peer = ScriptedPeer(problem("not_found", 404, definite=True))
    async with running(peer), Client([peer.url]) as client:
        assert await client.kv.find("a") is None
        peer.steps = [problem("no_such_path", 404, definite=True)]
        with pytest.raises(errors.RequestError):
            await client.kv.find("a")


async def test_a_batch_is_one_keyed_write_and_checks_its_values():
    peer = ScriptedPeer(answer({"items": [{"status": 201, "key": "a"}], "index": 9}, index=9))
    async with running(peer), Client([peer.url]) as client:
        result = await client.batch([BatchKvPut(key="a", value=[1])])
        with pytest.raises(errors.Invalid) as caught:
            await client.batch([BatchKvPut(key="a", value=[float("nan")])])
    assert (result.index, result.items[0].status, client.seen_index) == (9, 201, 9)
    assert b'"op":"kv.put"' in peer.bodies[0]
    assert caught.value.path == "operations[0].value[0]"
    assert peer.keys != [None]


async def test_a_client_that_is_not_open_says_how_to_open_it():
    with pytest.raises(RuntimeError, match="async with"):
        await Client(["http://127.0.0.1:1"]).kv.get("a")

"""The queue paths: what callers send, what they are told, and what waiting costs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import pytest
from api_harness import LIMIT_S, running, until

from replicante.model.codec import encode_value
from replicante.state.queue_commands import NewJob, QueueEnqueue


def sent(count: int = 1, *, queue: str = "q", **fields) -> QueueEnqueue:
    jobs = tuple(
        NewJob(body=encode_value({"n": number}), attempts_max=3, **fields)
        for number in range(count)
    )
    return QueueEnqueue(queue, jobs)


async def claim(api, **body):
    return await api.post("/queues/q/claim", body)


async def claim_one(api, **body):
    (item,) = (await claim(api, **body)).json["items"]
    return item


async def test_a_job_is_sent_claimed_and_acknowledged():
    async with running() as api:
        answer = await api.post("/queues/q/jobs", {"body": {"do": "it"}, "priority": 3})
        assert answer.status == 201
        (added,) = answer.json["items"]
        item = await claim_one(api, worker="w")
        assert item["id"] == added["id"]
        assert item["body"] == {"do": "it"}
        assert (item["attempt"], item["expires_in"]) == (1, "30s")
        done = await api.post(f"/queues/q/jobs/{item['id']}/ack", {"token": item["token"]})
        assert done.status == 200
        assert (await api.get("/queues/q")).status == 404
        assert (await claim(api)).json == {"items": []}


async def test_a_list_of_jobs_is_one_write():
    async with running() as api:
        before = api.peer.proposals_count
        answer = await api.post("/queues/q/jobs", [{"body": n, "dedup": "d"} for n in range(3)])
        assert [it["is_new"] for it in answer.json["items"]] == [True, False, False]
        assert api.peer.proposals_count == before + 1


PUT = {"op": "kv.put", "key": "done", "value": 1}


async def test_an_acknowledgement_carries_its_effects():
    async with running() as api:
        api.peer.do(sent())
        item = await claim_one(api)
        path = f"/queues/q/jobs/{item['id']}/ack"
        operations = [
            PUT,
            {"op": "queue.enqueue", "queue": "next", "body": 2},
        ]
        body = {"token": item["token"], "operations": operations}
        done = await api.post(path, body)
        assert [it["status"] for it in done.json["items"]] == [201, 201]
        (await api.post(path, body)).problem("stale_token", 409)
        assert (await api.get("/queues/next")).json["ready"] == 1


async def test_an_acknowledgement_whose_effect_is_refused_did_not_happen():
    async with running() as api:
        api.peer.do(sent())
        item = await claim_one(api)
        path = f"/queues/q/jobs/{item['id']}/ack"
        late = {"op": "kv.put", "key": "late", "value": 1, "lease": f"{7:019}"}
        body = {"token": item["token"], "operations": [PUT, late]}
        problem = (await api.post(path, body)).problem("stale_token", 409)
        assert problem["path"] == "operations[1]"
        assert "lease" in problem["detail"]
        (await api.get("/kv/done")).problem("not_found", 404)
        done = await api.post(path, body | {"operations": [PUT]})
        assert [it["status"] for it in done.json["items"]] == [201]


@pytest.mark.parametrize("verb", ["ack", "nack", "extend"])
async def test_a_token_that_is_stale_is_told_so(verb):
    async with running() as api:
        api.peer.do(sent())
        item = await claim_one(api)
        api.peer.pass_time(30_000)
        again = await claim_one(api)
        path = f"/queues/q/jobs/{item['id']}/{verb}"
        problem = (await api.post(path, {"token": item["token"]})).problem("stale_token", 409)
        assert problem["details"]["held"] == again["token"]
        assert problem["definite"]
        assert (await api.post(path, {"token": again["token"]})).status == 200


async def test_a_job_can_be_looked_at_with_what_went_wrong():
    async with running() as api:
        api.peer.do(sent(group="g"))
        item = await claim_one(api, worker="w1")
        path = f"/queues/q/jobs/{item['id']}"
        await api.post(f"{path}/nack", {"token": item["token"], "reason": "no", "delay": "5s"})
        seen = (await api.get(path)).json
        assert (seen["state"], seen["due_in"], seen["group"]) == ("waiting", "5s", "g")
        assert seen["history"] == [
            {"attempt": 1, "worker": "w1", "how": "nack", "reason": "no", "lasted": "0s"}
        ]
        assert (await api.get("/queues/q/jobs")).json["items"] == [seen]


async def test_operators_pause_redrive_and_purge():
    async with running() as api:
        api.peer.do(sent(3))
        await api.post("/queues/q/pause", {"reason": "upgrade"})
        assert (await claim(api)).json["items"] == []
        seen = (await api.get("/queues/q")).json
        assert (seen["paused"], seen["paused_reason"], seen["ready"]) == (True, "upgrade", 3)
        assert (await api.post("/queues/q/resume", None)).json["is_changed"]
        moved = await api.post("/queues/q/purge", {"reason": "mistake", "max": 2})
        assert (moved.json["moved"], moved.json["left"]) == (2, 1)
        # Behind the place of that portion there is one more; the third job itself is before it.
        nothing = {"reason": "x", "after": str(int(moved.json["next"]) + (1 << 40))}
        done = await api.post("/queues/q/purge", nothing)
        assert done.json == {"moved": 0, "left": 1, "next": None}
        both = {"ids": [moved.json["next"]], "after": moved.json["next"]}
        (await api.post("/queues/q/redrive", both)).problem("invalid", 400)
        for _ in range(3):
            item = await claim_one(api)
            await api.post(f"/queues/q/jobs/{item['id']}/nack", {"token": item["token"]})
        dead = (await api.get("/queues/q/jobs?dead=true")).json["items"]
        assert [len(it["history"]) for it in dead] == [3]
        assert (await api.post("/queues/q/redrive", {})).json == {
            "moved": 1,
            "left": 0,
            "next": None,
        }
        assert (await api.get("/queues")).json["items"][0]["name"] == "q"


async def test_the_age_of_a_queue_is_that_of_the_job_that_waits_longest():
    async with running() as api:
        for priority in (0, -100, 100, 5):
            api.peer.do(sent(2, priority=priority))
            api.peer.pass_time(60_000)
        api.peer.do(sent(1, priority=0))
        assert (await api.get("/queues/q")).json["oldest_age"] == "4m"
        text = (await api.ask("GET", "/metrics")).body.decode()
        assert 'replicante_queue_oldest_age_seconds{queue="q"} 240.0' in text
        assert 'replicante_queues_left_out{figure="age"} 0.0' in text
        # The two of the highest priority are the first to go, and change nothing of that.
        assert len((await claim(api, max=2)).json["items"]) == 2
        assert (await api.get("/queues/q")).json["oldest_age"] == "4m"
        assert len((await claim(api, max=4)).json["items"]) == 4
        assert (await api.get("/queues/q")).json["oldest_age"] == "3m"


async def test_queues_and_jobs_are_paged():
    async with running() as api:
        for number in range(3):
            api.peer.do(sent(3, queue=f"q{number}"))
        first = (await api.get("/queues?limit=2")).json
        rest = (await api.get(f"/queues?limit=2&cursor={first['next']}")).json
        assert [it["name"] for it in first["items"] + rest["items"]] == ["q0", "q1", "q2"]
        assert rest["next"] is None
        page = (await api.get("/queues/q0/jobs?limit=2")).json
        more = (await api.get(f"/queues/q0/jobs?limit=2&cursor={page['next']}")).json
        assert [it["body"]["n"] for it in page["items"] + more["items"]] == [0, 1, 2]


# --- waiting ------------------------------------------------------------------------------------


async def test_a_claim_of_an_empty_queue_writes_nothing():
    async with running() as api:
        before = api.peer.proposals_count
        assert (await claim(api)).json == {"items": []}
        assert (await claim(api, wait="20ms")).json == {"items": []}
        assert api.peer.proposals_count == before


@pytest.mark.parametrize("jobs_count", [0, 1])
async def test_a_claim_that_was_answered_does_not_wait_again(jobs_count):
    async with running() as api:
        if jobs_count:
            api.peer.do(sent(jobs_count))
        headers = {"Idempotency-Key": "k"}
        body = {"wait": "1ms", "visibility_timeout": "20s"}
        first = await api.post("/queues/q/claim", body, headers=headers)
        assert len(first.json["items"]) == jobs_count
        # The body of a repeat is the same but for the wait, which is no part of what is written.
        body["wait"] = "1m"
        again = asyncio.create_task(api.post("/queues/q/claim", body, headers=headers))
        async with asyncio.timeout(LIMIT_S):
            answer = await again
        assert answer.json == first.json
        assert answer.headers["Replicante-Replayed"] == "true"


async def test_a_repeated_extension_tells_what_is_left_of_the_first():
    async with running() as api:
        api.peer.do(sent())
        item = await claim_one(api)
        path, headers = f"/queues/q/jobs/{item['id']}/extend", {"Idempotency-Key": "k"}
        first = await api.post(path, {"token": item["token"]}, headers=headers)
        assert first.json["expires_in"] == "30s"
        api.peer.pass_time(29_000)
        again = await api.post(path, {"token": item["token"]}, headers=headers)
        assert again.json == {**first.json, "expires_in": "1s"}
        api.peer.pass_time(1_000)
        gone = await api.post(path, {"token": item["token"]}, headers=headers)
        assert gone.json == {**first.json, "expires_in": "0s"}


async def test_a_waiting_claim_gets_the_job_that_comes():
    async with running() as api:
        waiting = asyncio.create_task(claim(api, wait="1m"))
        await until(lambda: api.api.ctx.claim_waits.count == 1)
        before = api.peer.proposals_count
        api.peer.do(sent())
        async with asyncio.timeout(LIMIT_S):
            assert len((await waiting).json["items"]) == 1
        assert api.peer.proposals_count == before + 1


async def test_one_job_wakes_one_of_many_claims_and_three_wake_three():
    async with running() as api:
        waiting = [asyncio.create_task(claim(api, wait="1m")) for _ in range(50)]
        await until(lambda: api.api.ctx.claim_waits.count == 50)
        before = api.peer.proposals_count
        api.peer.do(sent(1))
        await until(lambda: api.api.ctx.claim_waits.count == 49)
        api.peer.pass_time(1)
        api.peer.do(sent(3))
        await until(lambda: api.api.ctx.claim_waits.count == 46)
        assert api.peer.proposals_count == before + 4
        api.peer.do(sent(46))
        async with asyncio.timeout(LIMIT_S):
            answers = await asyncio.gather(*waiting)
        assert all(len(answer.json["items"]) == 1 for answer in answers)


async def test_a_thousand_waiting_claims_and_one_new_job_make_one_claim():
    connector = aiohttp.TCPConnector(limit=0)
    async with running() as served, aiohttp.ClientSession(connector=connector) as session:
        api = replace(served, session=session)
        waiting = [asyncio.create_task(claim(api, wait="60s")) for _ in range(1_000)]
        await until(lambda: api.api.ctx.claim_waits.count == 1_000)
        before = api.peer.proposals_count
        api.peer.do(sent())
        done, still = await asyncio.wait(
            waiting, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        assert [len(one.result().json["items"]) for one in done] == [1]
        assert api.peer.proposals_count == before + 1
        assert api.api.ctx.claim_waits.count == 999
        for one in still:
            one.cancel()
        await asyncio.gather(*still, return_exceptions=True)


async def test_metrics_tell_what_becomes_of_jobs():
    async with running() as api:
        api.peer.do(sent(4))
        first, second, _ = (await claim(api, max=3)).json["items"]
        path = "/queues/q/jobs/{}/{}"
        await api.post(path.format(first["id"], "ack"), {"token": first["token"]})
        for _ in range(3):
            await api.post(path.format(second["id"], "nack"), {"token": second["token"]})
            again = (await claim(api)).json["items"]
            second = again[0] if again else second
        text = (await api.ask("GET", "/metrics")).body.decode()

        def told(name: str, **labels: str) -> float:
            wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
            (line,) = (one for one in text.splitlines() if one.startswith(f"{name}{{{wanted}}} "))
            return float(line.rpartition(" ")[2])

        moves = {
            move: told("replicante_queue_moves_total", queue="q", move=move)
            for move in ("enqueued", "claimed", "acked", "nacked", "dead_lettered")
        }
        assert moves["enqueued"] == 4 and moves["acked"] == 1
        assert moves["nacked"] == 3 and moves["dead_lettered"] == 1
        jobs = {
            state: told("replicante_queue_jobs", queue="q", state=state)
            for state in ("waiting", "ready", "claimed", "dead")
        }
        record = (await api.get("/queues/q")).json
        assert jobs == {name: record[name] for name in jobs}
        assert jobs["dead"] == 1


async def test_a_waiting_claim_gets_a_job_whose_delay_is_over():
    async with running() as api:
        api.peer.do(sent(delay_ms=5_000))
        waiting = asyncio.create_task(claim(api, wait="1m"))
        await until(lambda: api.api.ctx.claim_waits.count == 1)
        api.peer.pass_time(5_000)
        async with asyncio.timeout(LIMIT_S):
            assert len((await waiting).json["items"]) == 1


async def test_an_idempotent_claim_that_is_repeated_answers_with_the_same_jobs():
    async with running() as api:
        api.peer.do(sent(2))
        headers = {"Idempotency-Key": "k"}
        first = await api.post("/queues/q/claim", {"max": 1}, headers=headers)
        again = await api.post("/queues/q/claim", {"max": 1}, headers=headers)
        assert again.json == first.json
        assert len((await claim(api)).json["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/queues/q/jobs", {"body": 1, "delay": "soon"}, "delay"),
        ("/queues/q/jobs", {"body": 1, "nope": 1}, "nope"),
        ("/queues/q/jobs", [{"body": 1}, {"body": 1, "priority": 500}], "[1].priority"),
        ("/queues/q/jobs", [], "jobs"),
        ("/queues/q/claim", {"max": 101}, "max"),
        ("/queues/q/claim", {"wait": "11m"}, "wait"),
        ("/queues/q/claim", {"visibility_timeout": "1ms"}, "visibility_timeout"),
        ("/queues/q/claim", {"lease": "0"}, "lease"),
        ("/queues/q/jobs/7/ack", {"token": "x"}, "token"),
        ("/queues/q/jobs/x/ack", {"token": "1"}, "id"),
        (
            "/queues/q/jobs/7/ack",
            {
                "token": "1",
                "operations": [{"op": "kv.put", "key": "k", "value": 1, "is_new": True}],
            },
            "operations[0].if_match",
        ),
        ("/queues/q/pause", {"reason": ""}, "reason"),
        ("/queues/q/purge", {"reason": "r", "max": 0}, "count"),
    ],
)
async def test_a_fault_is_named_by_its_path(path, body, where):
    async with running() as api:
        problem = (await api.post(path, body)).problem("invalid", 400)
        assert problem["path"] == where

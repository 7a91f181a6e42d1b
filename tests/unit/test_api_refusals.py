from __future__ import annotations

import asyncio
import gzip
import io
import json

import msgpack
import pytest
from api_harness import LIMIT_S, raw_exchange, running

from replicante import limits
from replicante.api.context import ApiSettings
from replicante.api.cursors import write_cursor
from replicante.testing.fake_peer import FakePeer, Trouble

JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}
MIB = limits.REQUEST_BYTES_MAX


def deep(levels: int) -> bytes:
    return b'{"value": ' + b"[" * levels + b"]" * levels + b"}"


HOSTILE = [
    (b"", ""),
    (b"{", ""),
    (b'{"value": 1', ""),
    (b'{"value": 1}}', ""),
    (b"\xff\xfe", ""),
    (b"null", ""),
    (b"[]", ""),
    (b'"text"', ""),
    (b"{}", "value"),
    (b'{"valu": 1}', "valu"),
    (b'{"value": 1, "extra": 2}', "extra"),
    (b'{"value": 1, "lease": 5}', "lease"),
    (b'{"value": 1, "value": 2}', "value"),
    (b'{"value": {"a": {"b": 1, "b": 1}}}', "value.a.b"),
    (b'{"value": "\\ud800"}', "value"),
    (b'{"value": {"k\\udfff": 1}}', 'value["k\\udfff"]'),
    (b'{"value": 123456789012345678901234567890}', "value"),
    (b'{"value": [1, {"n": 18446744073709551616}]}', "value[1].n"),
    (b'{"value": NaN}', "value"),
    (b'{"value": [-Infinity]}', "value[0]"),
    (b'{"value": 1e400}', "value"),
    (deep(33), "value" + "[0]" * 32),
    (deep(400), "value" + "[0]" * 32),
    (deep(200_000), "value" + "[0]" * 39),
]


@pytest.mark.parametrize(("body", "path"), HOSTILE, ids=lambda value: repr(value)[:40])
async def test_a_hostile_body_is_refused_with_the_path_of_its_fault(body, path):
    async with running() as api:
        answer = await api.ask("PUT", "/api/v0/kv/a", data=body, headers=JSON)
        assert answer.problem("invalid", 400).get("path", "") == path
        assert api.peer.proposals_count == 0
        assert (await api.put("/kv/a", {"value": 1})).status == 201


HOSTILE_PACKED = [
    (b"", ""),
    (b"\xc1", ""),
    (msgpack.packb({"value": 1}) + b"\x00", ""),
    (msgpack.packb({"value": b"\x00"}), "value"),
    (msgpack.packb({"value": 1 << 63}), "value"),
    (msgpack.packb({"value": float("nan")}), "value"),
    (msgpack.packb({"value": {5: 1}}), "value"),
    (msgpack.packb({"value": msgpack.Timestamp(5)}), "value"),
    (b"\x82\xa5value\x01\xa5value\x02", "value"),
    (b"\x81\xa5value" + b"\x91" * 33 + b"\x01", "value" + "[0]" * 32),
    (b"\x81\xa5value" + b"\x91" * 2_000, ""),
    (b"\xdd\xff\xff\xff\xff" * 200, ""),
]


@pytest.mark.parametrize(("body", "path"), HOSTILE_PACKED, ids=lambda value: repr(value)[:40])
async def test_a_hostile_msgpack_body_is_refused_in_the_same_way(body, path):
    async with running() as api:
        answer = await api.ask("PUT", "/api/v0/kv/a", data=body, headers=MSGPACK)
        assert answer.problem("invalid", 400).get("path", "") == path
        assert api.peer.proposals_count == 0


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"],
)
async def test_a_body_that_a_web_form_could_send_is_refused(content_type):
    async with running() as api:
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await api.ask(
            "PUT",
            "/api/v0/kv/a",
            data=b'{"value": 1}',
            headers=headers,
            skip_auto_headers=("Content-Type",),
        )
        answer.problem("unsupported_media_type", 415)
        assert api.peer.proposals_count == 0


async def test_a_content_type_may_have_parameters():
    async with running() as api:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        answer = await api.ask("PUT", "/api/v0/kv/a", data=b'{"value": 1}', headers=headers)
        assert answer.status == 201


async def test_a_body_of_one_mebibyte_is_taken_and_a_larger_one_is_not():
    async with running() as api:
        text = "x" * (MIB - len('{"value": ""}') - 8)
        taken = json.dumps({"value": text}).encode()
        assert len(taken) <= MIB
        assert (await api.ask("PUT", "/api/v0/kv/a", data=taken, headers=JSON)).status == 201
        assert (await api.get("/kv/a")).json["value"] == text
        larger = io.BytesIO(b'{"value": "' + b"x" * MIB + b'"}')
        answer = await api.ask("PUT", "/api/v0/kv/a", data=larger, headers=JSON)
        assert answer.problem("body_too_large", 413)["details"]["limit"] == MIB


async def test_a_body_without_a_length_is_counted_as_it_comes():
    async def chunks():
        yield b'{"value": "'
        for _ in range(40):
            yield b"x" * 32_768
        yield b'"}'

    async with running() as api:
        answer = await api.ask("PUT", "/api/v0/kv/a", data=chunks(), headers=JSON)
        answer.problem("body_too_large", 413)
        assert api.api.ctx.bodies.held_bytes == 0


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused():
    async with running() as api:
        bomb = gzip.compress(b'{"value": "' + b"x" * (8 * MIB) + b'"}')
        headers = {**JSON, "Content-Encoding": "gzip"}
        answer = await api.ask("PUT", "/api/v0/kv/a", data=bomb, headers=headers)
        assert answer.status in (400, 413)
        answer.problem(answer.json["code"], answer.status)
        fine = gzip.compress(b'{"value": 1}')
        assert (await api.ask("PUT", "/api/v0/kv/a", data=fine, headers=headers)).status == 201


async def test_a_body_that_does_not_unpack_is_malformed():
    async with running() as api:
        headers = {**JSON, "Content-Encoding": "gzip"}
        answer = await api.ask("PUT", "/api/v0/kv/a", data=b"no gzip", headers=headers)
        assert answer.status == 400
        answer.problem(answer.json["code"], 400)


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on():
    async with running() as api:
        body = b'{"value": 1}'
        head = (
            b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: 12\r\n\r\n"
        )
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port)
            writer.write(head)
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert await reader.readline() == b"\r\n"
            writer.write(body)
            assert await reader.readline() == b"HTTP/1.1 201 Created\r\n"
            await reader.read()
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v0", "/api/v1/kv/a", "/api/v0/kv2", "/api/v0/status/", "/kv/a", "//"],
)
async def test_an_unknown_path_is_a_problem(path):
    async with running() as api:
        (await api.ask("GET", path)).problem("no_such_path", 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/api/v0/kv/a", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/api/v0/kv", "GET, HEAD"),
        ("GET", "/api/v0/apply", "POST"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/api/v0/events", "GET, HEAD"),
        ("PATCH", "/api/v0/object/replicante.io/v0/namespace/a", "DELETE, GET, HEAD"),
        ("BREW", "/api/v0/status", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_says_which_are_right(method, path, allow):
    async with running() as api:
        answer = await api.ask(method, path)
        if method == "BREW":
            assert answer.status in (400, 405)
            return
        answer.problem("method_not_allowed", 405)
        assert answer.headers["Allow"] == allow


async def test_head_answers_like_get_without_a_body():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        answer = await api.ask("HEAD", "/api/v0/kv/a")
        assert (answer.status, answer.body) == (200, b"")
        assert "Replicante-Index" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:5"}, 200),
        ({"Host": "127.0.0.1:99"}, 200),
        ({"Host": "[::1]:99"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "127.0.0.1:80:80"}, 403),
        ({"Host": "192.168.1.5"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:5", "Origin": "http://localhost:5"}, 200),
        ({"Host": "localhost:5", "Origin": "http://localhost:6"}, 403),
        ({"Host": "localhost:5", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost:5", "Origin": "null"}, 403),
        ({"Host": "localhost:5", "Origin": ""}, 403),
    ],
)
async def test_without_authentication_only_this_machine_and_no_web_page_comes_in(headers, status):
    async with running() as api:
        for path in ("/api/v0/status", "/metrics", "/introspect/health"):
            answer = await api.ask("GET", path, headers=headers)
            assert answer.status == status
            if status == 403:
                answer.problem("forbidden", 403)


async def test_with_authentication_in_front_any_host_is_answered():
    async with running(settings=ApiSettings(is_authenticated=True)) as api:
        answer = await api.ask("GET", "/api/v0/status", headers={"Host": "replicante.example"})
        assert answer.status == 200


async def test_requests_beyond_the_bound_are_refused_and_status_is_not():
    async with running(settings=ApiSettings(requests_inflight_max=1)) as api:
        api.peer.trouble = Trouble.SILENT
        held = asyncio.create_task(api.put("/kv/a?timeout=5s", {"value": 1}))
        await api.peer.proposed.wait()
        answer = await api.get("/kv/a")
        answer.problem("too_many_requests", 429)
        assert answer.headers["Retry-After"] == "1"
        assert (await api.get("/raft/status")).status == 200
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_bodies_beyond_the_memory_bound_are_refused(monkeypatch):
    async with running() as api:
        api.api.ctx.bodies.held_bytes = limits.HTTP_BODY_BYTES_INFLIGHT_MAX
        (await api.put("/kv/a", {"value": 1})).problem("too_many_requests", 429)
        assert api.api.ctx.bodies.held_bytes == limits.HTTP_BODY_BYTES_INFLIGHT_MAX
        api.api.ctx.bodies.held_bytes = 0
        assert (await api.put("/kv/a", {"value": 1})).status == 201
        assert api.api.ctx.bodies.held_bytes == 0


async def test_a_defect_of_ours_is_a_problem_without_a_traceback():
    async with running() as api:
        api.peer.trouble = Trouble.DEFECT
        body = (await api.put("/kv/a", {"value": 1})).problem("internal", 500)
        assert body["definite"] is False
        assert "ZeroDivision" not in body["detail"]
        assert api.counted("replicante_http_unexpected_errors_total") == 1
        (await api.get("/kv/a")).problem("internal", 500)
        assert (await api.get("/status")).status == 200


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("r-1.2:3_x", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("é", False)],
)
async def test_a_request_id_is_kept_or_minted(given, is_kept):
    async with running() as api:
        answer = await api.put("/kv/a", {"value": 1}, headers={"Replicante-Request-Id": given})
        found = answer.headers["Replicante-Request-Id"]
        assert (found == given) is is_kept
        assert len(found) == 32 or is_kept
        event = (await api.get("/events")).json["items"][-1]
        assert event["cause"]["request_id"] == found


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /api/v0/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ],
    ids=lambda data: repr(data)[:40],
)
async def test_bytes_that_are_no_request_are_a_problem_too(data):
    async with running() as api:
        said = await raw_exchange(api.server.port, data)
        head, _, body = said.partition(b"\r\n\r\n")
        assert b" 400 " in head.splitlines()[0] or b" 403 " in head.splitlines()[0]
        assert b"application/problem+json" in head
        assert json.loads(body)["code"] in ("malformed_http", "forbidden")


async def test_a_whole_url_as_target_is_understood():
    async with running() as api:
        request = (
            b"GET http://localhost/api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\n\r\n"
        )
        await api.put("/kv/a", {"value": 7})
        said = await raw_exchange(api.server.port, request)
        assert b" 200 " in said.splitlines()[0]
        assert b'"value":7' in said


async def test_a_peer_that_knows_no_leader_still_answers_about_itself():
    peer = FakePeer()
    peer.trouble = Trouble.NO_LEADER
    async with running(peer=peer) as api:
        status = await api.get("/status")
        assert status.json["leader"] is None
        assert status.headers["Replicante-Leader"] == ""
        assert (await api.ask("GET", "/introspect/health")).status == 200
        body = (await api.ask("GET", "/introspect/ready")).problem("not_ready", 503)
        assert "leader" in body["details"]["reason"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/kv", "kv"),
        ("/leases", "leases"),
        ("/queues", "queues"),
        ("/queues/q/jobs", "jobs"),
        ("/list/replicante.io/v0/namespace", "list:Namespace"),
        ("/list/replicante.io/v0/platform", "list:Platform"),
        ("/list/replicante.io/v0/clusterspec/n", "list:ClusterSpec"),
        ("/list/replicante.io/v0/naction/n/c", "list:NAction"),
        ("/list/replicante.io/v0/oaction/n/c", "list:OAction"),
    ],
)
@pytest.mark.parametrize("name", ["", "\0" * 700, "9" * 700, "\uffff" * 200])
async def test_an_invented_cursor_is_an_empty_page_or_a_refusal(path, kind, name):
    async with running() as api:
        for position in (name.encode(), (name,), (name, name)):
            cursor = write_cursor(kind, position)
            answer = await api.get(f"{path}?cursor={cursor}")
            assert answer.status in (200, 400, 404), answer.body

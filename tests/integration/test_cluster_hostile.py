"""Hostile bytes at the doors of real peers: each is refused in its way, and no peer is hurt."""

from __future__ import annotations

import asyncio
import json
import os
import struct

import pytest
from cluster import Cluster, running
from cluster_load import check_history, load
from cluster_peer import HOST

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

MIB = 1024 * 1024
KV = "/api/v0/kv/hostile"
JSON = {"Content-Type": "application/json"}


def nested(levels: int) -> bytes:
    return b'{"value": ' + b"[" * levels + b"]" * levels + b"}"


REFUSED = [
    # method, path, body, status, code, path of the fault
    ("PUT", KV, b"", 400, "invalid", None),
    ("PUT", KV, b"{", 400, "invalid", None),
    ("PUT", KV, b"\xff\xfe{}", 400, "invalid", None),
    ("PUT", KV, b"[]", 400, "invalid", None),
    ("PUT", KV, b'{"valu": 1}', 400, "invalid", "valu"),
    ("PUT", KV, b'{"value": 1, "extra": 2}', 400, "invalid", "extra"),
    ("PUT", KV, b'{"value": 1, "lease": 5}', 400, "invalid", "lease"),
    ("PUT", KV, b'{"value": {"a": "\\ud800"}}', 400, "invalid", "value.a"),
    ("PUT", KV, b'{"value": 123456789012345678901234567890}', 400, "invalid", "value"),
    ("PUT", KV, b'{"value": [NaN]}', 400, "invalid", "value[0]"),
    ("PUT", KV, b'{"value": -Infinity}', 400, "invalid", "value"),
    ("PUT", KV, b'{"value": 1e999}', 400, "invalid", "value"),
    ("PUT", KV, b'{"value": {"a": 1, "a": 2}}', 400, "invalid", "value.a"),
    ("PUT", KV, nested(33), 400, "invalid", "value" + "[0]" * 32),
    ("PUT", KV, nested(400_000), 400, "invalid", None),
    ("PUT", KV, b'{"value": "' + b"x" * MIB + b'"}', 413, "body_too_large", None),
    ("PUT", "/api/v0/kv/" + "k" * 385, b'{"value": 1}', 400, "invalid", "key"),
    ("PUT", "/api/v0/kv/%ff", b'{"value": 1}', 400, "invalid", None),
    ("PUT", "/api/v0/kv/%zz", b'{"value": 1}', 400, "invalid", None),
    ("PUT", "/api/v0/kv/", b'{"value": 1}', 400, "invalid", None),
    ("POST", KV, b"{}", 405, "method_not_allowed", None),
    ("PATCH", "/api/v0/batch", b"{}", 405, "method_not_allowed", None),
    ("GET", "/api/v0/nothing", None, 404, "no_such_path", None),
    ("GET", "/", None, 404, "no_such_path", None),
    ("GET", "/api/v0/kv/never-written", None, 404, "not_found", None),
    ("GET", f"{KV}?consistency=perfect", None, 400, "invalid", "?consistency"),
    ("GET", f"{KV}?timeout=1h", None, 400, "invalid", "?timeout"),
    ("GET", "/api/v0/events?after=x", None, 400, "invalid", "?after"),
    ("GET", "/api/v0/events?limit=-1", None, 400, "invalid", "?limit"),
    ("GET", "/api/v0/kv?cursor=nonsense", None, 400, "invalid", "?cursor"),
    ("GET", "/api/v0/kv?cursor=%00%ff", None, 400, "invalid", "?"),
    ("POST", "/api/v0/batch", b'{"operations": []}', 400, "invalid", "operations"),
    ("POST", "/api/v0/batch", b'{"operations": [{"op": "kv.burn"}]}', 400, "invalid", None),
    ("POST", "/api/v0/apply", b'{"kind": "Namespace"}', 400, "invalid", None),
]
BROKEN_HTTP = [
    b"\x00" * 1_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x7f" * 200,  # TLS
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /api/v0/kv HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /api/v0/kv HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
]
BROKEN_FRAMES = [
    b"\x00" * 4_096,
    b"\xff" * 4_096,
    struct.pack(">II", 0xFFFF_FFFF, 0),
    struct.pack(">II", 5, 0) + b"hello",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    os.urandom(20_000),
]


async def test_hostile_requests_are_refused_and_no_peer_is_hurt(tmp_path):
    async with running(tmp_path) as cluster:
        for method, path, body, status, code, fault in REFUSED:
            answer = await cluster.ask("p1", method, path, body=body)
            what = f"{method} {path[:60]} {body[:60] if body else ''!r}: {answer.body[:300]!r}"
            assert (answer.status, answer.code) == (status, code), what
            assert answer.definite
            if fault is not None:
                assert answer.json.get("path") == fault, what
        answer = await cluster.ask("p1", "PUT", KV, body=b"a=1", headers={"Content-Type": "x/y"})
        assert answer.code == "unsupported_media_type"
        foreign = {**JSON, "Origin": "http://evil.example"}
        answer = await cluster.ask("p1", "PUT", KV, body=b'{"value": 1}', headers=foreign)
        assert (answer.status, answer.code) == (403, "forbidden")
        assert (await cluster.get("p2", "hostile")).status == 404, "nothing of it was written"
        await _takes_the_largest_value(cluster)
        await _is_well(cluster)


async def test_bytes_that_are_no_protocol_hurt_no_peer(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster, writers=2, counters=1) as callers:
            for junk in BROKEN_HTTP:
                said = await _send(cluster["p1"].http_port, junk)
                assert b"Traceback" not in said
                if said.startswith(b"HTTP/1.1"):
                    assert said.split()[1][:1] == b"4", said[:200]
            for peer in cluster.ids:
                for junk in BROKEN_FRAMES:
                    await _send(cluster[peer].raft_port, junk)
            silent = [await _open(cluster["p1"].raft_port) for _ in range(40)]
            await callers.acknowledged(200)
            for writer in silent:
                writer.close()
        await _is_well(cluster)
        await check_history(cluster, callers.history)


async def _takes_the_largest_value(cluster: Cluster) -> None:
    body = json.dumps({"value": "x" * (MIB - 64)}).encode()
    for writer in cluster.ids:
        answer = await cluster.ask(writer, "PUT", f"/api/v0/kv/large/{writer}", body=body)
        assert answer.status == 201
    for reader in cluster.ids:
        for writer in cluster.ids:
            answer = await cluster.get(reader, f"large/{writer}")
            assert len(answer.json["value"]) == MIB - 64


async def _is_well(cluster: Cluster) -> None:
    for peer in cluster.ids:
        assert (await cluster.ask(peer, "GET", "/introspect/health")).status == 200
        assert (await cluster.ask(peer, "GET", "/introspect/ready")).status == 200
        assert (await cluster.put(peer, f"well/{peer}", 1)).status in (200, 201)
    await cluster.converged()


async def _open(port: int) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(HOST, port)
    return writer


async def _send(port: int, junk: bytes) -> bytes:
    """What came back until the other side closed, or said nothing for a while."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(junk)
        async with asyncio.timeout(1):
            await writer.drain()
            return await reader.read(65_536)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()

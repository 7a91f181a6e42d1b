"""A cluster of others meets one run: what that left is never taken for a violation of the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jlike import serve
from jlike.http import Http
from jlike.runner import MARK, HarnessBroken, must_be_new


@asynccontextmanager
async def _cluster(*, status: int = 201) -> AsyncIterator[tuple[str, set[str]]]:
    """A store that makes each record once. status: of what it makes."""
    records: set[str] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, headers, _ = await serve.request(reader)
        assert (method, headers["if-none-match"]) == ("PUT", "*")
        if path in records:
            problem = {"code": "revision_mismatch", "definite": True}
            writer.write(serve.response(412, problem))
        else:
            records.add(path)
            writer.write(serve.response(status, {"code": "no_leader", "definite": True}))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", records
    finally:
        server.close()


async def test_a_second_run_is_refused():
    http = Http(timeout_s=60)
    async with _cluster() as (url, records):
        await must_be_new(http, url)
        assert {it.rpartition("/kv/")[2] for it in records} == {MARK}
        with pytest.raises(HarnessBroken, match="before"):
            await must_be_new(http, url)


async def test_a_cluster_that_cannot_be_marked_is_not_met():
    async with _cluster(status=503) as (url, _):
        with pytest.raises(HarnessBroken, match="no_leader"):
            await must_be_new(Http(timeout_s=60), url)

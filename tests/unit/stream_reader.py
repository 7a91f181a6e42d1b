"""Reads event streams of the API as a client would, one event at a time."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from api_harness import LIMIT_S, PREFIX
from yarl import URL

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
OPEN = "replicante_event_streams"
ENDED = "replicante_event_streams_ended_total"


class Reader:
    """Reads a stream one event at a time."""

    def __init__(self, response):
        self.response = response
        self.headers = response.headers

    async def line(self):
        """The next NDJSON object; None at the end."""
        async with asyncio.timeout(LIMIT_S):
            raw = await self.response.content.readline()
        return json.loads(raw) if raw else None

    async def event(self):
        """The next server-sent event as its fields; None at the end."""
        fields = {}
        async with asyncio.timeout(LIMIT_S):
            while raw := await self.response.content.readline():
                text = raw.decode().rstrip("\n")
                if not text:
                    return fields
                name, _, value = text.partition(": ")
                fields[name] = json.loads(value) if name == "data" else value
        return None

    async def fact(self):
        """The next event that is no heartbeat, in either format."""
        is_sse = self.headers["Content-Type"].startswith(SSE)
        while True:
            found = await (self.event() if is_sse else self.line())
            if found is None:
                return None
            kind = found.get("event") if is_sse else found.get("type")
            if kind != "heartbeat":
                return found


@asynccontextmanager
async def streaming(api, path="/events", *, accept=SSE, headers=None):
    url = URL(api.server.url + PREFIX + path, encoded=True)
    sent = {"Accept": accept, **(headers or {})}
    async with api.session.get(url, headers=sent) as response:
        assert response.status == 200, await response.read()
        assert response.headers["Content-Type"].startswith(accept)
        yield Reader(response)

"""The command line as a person uses it, over the real API with a fake peer. Not a test file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from api_harness import running

from replicante.cli.root import execute
from replicante.testing.fake_peer import FakePeer


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


class Terminal:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        code = execute(list(arguments))
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)


@contextmanager
def api_in_thread(peer: FakePeer) -> Iterator[str]:
    """The URL of an API over this peer, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = running(peer=peer)
    try:
        harness = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(20)
        yield harness.server.url
        closing = context.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(closing, loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()

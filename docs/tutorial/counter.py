"""A counter that several processes share: each adds one a second, all agree on the sum."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from replicante.errors import ReplicanteError
from replicante.raft import Peer


class Counter:
    total = 0

    def apply(self, entry):
        self.total += int(entry.data)
        return str(self.total).encode()

    def snapshot(self):
        return [str(self.total).encode()]

    def restore(self, chunks):
        self.total = int(b"".join(chunks))


async def main(name, *members):
    peers = dict(member.split("=") for member in members)
    folder = Path("counter-data", name)
    peer = Peer(folder, name, peers[name], peers, Counter())
    await peer.start()
    try:
        while True:
            try:
                answer = await peer.propose(b"1", timeout_ms=5_000)
                print(f"{name} added 1: the sum is {int(answer.outcome)}", flush=True)
            except ReplicanteError as error:
                print(f"{name}: {error.message}", flush=True)
            await asyncio.sleep(1)
    finally:
        await peer.stop()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(*sys.argv[1:]))

"""One process of a worker pool: a receipt for every order. Ends when its standard input does."""

from __future__ import annotations

import asyncio
import sys

from replicante import lifeline
from replicante.client import BatchEnqueue, Client, Job


async def main(name: str, endpoints: list[str]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    lifeline.hold(sys.stdin.fileno(), ended=lambda: loop.call_soon_threadsafe(stop.set))
    async with Client(endpoints) as client:
        worker = client.worker(name, concurrency=16)

        @worker.handler("orders")
        async def bill(job: Job) -> list[BatchEnqueue]:
            await asyncio.sleep(0.02)
            receipt = {"order": job.body["order"], "worker": name, "attempt": job.attempt}
            return [BatchEnqueue(queue="receipts", body=receipt)]

        await worker.run(stop)


asyncio.run(main(sys.argv[1], sys.argv[2:]))

"""One process of the group that bench/work_queue.py measures: a durable peer with Replicante's own
state machine, and callers that propose enqueue, claim and ack to it. Started by raft_group."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from raft_load import Load, Meter, answer, new_event_loop, set_switch_interval
from raft_ours import PROPOSE_TIMEOUT_MS, open_own

from replicante.errors import ReplicanteError
from replicante.model.codec import encode_value
from replicante.raft import Peer, Role
from replicante.raft.observations import CommitDone
from replicante.state.commands import Command
from replicante.state.outcome import BatchApplied, JobsAdded, JobsClaimed, Outcome, decode_outcome
from replicante.state.queue_commands import NewJob, QueueAck, QueueClaim, QueueEnqueue
from replicante.testing.builders import envelope_bytes

QUEUE = "bench"
VISIBILITY_MS = 600_000
BODY = encode_value("v" * 100)


def enqueue(
    count: int = 1, *, queue: str = QUEUE, delay_ms: int = 0, group: str | None = None
) -> QueueEnqueue:
    job = NewJob(body=BODY, attempts_max=5, delay_ms=delay_ms, group=group)
    return QueueEnqueue(queue, (job,) * count)


class Bench:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._meter: Meter | None = None
        peer.observe(self._observe)

    def _observe(self, observation: object) -> None:
        if self._meter is not None and isinstance(observation, CommitDone):
            self._meter.commit()

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "status":
                status = self._peer.status()
                return {"is_ready": status.is_ready, "is_leader": status.role is Role.LEADER}
            case "load":
                self._meter = meter = Meter(Load(**order))
                callers = (self._caller(meter) for _ in range(meter.load.callers))
                await asyncio.gather(*callers)
                self._meter = None
                return meter.result()
            case other:
                raise AssertionError(other)

    async def _caller(self, meter: Meter) -> None:
        goes_on = True
        while goes_on:
            started_s = time.perf_counter()
            try:
                await self._round_trip()
                goes_on = meter.answered(started_s)
            except ReplicanteError:
                goes_on = meter.failed()

    async def _round_trip(self) -> None:
        """Each caller adds before it claims, so one job at least is there for it."""
        assert isinstance(await self._propose(enqueue()), JobsAdded)
        claimed = await self._propose(QueueClaim(QUEUE, 1, VISIBILITY_MS, "bench"))
        assert isinstance(claimed, JobsClaimed)
        (job,) = claimed.jobs
        acked = await self._propose(QueueAck(QUEUE, job.job, job.token, ()))
        assert isinstance(acked, BatchApplied)

    async def _propose(self, command: Command) -> Outcome:
        said = await self._peer.propose(envelope_bytes(command), timeout_ms=PROPOSE_TIMEOUT_MS)
        return decode_outcome(said.outcome)


async def main() -> None:
    given = json.loads(sys.argv[1])
    data_dir, peer_id, peers = Path(given["data_dir"]), given["peer_id"], given["peers"]
    peer = Peer(data_dir, peer_id, peers[peer_id], peers, lambda incarnation: open_own(data_dir))
    bench = Bench(peer)
    await peer.start()
    answer(started=True)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        answer(**await bench.obey(json.loads(line)))
    await peer.stop()


def run() -> None:
    set_switch_interval()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


if __name__ == "__main__":
    run()

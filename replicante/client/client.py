"""The asynchronous client: one object that speaks to a whole cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self, get_args

from replicante.client.actions import Actions
from replicante.client.call import Call, Reply
from replicante.client.calls import Calls, Observer
from replicante.client.clusters import Clusters, Platforms
from replicante.client.consumers import Consumers
from replicante.client.elections import Election
from replicante.client.encoding import (
    check_operations,
    encode_body,
    path_text,
    read_call,
    write_call,
)
from replicante.client.endpoints import Endpoints
from replicante.client.events import Events
from replicante.client.kv import Kv
from replicante.client.leases import Leases
from replicante.client.locks import Lock
from replicante.client.members import Members
from replicante.client.objects import Objects
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.queues import Queues
from replicante.client.transport import Transport
from replicante.client.worker import Observe, Worker
from replicante.clock import Clock, SystemClock
from replicante.entropy import Entropy, SystemEntropy
from replicante.wire import paths
from replicante.wire.batch import BatchAnswer, BatchBody, BatchOperation, RequestOutcome
from replicante.wire.status import RaftStatus, StatusAnswer
from replicante.wire.values import Json

DEFAULT_ENDPOINTS = (
    "http://127.0.0.1:16016",
    "http://127.0.0.1:16017",
    "http://127.0.0.1:16018",
)
"""Where `replicante dev` puts its peers."""


class Client:
    """Use as `async with Client(["http://127.0.0.1:16016", …]) as client:` on one event loop.

    Any peer serves any call; the client stays with one that answers and leaves one that does not.
    A write carries an Idempotency-Key, so it may be repeated and still happens once; it is
    repeated until its deadline, after which `OutcomeUnknown` says so. Reads of one client never go
    back in time, whichever peer answers.
    """

    def __init__(
        self,
        endpoints: Sequence[str] = DEFAULT_ENDPOINTS,
        *,
        observe: Observer | None = None,
        mints_keys: bool = True,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        """endpoints: tried in this order; shuffle them to spread many clients. observe: told about
        failed attempts and resumed streams. mints_keys: False leaves writes without a key of yours
        unrepeated once they were sent, and spares the peers to remember them.
        Raises `Invalid` for an endpoint that is none."""
        self._transport = Transport()
        self._calls = Calls(
            endpoints=Endpoints(endpoints),
            transport=self._transport,
            clock=clock or SystemClock(),
            entropy=entropy or SystemEntropy(),
            observe=observe or (lambda _: None),
            mints_keys=mints_keys,
        )
        self.kv = Kv(self._calls)
        self.objects = Objects(self._calls)
        self.clusters = Clusters(self._calls)
        self.platforms = Platforms(self._calls)
        self.nactions = Actions(self._calls, kind="naction")
        self.oactions = Actions(self._calls, kind="oaction")
        self.events = Events(self._calls)
        self.consumers = Consumers(self._calls)
        self.leases = Leases(self._calls)
        self.queues = Queues(self._calls)
        self.members = Members(self._calls)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """URLs of the peers that are asked, as given. Asks nobody and never raises."""
        return self._calls.endpoints.urls

    @property
    def seen_index(self) -> int:
        """Newest index that any answer showed. Asks nobody and never raises."""
        return self._calls.seen_index

    async def status(self, *, read: Read = LINEARIZABLE) -> StatusAnswer:
        """The short picture of one peer, as itself sees it now. Of `read` only the deadline and
        the endpoint count. Raises `Unreachable`."""
        return await self._calls.run_as(StatusAnswer, _local_call(paths.STATUS, read))

    async def raft_status(
        self, endpoint: str, *, has_digest_now: bool = False, timeout_ms: int = 2_000
    ) -> RaftStatus:
        """What one peer knows about its group, as itself sees it now. Raises `Unreachable`.

        has_digest_now: `digest` is of the state as it is; only while the state is small, else
        `Conflict`. Without it, `digest` is the newest of those that every peer computes at the same
        indexes, None before the first."""
        read = Read(endpoint=endpoint, timeout_ms=timeout_ms)
        call = _local_call(paths.RAFT_STATUS, read)
        if has_digest_now:
            call = replace(call, query=(("digest", "now"),))
        return await self._calls.run_as(RaftStatus, call)

    async def batch(
        self, operations: Sequence[BatchOperation], *, write: Write = DEFAULT_WRITE
    ) -> BatchAnswer:
        """Many operations in one log entry, in order, each on its own: one may be refused while
        others happen, as the items of the answer say. One key covers all. What an
        acknowledgement must not happen without goes with it (`queues.ack`), not beside it here.
        Raises as `kv.put`."""
        check_operations(operations, of=get_args(BatchOperation))
        body = encode_body(BatchBody(operations=tuple(operations)), path="operations")
        call = write_call("POST", paths.BATCH, body, headers={}, write=write)
        return await self._calls.write_as(BatchAnswer, call)

    def lock(
        self,
        name: str,
        *,
        duration_ms: int = 10_000,
        owner: Mapping[str, Json] | None = None,
        wait_ms: int | None = None,
    ) -> Lock:
        """`async with client.lock("name") as lock:` holds a lease while the block runs, renewed in
        the background; `lock.token` fences. The block is cancelled and `LeaseLost` raised when the
        lease must be counted lost: duration_ms − 5 % − 250 ms after the last renewal that succeeded
        was sent. wait_ms: None waits for ever, 0 not at all; then `LeaseHeld` is raised.

        Consistency and errors of entering as `Leases.acquire`."""
        return Lock(
            self.leases,
            self._calls.clock,
            name,
            duration_ms=duration_ms,
            owner=owner,
            wait_ms=wait_ms,
        )

    def worker(
        self,
        name: str,
        *,
        concurrency: int = 4,
        grace_ms: int = 10_000,
        observe: Observe | None = None,
    ) -> Worker:
        """Works on the jobs of queues: `@worker.handler("queue")`, then `await worker.run(stop)`.
        concurrency: jobs of one queue at a time. grace_ms: what running jobs get at the end.
        observe: told what became of each job. Asks nobody yet and never raises:
        see `Worker.run`."""
        return Worker(
            self,
            self._calls.clock,
            self._calls.entropy,
            name,
            concurrency=concurrency,
            grace_ms=grace_ms,
            observe=observe,
        )

    def election(self, name: str) -> Election:
        """A lease that one campaigner holds and everybody may watch. Asks nobody yet and never
        raises."""
        return Election(self._calls, self.leases, self.events, name)

    async def outcome(self, idempotency_key: str, *, read: Read = LINEARIZABLE) -> RequestOutcome:
        """What became of a write whose answer was lost. Raises `NotFound` when nothing is known
        under this key: it did not happen, did not happen yet, or long ago; and as `kv.get`."""
        path = path_text(paths.request_path, idempotency_key)
        return await self._calls.run_as(RequestOutcome, read_call(path, read))

    async def call(self, call: Call) -> Reply:
        """Any request, with the fail-over and the retries of all others; the answer as it came,
        with its headers. Raises as `kv.get` and `kv.put`."""
        return await self._calls.run(call)


def _local_call(path: str, read: Read) -> Call:
    return Call(
        method="GET",
        path=path,
        timeout_ms=read.timeout_ms,
        endpoint=read.endpoint,
        is_local=True,
    )

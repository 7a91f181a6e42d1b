"""The composition root: the one place that wires settings → storage → raft → workers → api.

Called by `cli` and by tests. Order of start: lock, log and state, peers, HTTP. Order of stop:
leadership goes first, then HTTP finishes what it began, then the peer makes its state durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import replicante
from replicante.agents.client import HttpAgents
from replicante.api.app import create_app
from replicante.api.http_server import HttpServer
from replicante.client_tls import ClientIdentity
from replicante.clock import SystemClock
from replicante.config import Address, PeerConfig, WorkersMode
from replicante.disk_room import NO_ROOM, no_room_to_start
from replicante.entropy import SystemEntropy
from replicante.errors import (
    AddressInUse,
    FatalError,
    ReplicanteError,
    StartRefused,
)
from replicante.peer_file import PeerFile, remove_peer_file, write_peer_file
from replicante.platforms.client import Platforms
from replicante.raft import Peer
from replicante.raft.state_machine import DurableStateMachine
from replicante.server_tls import open_tls, peer_options
from replicante.state.digest import row_hash
from replicante.state.machine import ReplicatedState
from replicante.storage.lmdb_store import LmdbStore, state_identity
from replicante.telemetry.diagnostics import Diagnostic
from replicante.telemetry.logs import Logs
from replicante.telemetry.loop_lag import watch_loop_lag
from replicante.telemetry.metrics import Metrics
from replicante.telemetry.raft_report import RaftReport
from replicante.workers.doors import Rooms
from replicante.workers.peer_view import PeerView
from replicante.workers.quarantines import Quarantines
from replicante.workers.supervisor import Workers

SWITCH_INTERVAL_S = 0.0005
"""The commit and flush threads give the loop its turn within half a millisecond instead of five."""
READY_CHECK_S = 0.1


def run_peer(config: PeerConfig) -> int:
    """Runs one peer until SIGTERM or SIGINT; 0 after a clean stop.

    Raises StartRefused and its kind when it will not start, FatalError when a promise cannot be
    kept.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logs = Logs(
        stream=sys.stderr,
        log_format=config.telemetry.log_format,
        level=config.telemetry.log_level,
        peer_id=config.peer.id,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config, logs))
    except ReplicanteError as error:
        kind = Diagnostic.FATAL if isinstance(error, FatalError) else Diagnostic.START_REFUSED
        if kind is Diagnostic.FATAL:
            logs.logger.critical(kind, error=error.message)
        else:
            logs.logger.error(kind, code=error.code, detail=error.message, hints=list(error.hints))
        raise
    finally:
        logs.close()
    return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (an extra): 13 to 15 % more writes."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


async def _serve(config: PeerConfig, logs: Logs) -> None:
    log = logs.logger
    log.info(
        Diagnostic.PEER_STARTING,
        version=replicante.__version__,
        data_dir=str(config.data_dir),
        raft_address=config.raft.listen,
        http_address=config.http.listen,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _check_free(config.http_listen)
    server = PeerServer(config, logs=logs)
    await server.start()
    try:
        await server.run_until(stop)
    finally:
        log.info(Diagnostic.PEER_STOPPING, reason="told to" if stop.is_set() else "an error")
        await server.stop()
        log.info(Diagnostic.PEER_STOPPED, reason="told to" if stop.is_set() else "an error")


@dataclass(slots=True)
class _Room:
    """The state machine and its store, once the peer has asked for them."""

    state: ReplicatedState | None = None
    store: LmdbStore | None = None


class PeerServer:
    """One peer with its API: start, run_until, stop."""

    def __init__(self, config: PeerConfig, *, logs: Logs) -> None:
        self.config = config
        self._log = logs.logger
        self._room = _Room()
        self._metrics = Metrics(peer_id=config.peer.id, version=replicante.__version__)
        self._metrics.log_dropped.set_function(lambda: logs.dropped_count)
        self.peer = Peer(
            config.data_dir,
            config.peer.id,
            config.raft.listen,
            {peer_id: str(address) for peer_id, address in config.voters.items()},
            self._open_state,
            options=peer_options(config, open_tls(config, metrics=self._metrics, log=self._log)),
        )
        self.peer.observe(RaftReport(metrics=self._metrics, log=self._log).observed)
        self._http: HttpServer | None = None
        self._agents = HttpAgents(_identity(config, whom="agent"))
        self._platforms = Platforms(_identity(config, whom="platform"))
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Raises StartRefused and its kind, InvalidConfig, FatalError."""
        self._agents.contexts.check()
        self._platforms.contexts.check()
        await self.peer.start()
        try:
            await self._start_http()
        except BaseException:
            await self.stop()
            raise

    async def run_until(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set; raises what ended the peer before."""
        closed = asyncio.create_task(self.peer.wait_closed())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({closed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():
                closed.result()
        finally:
            for task in (closed, stopped):
                task.cancel()
            await asyncio.gather(closed, stopped, return_exceptions=True)

    async def stop(self) -> None:
        await self.peer.hand_over()
        if self._http is not None:
            await self._http.stop()
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await self._agents.close()
        await self._platforms.close()
        await self.peer.stop()
        remove_peer_file(self.config.data_dir)

    @property
    def url(self) -> str:
        assert self._http is not None
        return self._http.url

    async def _start_http(self) -> None:
        state, store = self._room.state, self._room.store
        assert state is not None
        assert store is not None
        api = create_app(
            peer=self.peer,
            state=state,
            room=store,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            metrics=self._metrics,
            log=self._log,
        )
        listen = self.config.http_listen
        self._http = HttpServer(api, host=listen.host, port=listen.port)
        await self._http.start()
        self._write_peer_file(http=f"{listen.host}:{self._http.port}")
        self._watchers = [
            asyncio.create_task(watch_loop_lag(metrics=self._metrics, log=self._log)),
            asyncio.create_task(self._watch_readiness()),
            asyncio.create_task(self._tell_quarantines(state)),
        ]
        if self.config.workers.mode is WorkersMode.ON:
            self._watchers.append(asyncio.create_task(self._work(state)))

    async def _tell_quarantines(self, state: ReplicatedState) -> None:
        await Quarantines(peer=PeerView(self.peer), state=state, log=self._log).run()

    async def _work(self, state: ReplicatedState) -> None:
        """Discovery and orchestration, while this peer leads."""
        rooms = Rooms(
            peer=PeerView(self.peer),
            state=state,
            agents=self._agents,
            platforms=self._platforms,
            clock=SystemClock(),
            metrics=self._metrics,
            log=self._log,
        )
        await Workers(rooms).run()

    def _write_peer_file(self, *, http: str) -> None:
        """Raises DiskFull, StartRefused."""
        config = self.config
        note = PeerFile(id=config.peer.id, pid=os.getpid(), raft=config.raft.listen, http=http)
        try:
            write_peer_file(config.data_dir, note)
        except OSError as exc:
            if exc.errno in NO_ROOM:
                raise no_room_to_start(config.data_dir, exc) from exc
            raise StartRefused(
                f"The data directory {config.data_dir} cannot be used: {exc.strerror}.",
                hints=("Give a directory that this user may write.",),
            ) from exc

    def _open_state(self, incarnation: str) -> DurableStateMachine:
        store = LmdbStore.open(
            self.config.data_dir / "state",
            identity=state_identity(
                cluster=self.config.peer.cluster,
                peer_id=self.config.peer.id,
                incarnation=incarnation,
            ),
            map_bytes=self.config.storage.state_map_bytes,
            row_hash=row_hash,
        )
        try:
            self._room = _Room(ReplicatedState(store), store)
        except BaseException:
            store.close()
            raise
        assert self._room.state is not None
        return self._room.state

    async def _watch_readiness(self) -> None:
        was_ready = False
        while True:
            status = self.peer.status()
            if status.is_ready and not was_ready:
                self._log.info(
                    Diagnostic.PEER_READY,
                    url=self.url,
                    role=status.role.value,
                    leader=status.leader_id,
                    term=status.term,
                    applied_index=status.applied_index,
                )
            elif was_ready and not status.is_ready:
                reason = "no leader, or out of touch"
                if status.is_disk_full:
                    reason = "disk full"
                elif status.is_log_full:
                    reason = "the log has reached its bound"
                elif status.quarantine is not None:
                    reason = "quarantined: its state is not what a majority of the peers has"
                self._log.warning(Diagnostic.PEER_NOT_READY, reason=reason)
            was_ready = status.is_ready
            await asyncio.sleep(READY_CHECK_S)


def _identity(config: PeerConfig, *, whom: str) -> ClientIdentity:
    """What this peer shows to agents or to platforms."""
    certificate, key, authority = (
        getattr(config.workers, f"{whom}_tls_{part}_file") for part in ("certificate", "key", "ca")
    )
    return ClientIdentity(certificate=certificate, key=key, authority=authority)


def _check_free(address: Address) -> None:
    """Refuses before anything is opened when the HTTP port is taken. Raises AddressInUse."""
    with _try_bind(address) as is_free:
        if not is_free:
            raise AddressInUse(
                f"another process listens on {address}, where this peer's HTTP API would",
                hints=("choose another port with [http] listen, or stop that process",),
            )


@contextlib.contextmanager
def _try_bind(address: Address) -> Iterator[bool]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            yield error.errno != errno.EADDRINUSE  # other reasons are told by the server itself
        else:
            yield True

"""A stage with transports on loopback, and hand-made strangers that speak to them byte by byte.

Called by the transport tests. Conditions are awaited with a time limit, never slept for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from replicante import limits
from replicante.entropy import SystemEntropy
from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.pki import Contexts
from replicante.raft import frames
from replicante.raft.dialling import resolve_name
from replicante.raft.transport import (
    Channel,
    Hello,
    LinkObservation,
    LinkTimes,
    LinkUp,
    LocalIdentity,
    Refusal,
    Transport,
    TransportCallbacks,
    TransportSettings,
)

PATIENCE_S = 10


def identity(peer_id: str, **changes: object) -> LocalIdentity:
    plain = LocalIdentity(
        cluster_name="demo",
        cluster_id=ClusterId(""),
        generation=0,
        peer_id=PeerId(peer_id),
        incarnation=Incarnation(peer_id.encode().hex().ljust(32, "0")),
        raft_address="127.0.0.1:1",
        http_address="127.0.0.1:2",
    )
    return replace(plain, **changes)


@dataclass
class Station:
    """A transport and everything that it said."""

    stage: Stage
    local: LocalIdentity
    listen: str = "127.0.0.1:0"
    times: LinkTimes = field(default_factory=LinkTimes)
    tls: Contexts | None = None
    resolve: Callable = resolve_name
    judge: Callable[[Hello], Refusal | None] = lambda hello: None
    hear: Callable[[bytes], None] = lambda body: None
    """Called with each body, after it was recorded."""
    messages: list[tuple[str, str, Channel, bytes]] = field(default_factory=list)
    hellos: list[tuple[Hello, Refusal | None]] = field(default_factory=list)
    seen: list[LinkObservation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = Transport(
            TransportSettings(
                listen=self.listen,
                times=self.times,
                server_ssl=self.tls.server if self.tls else None,
                client_ssl=self.tls.client if self.tls else None,
            ),
            self.local,
            TransportCallbacks(
                judge=lambda hello, *, is_inbound: self.judge(hello),
                on_hello=self._on_hello,
                on_message=self._on_message,
                observe=self._observe,
            ),
            entropy=SystemEntropy(),
            resolve=self.resolve,
        )

    @property
    def peer_id(self) -> str:
        return self.local.peer_id

    @property
    def address(self) -> str:
        return self.transport.address

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, _, body in self.messages]

    def dial(self, *others: Station) -> None:
        self.transport.set_peers({other.peer_id: other.address for other in others})

    def reports(self, kind: type) -> list:
        return [report for report in self.seen if isinstance(report, kind)]

    def is_linked_to(self, peer_id: str) -> bool:
        return all(self.transport.is_connected(PeerId(peer_id), channel) for channel in Channel)

    def send(self, peer_id: str, body: bytes, channel: Channel = Channel.VITAL) -> bool:
        return self.transport.send(PeerId(peer_id), channel, body)

    def _on_hello(self, hello: Hello, refusal: Refusal | None) -> None:
        self.hellos.append((hello, refusal))
        self.stage.changed.set()

    def _on_message(self, peer_id: str, incarnation: str, channel: Channel, body: bytes) -> None:
        self.messages.append((peer_id, incarnation, channel, body))
        self.stage.changed.set()
        self.hear(body)

    def _observe(self, observation: LinkObservation) -> None:
        self.seen.append(observation)
        self.stage.changed.set()


class Stage:
    """Stops every station that was started on it."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._stations: list[Station] = []
        self._strangers: list[Stranger] = []
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for stranger in self._strangers:
            await stranger.close()
        for station in self._stations:
            await station.transport.stop()

    async def station(
        self, peer_id: str, *, local: LocalIdentity | None = None, **options: object
    ) -> Station:
        station = Station(stage=self, local=local or identity(peer_id), **options)
        await station.transport.start()
        self._stations.append(station)
        return station

    async def pair(self, **options: object) -> tuple[Station, Station]:
        """p1 and p2, linked both ways."""
        first = await self.station("p1", **options)
        second = await self.station("p2", **options)
        first.dial(second)
        second.dial(first)
        await self.until(lambda: first.is_linked_to("p2") and second.is_linked_to("p1"))
        # The acceptor's side of the last greeting may stand a moment later.
        await self.until(
            lambda: all(
                sum(report.is_inbound for report in station.reports(LinkUp)) == 2
                for station in (first, second)
            )
        )
        return first, second

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def stranger(self, station: Station) -> Stranger:
        """A plain connection to the station, which says nothing yet."""
        host, port = station.address.rsplit(":", 1)
        stranger = Stranger(*await asyncio.open_connection(host, int(port)))
        self._strangers.append(stranger)
        return stranger

    async def accept_by_hand(
        self, dialler: Station, local: LocalIdentity
    ) -> dict[Channel, Stranger]:
        """The ends of a peer that greets back on both channels, then does nothing by itself."""
        arrivals: asyncio.Queue[Stranger] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrivals.put_nowait(Stranger(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 12)
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()
        dialler.transport.set_peers({local.peer_id: f"{host}:{port}"})
        ends = {}
        for _ in Channel:
            async with asyncio.timeout(PATIENCE_S):
                stranger = await arrivals.get()
            self._strangers.append(stranger)
            hello = await stranger.read_greeting()
            await stranger.answer(local, hello.channel)
            ends[hello.channel] = stranger
        await self.until(lambda: dialler.is_linked_to(local.peer_id))
        return ends

    async def accept_silently(self, answer: bytes = b"") -> str:
        """The address of a server that says this to each connection, whatever it hears."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stranger = Stranger(reader, writer)
            self._strangers.append(stranger)
            await stranger.write(answer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()
        return f"{host}:{port}"

    def forget(self, station: Station) -> None:
        """It ended by itself: nothing is left to stop."""
        self._stations.remove(station)


class Stranger:
    """The other end of one connection, in the hands of the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = frames.FrameDecoder(limit_bytes=limits.FRAME_BYTES_MAX)
        self._bodies: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self._writer.drain()

    async def greet(self, local: LocalIdentity, channel: Channel = Channel.VITAL) -> Hello:
        """Greets as a peer would; the answer."""
        await self.answer(local, channel)
        answer = await self.read_greeting()
        assert isinstance(answer, Hello), answer
        return answer

    async def answer(self, local: LocalIdentity, channel: Channel) -> None:
        await self.write(frames.encode_frame(frames.encode_hello(greeting(local, channel))))

    async def read_greeting(self) -> Hello | Refusal:
        while not self._bodies:
            async with asyncio.timeout(PATIENCE_S):
                data = await self._reader.read(1 << 16)
            assert data, "closed without a word"
            self._bodies += self._decoder.feed(data)
        return frames.decode_greeting(self._bodies.pop(0))

    async def read_chunk(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(1 << 20)

    async def is_closed_without_a_word(self) -> bool:
        """Waits for the end of the connection."""
        try:
            return await self.read_chunk() == b""
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def one_turn() -> None:
    """Lets everything that is due on the loop happen."""
    await asyncio.sleep(0)


def greeting(local: LocalIdentity, channel: Channel, *, protocol_min: int = 1) -> Hello:
    return Hello(
        protocol_min=protocol_min,
        protocol_max=protocol_min,
        cluster_name=local.cluster_name,
        cluster_id=local.cluster_id,
        generation=local.generation,
        peer_id=local.peer_id,
        incarnation=local.incarnation,
        process="ff" * 16,
        channel=channel,
        raft_address=local.raft_address,
        http_address=local.http_address,
        birth=local.birth,
    )

"""Authorities and certificates for tests, also wrong and expired ones, and links that use them.
Not a test file."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from raft_stations import Stage, Station

from replicante import limits
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.pki import Contexts, PkiFolder, TlsFiles, contexts, files, issuing
from replicante.pki.facts import DAY_MS
from replicante.raft.transport import LinkUp

CLUSTER = "demo"


@dataclass
class ShiftedClock:
    """The clock of this machine, so many days away."""

    days: int = 0

    def monotonic_ms(self) -> int:
        return SystemClock().monotonic_ms()

    def wall_ms(self) -> int:
        return SystemClock().wall_ms() + self.days * DAY_MS


class Authority:
    """One authority and what it signs. `clock` may be moved."""

    def __init__(self, root: Path, *, cluster: str = CLUSTER, days: int = 0) -> None:
        self.root = root
        self.clock = ShiftedClock(days)
        self.folder = PkiFolder(root, clock=self.clock, entropy=SystemEntropy())
        self.folder.init(cluster, days=limits.AUTHORITY_DAYS_DEFAULT)

    def files(self, peer_id: str, *, days: int = 365) -> TlsFiles:
        """Of a peer, made when it has none."""
        place = self.root / "peers" / peer_id
        if not place.exists():
            self.folder.issue(peer_id, days=days)
        return TlsFiles(
            certificate=place / "peer.crt", key=place / "peer.key", authority=place / "ca.crt"
        )

    def contexts(self, peer_id: str, **options: int) -> Contexts:
        return opened(self.files(peer_id, **options))

    def foreign(self, peer_id: str, *, cluster: str) -> Contexts:
        """Signed by this authority, as if for a peer of another cluster."""
        own = self.root / "authority"
        signer = issuing.read_authority(
            certificate=files.read(own / "ca.crt"), key=files.read(own / "ca.key")
        )
        now_ms = self.clock.wall_ms()
        made = issuing.new_peer(
            replace(signer, cluster=cluster),
            peer_id,
            issuing.Validity(from_ms=now_ms - DAY_MS, until_ms=now_ms + DAY_MS),
            entropy=SystemEntropy(),
        )
        place = self.root / f"{cluster}-{peer_id}"
        content = {
            "peer.crt": files.Content(body=made.certificate),
            "peer.key": files.Content(body=made.key, is_secret=True),
        }
        files.write_folder(place, content)
        return opened(
            TlsFiles(
                certificate=place / "peer.crt",
                key=place / "peer.key",
                authority=own / "ca.crt",
            )
        )


def opened(tls: TlsFiles) -> Contexts:
    """As a peer that judges nothing would open them: the other end is to judge."""
    return contexts.unjudged_contexts(tls)


async def connect(
    station: Station, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = station.address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=host)


async def pair(stage: Stage, ours: Authority) -> tuple[Station, Station]:
    first = await stage.station("p1", tls=ours.contexts("p1"))
    second = await stage.station("p2", tls=ours.contexts("p2"))
    first.dial(second)
    second.dial(first)
    await stage.until(lambda: first.is_linked_to("p2") and second.is_linked_to("p1"))
    return first, second


async def refused(
    stage: Stage, *, dialler: Contexts | None, acceptor: Contexts | None
) -> tuple[Station, Station]:
    """p1 with the one dials p2 with the other: no link stands when both ends have told why."""
    first = await stage.station("p1", tls=dialler)
    second = await stage.station("p2", tls=acceptor)
    first.dial(second)
    await stage.until(lambda: first.seen and second.seen)
    assert not first.reports(LinkUp) and not second.reports(LinkUp)
    return first, second

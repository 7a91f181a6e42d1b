"""Settings of one peer of the Raft library. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from replicante import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """What a peer may be told besides who it is."""

    join: str = ""
    """Token with which an empty data directory becomes a learner; the peers then name members to
    ask, any of them. A directory that belongs to a cluster already does not need it."""
    authorities: tuple[str, ...] = ()
    """sha256 in hex of the public key of each certificate in the authority's file; a token that
    names none of them is refused."""
    advertise: str = ""
    """Address under which others reach this peer; empty: that on which it listens."""
    cluster_name: str = "default"
    http_address: str = ""
    """Told to other peers, for status pages."""
    heartbeat_ms: int = limits.HEARTBEAT_MS
    election_ms_min: int = limits.ELECTION_MS_MIN
    election_ms_max: int = limits.ELECTION_MS_MAX
    server_ssl: ssl.SSLContext | None = None
    client_ssl: ssl.SSLContext | None = None
    """Mutual TLS between peers, both or none; see `TransportSettings`."""
    log_map_bytes: int = limits.LOG_MAP_BYTES_DEFAULT
    log_reserve_bytes: int = limits.LOG_RESERVE_BYTES
    """Of the disk and of `log_map_bytes`, for terms, trims and installations; 0 for none."""
    log_kept_bytes: int = limits.LOG_KEPT_BYTES_DEFAULT
    """Entries that are kept for peers that were away, although the state has what they did."""
    snapshot_rate_bytes: int = limits.SNAPSHOT_RATE_BYTES_DEFAULT
    """Of a snapshot, sent to other peers in a second."""
    flush_interval_ms: int = limits.FLUSH_INTERVAL_MS

    def of(
        self, *, data_dir: Path, peer_id: str, listen: str, peers: Mapping[str, str]
    ) -> PeerSettings:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return PeerSettings(data_dir=data_dir, peer_id=peer_id, listen=listen, peers=peers, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings(PeerOptions):
    """All that one peer is told."""

    data_dir: Path
    """The log is kept in `data_dir/log`; one process at a time."""
    peer_id: str
    listen: str
    """`host:port` for other peers."""
    peers: Mapping[str, str]
    """First voters, peer id → address; this peer may be among them. Afterwards only their
    addresses count."""

    @property
    def address(self) -> str:
        return self.advertise or self.listen

    @property
    def expected(self) -> dict[str, str]:
        """Peer id → address, this peer included."""
        return dict(sorted({**self.peers, self.peer_id: self.address}.items()))

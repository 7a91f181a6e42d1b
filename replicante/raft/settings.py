"""Settings of one peer of the Raft library. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replicante import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    data_dir: Path
    """The log is kept in `data_dir/log`; one process at a time."""
    peer_id: str
    listen: str
    """`host:port` for other peers."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """First voters, peer id → address; this peer may be among them. Afterwards only their
    addresses count."""
    join: str = ""
    """Token with which an empty data directory becomes a learner; `peers` then names members to
    ask, any of them. A directory that belongs to a cluster already does not need it."""
    authority_digest: str = ""
    """sha256 of the certificate authority in hex; a token that names another one is refused."""
    advertise: str = ""
    """Address under which others reach this peer; empty: as `listen`."""
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
    flush_interval_ms: int = limits.FLUSH_INTERVAL_MS

    @property
    def address(self) -> str:
        return self.advertise or self.listen

    @property
    def expected(self) -> dict[str, str]:
        """Peer id → address, this peer included."""
        return dict(sorted({**self.peers, self.peer_id: self.address}.items()))

"""Settings of one peer, frozen, and the rules they must keep. Pure; `config_load` reads them.

Called by `config_load`, the command line and the composition root. Rule: `validate` reports every
problem at once, each with the setting, the value and the rule, so that nobody repairs a file line
by line. The docstring of a field is its reference text: unit, meaning of none, reason of the
default.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replicante import limits
from replicante.ids import PeerId

PORT_MAX = 65_535
PEER_ID_RULE = (
    "1 to 64 lower case letters, digits, '.', '_' or '-', "
    "the first and the last a letter or a digit"
)


class LogFormat(enum.Enum):
    CONSOLE = "console"
    JSON = "json"


class WorkersMode(enum.Enum):
    ON = "on"
    OFF = "off"


class LogLevel(enum.Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a port; a literal IPv6 host is written in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is certainly this machine. A name counts only when it is `localhost`:
        what another name resolves to may change while the peer runs."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_everywhere(self) -> bool:
        """Whether it stands for all addresses of a machine: fit to listen on, not to dial."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSection:
    """Who this peer is and where it keeps its data."""

    id: str = ""
    """Name of this peer in its cluster, as `p1`: lower case letters, digits, `.`, `_`, `-`; at
    most 64. Required: two peers with one name cannot run together, so no default is safe."""
    data_dir: Path | None = None
    """Directory that holds everything this peer promised to keep: log, state, identity. Made when
    it is missing. Required: data must never land in a place that nobody chose."""
    cluster: str = "default"
    """Name of the cluster, the same on all its peers; it never changes. The default serves whoever
    runs a single cluster; choose a name as soon as there are two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSection:
    """How peers reach each other, and how fast they notice that one is gone."""

    listen: str = "127.0.0.1:16116"
    """Address, `host:port`, on which this peer accepts other peers. Without TLS it must be a
    loopback address, and so must those of all peers."""
    advertise: str = ""
    """Address, `host:port`, under which the other peers reach this one. Empty means the same as
    `listen`, which is right unless a translation of addresses lies between."""
    peers: tuple[str, ...] = ()
    """The first voters, as `["p1=127.0.0.1:16116", "p2=127.0.0.1:16117"]`; this peer may be among
    them and is counted once. Empty means a cluster of one, which is right for development. Used
    until the cluster is born; later members are kept in the log."""
    join: str = ""
    """Token with which an empty data directory becomes a learner of a cluster that exists, made by
    `replicante raft token`; `raft.peers` then names members to ask. Not needed, and not read, once
    this peer is a member. Empty means that an empty directory waits for its cluster's birth."""
    election_ms_min: int = limits.ELECTION_MS_MIN
    """Shortest election timeout, in milliseconds: how long a silent leader is tolerated. The
    default is six heartbeats, so that a pause of a busy machine makes no election."""
    election_ms_max: int = limits.ELECTION_MS_MAX
    """Longest election timeout, in milliseconds. Each peer draws between the two, so that two
    candidates seldom meet; the default is twice the shortest."""
    heartbeat_ms: int = limits.HEARTBEAT_MS
    """Time between heartbeats of the leader, in milliseconds; less than a third of the shortest
    election timeout, so that two lost ones make no election."""
    snapshot_rate_bytes: int = limits.SNAPSHOT_RATE_BYTES_DEFAULT
    """What a leader sends of its state to peers that need all of it, in a second, in bytes or as
    `"32MiB"`. More brings a new peer in sooner, and takes more from all writes meanwhile."""
    tls_certificate_file: Path | None = None
    """PEM file with the certificate of this peer, which names `peer.id` and `peer.cluster`; made by
    `replicante pki`. With it come the two files below; none of them means plain TCP, which is for
    peers on one machine. Read once, at the start."""
    tls_key_file: Path | None = None
    """PEM file with the private key of that certificate; readable by the peer alone."""
    tls_ca_file: Path | None = None
    """PEM file with the authority that signs the certificates of all peers of this cluster."""

    @property
    def tls_files(self) -> tuple[Path, Path, Path] | None:
        """Certificate, key, authority; None unless all three are given."""
        if self.tls_certificate_file and self.tls_key_file and self.tls_ca_file:
            return self.tls_certificate_file, self.tls_key_file, self.tls_ca_file
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSection:
    """The API for people and programs."""

    listen: str = "127.0.0.1:16016"
    """Address, `host:port`, of the HTTP API; port 0 lets the system choose one, found in
    `peer.json`. Loopback only for now: an address that others can reach needs authentication."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSection:
    """Bounds of what is kept on disk."""

    state_map_bytes: int = limits.STATE_MAP_BYTES_DEFAULT
    """Largest size of the state on disk, in bytes or as `"64GiB"`. The file is sparse: it takes
    room only as it fills. The default is far above what one peer should hold."""
    log_map_bytes: int = limits.LOG_MAP_BYTES_DEFAULT
    """Largest size of the log on disk, in bytes or as `"64GiB"`; sparse as the state is."""
    log_reserve_bytes: int = limits.LOG_RESERVE_BYTES
    """Room on the disk, and within `log_map_bytes`, that is held back for the writes which must not
    fail: a new term, a trim of the log. 0 for none. A disk with less than twice of it left gets no
    reserve."""
    log_kept_bytes: int = limits.LOG_KEPT_BYTES_DEFAULT
    """Log entries that are kept although the state has what they did, in bytes or as `"64MiB"`.
    A peer that was away for less catches up from them, one that was away for longer gets a
    snapshot. They are read and verified at start: 64 MiB take about a second."""
    flush_interval_ms: int = limits.FLUSH_INTERVAL_MS
    """Time between flushes of the state to disk, in milliseconds. Nothing is lost by a longer one:
    the log is durable at once and replays the rest at start, which then takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSection:
    """Discovery and orchestration of data store clusters."""

    mode: WorkersMode = WorkersMode.ON
    """`on` or `off`: whether this peer works on clusters while it leads. How often is said by each
    platform and cluster. Where no peer works the control plane stores and answers, and looks at
    nothing; the default is therefore on."""
    agent_tls_certificate_file: Path | None = None
    """PEM file with the certificate that this peer shows to agents over https; with it comes the
    key below. Read anew when it changes. None shows nothing: such agents tell what they see and
    take no action. `replicante pki` makes one for each peer, which serves here too."""
    agent_tls_key_file: Path | None = None
    """PEM file with the private key of that certificate; without a password, readable by the peer
    alone."""
    agent_tls_ca_file: Path | None = None
    """PEM file with the authorities that sign the certificates of agents. None believes those of
    the system. A namespace with a bundle of its own believes that one alone."""
    platform_tls_certificate_file: Path | None = None
    """PEM file with the certificate that this peer shows to platforms over https; with it comes the
    key below. Read anew when it changes. None shows nothing: a platform that makes nodes for
    whoever asks should not be content with that."""
    platform_tls_key_file: Path | None = None
    """PEM file with the private key of that certificate; without a password, readable by the peer
    alone."""
    platform_tls_ca_file: Path | None = None
    """PEM file with the authorities that sign the certificates of platforms. None believes those of
    the system. A platform whose transport has a bundle of its own is believed by that one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySection:
    """What the peer tells about itself."""

    log_format: LogFormat = LogFormat.JSON
    """`json`, one object a line, for machines, or `console`, for people at a terminal."""
    log_level: LogLevel = LogLevel.INFO
    """Least severe level that is logged: `debug`, `info`, `warning` or `error`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Everything one peer needs to run. The addresses below are for a config that `validate` found
    to be right; on another one they raise `ValueError`."""

    peer: PeerSection = field(default_factory=PeerSection)
    raft: RaftSection = field(default_factory=RaftSection)
    http: HttpSection = field(default_factory=HttpSection)
    storage: StorageSection = field(default_factory=StorageSection)
    workers: WorkersSection = field(default_factory=WorkersSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)

    @property
    def data_dir(self) -> Path:
        if self.peer.data_dir is None:
            raise ValueError("peer.data_dir is required")
        return self.peer.data_dir

    @property
    def raft_listen(self) -> Address:
        return parse_address(self.raft.listen)

    @property
    def raft_advertise(self) -> Address:
        return parse_address(self.raft.advertise or self.raft.listen)

    @property
    def http_listen(self) -> Address:
        return parse_address(self.http.listen)

    @property
    def voters(self) -> Mapping[PeerId, Address]:
        """The first voters by id, in the order of ids, this peer always among them."""
        found = dict(parse_peer(entry) for entry in self.raft.peers)
        found[PeerId(self.peer.id)] = self.raft_advertise
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule: the setting (`raft.listen`), its value as text, the rule as a sentence, and
    where the value came from when that is known."""

    setting: str
    value: str
    rule: str
    origin: str = ""

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return f"{self.setting} = {self.value}{origin}: {self.rule}"


def parse_address(text: str, *, port_min: int = 0) -> Address:
    """`host:port` or `[ipv6]:port`. Raises `ValueError` with the rule as its message."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError('must be "host:port"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError("brackets are for a literal IPv6 address only")
    elif ":" in host:
        raise ValueError('a literal IPv6 address is written in brackets, as "[::1]:16016"')
    if not host or any(not character.isprintable() or character in " /@[]" for character in host):
        raise ValueError("must name a host")
    is_number = port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX))
    if not is_number or not port_min <= int(port) <= PORT_MAX:
        raise ValueError(f"the port must be a number from {port_min} to {PORT_MAX}")
    return Address(host=host.lower(), port=int(port))


def parse_peer(text: str) -> tuple[PeerId, Address]:
    """`id=host:port`. Raises `ValueError` with the rule as its message."""
    peer_id, equals, address = text.partition("=")
    if not equals:
        raise ValueError('each must be "id=host:port", as "p1=127.0.0.1:16116"')
    if not re.fullmatch(limits.PEER_ID_PATTERN, peer_id):
        raise ValueError(f"{peer_id!r} is no peer id ({PEER_ID_RULE})")
    return PeerId(peer_id), parse_address(address, port_min=1)

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

ELECTION_MS_LIMIT = 60_000
"""Above this a killed leader would be missed for a minute, which is never what was meant."""
MAP_BYTES_MIN = 64 * limits.MIB + limits.LOG_RESERVE_BYTES
FLUSH_INTERVAL_MS_MAX = 60_000
PORT_MAX = 65_535


class LogFormat(enum.Enum):
    CONSOLE = "console"
    JSON = "json"


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
    election_ms_min: int = limits.ELECTION_MS_MIN
    """Shortest election timeout, in milliseconds: how long a silent leader is tolerated. The
    default is six heartbeats, so that a pause of a busy machine makes no election."""
    election_ms_max: int = limits.ELECTION_MS_MAX
    """Longest election timeout, in milliseconds. Each peer draws between the two, so that two
    candidates seldom meet; the default is twice the shortest."""
    heartbeat_ms: int = limits.HEARTBEAT_MS
    """Time between heartbeats of the leader, in milliseconds; less than a third of the shortest
    election timeout, so that two lost ones make no election."""
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
    flush_interval_ms: int = limits.FLUSH_INTERVAL_MS
    """Time between flushes of the state to disk, in milliseconds. Nothing is lost by a longer one:
    the log is durable at once and replays the rest at start, which then takes longer."""


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


PEER_ID_RULE = (
    "1 to 64 lower case letters, digits, '.', '_' or '-', "
    "the first and the last a letter or a digit"
)
RAFT_LOOPBACK_RULE = (
    "must be a loopback address (127.0.0.1, ::1, localhost): peers on other machines need mutual "
    "TLS; make certificates with replicante pki and set raft.tls_certificate_file, "
    "raft.tls_key_file and raft.tls_ca_file"
)
NO_PLACE_RULE = (
    "is no address that other peers can dial: give the one of this machine in raft.advertise"
)
HTTP_LOOPBACK_RULE = (
    "must be a loopback address (127.0.0.1, ::1, localhost): an address that others can reach "
    "needs authentication, which this version does not offer yet"
)


def validate(config: PeerConfig) -> tuple[Problem, ...]:
    """Every broken rule, in the order of the settings; empty when the config may be used."""
    return (
        *_peer_problems(config.peer),
        *_raft_address_problems(config),
        *_raft_time_problems(config.raft),
        *_raft_tls_problems(config.raft),
        *_http_problems(config.http),
        *_storage_problems(config.storage),
    )


def _peer_problems(peer: PeerSection) -> list[Problem]:
    found = []
    if not peer.id:
        found.append(Problem(setting="peer.id", value='""', rule="is required"))
    elif not re.fullmatch(limits.PEER_ID_PATTERN, peer.id):
        rule = f"must be {PEER_ID_RULE}"
        found.append(Problem(setting="peer.id", value=repr(peer.id), rule=rule))
    if peer.data_dir is None:
        found.append(Problem(setting="peer.data_dir", value='""', rule="is required"))
    if not re.fullmatch(limits.NAME_PATTERN, peer.cluster):
        rule = (
            f"must be 1 to {limits.NAME_BYTES_MAX} letters, digits, '.', '_' or '-', "
            "the first and the last a letter or a digit"
        )
        found.append(Problem(setting="peer.cluster", value=repr(peer.cluster), rule=rule))
    return found


def _raft_address_problems(config: PeerConfig) -> list[Problem]:
    raft = config.raft
    rule = RAFT_LOOPBACK_RULE if raft.tls_files is None else ""
    found = _address_problems("raft.listen", raft.listen, port_min=1, rule=rule)
    if raft.advertise:
        found += _address_problems("raft.advertise", raft.advertise, port_min=1, rule=rule)
    own_address = None if found else config.raft_advertise
    if own_address is not None and own_address.is_everywhere:
        name, value = ("advertise", raft.advertise) if raft.advertise else ("listen", raft.listen)
        found.append(Problem(setting=f"raft.{name}", value=repr(value), rule=NO_PLACE_RULE))
    ids: dict[PeerId, Address] = {}
    for entry in raft.peers:
        try:
            peer_id, address = parse_peer(entry)
        except ValueError as exc:
            found.append(Problem(setting="raft.peers", value=repr(entry), rule=str(exc)))
            continue
        rule = _peer_entry_rule(config, own_address, ids=ids, peer_id=peer_id, address=address)
        if rule:
            found.append(Problem(setting="raft.peers", value=repr(entry), rule=rule))
        ids[peer_id] = address
    voters_count = len(ids.keys() | {PeerId(config.peer.id)})
    if voters_count > limits.PEERS_MAX:
        rule = f"a cluster has at most {limits.PEERS_MAX} peers"
        found.append(Problem(setting="raft.peers", value=f"{voters_count} peers", rule=rule))
    return found


def _peer_entry_rule(
    config: PeerConfig,
    own_address: Address | None,
    *,
    ids: Mapping[PeerId, Address],
    peer_id: PeerId,
    address: Address,
) -> str:
    """The rule that an entry of `raft.peers` breaks, or an empty text."""
    if peer_id in ids:
        return f"names the peer {peer_id} twice"
    if address in ids.values():
        return "two peers cannot have one address"
    if not address.is_loopback and config.raft.tls_files is None:
        return RAFT_LOOPBACK_RULE
    if address.is_everywhere:
        return "is no address that other peers can dial"
    own_id = config.peer.id
    if own_address is None:
        return ""
    if peer_id == own_id and address != own_address:
        return f"is this peer, whose own address is {own_address} (raft.advertise or raft.listen)"
    if peer_id != own_id and address == own_address:
        return f"is the address of this peer, {own_id or 'which has no peer.id yet'}"
    return ""


def _raft_time_problems(raft: RaftSection) -> list[Problem]:
    found = []
    if raft.heartbeat_ms < 1:
        rule = "must be at least 1 millisecond"
        found.append(Problem(setting="raft.heartbeat_ms", value=str(raft.heartbeat_ms), rule=rule))
    if raft.election_ms_min <= 3 * raft.heartbeat_ms:
        rule = f"must be more than three heartbeats (raft.heartbeat_ms = {raft.heartbeat_ms})"
        value = str(raft.election_ms_min)
        found.append(Problem(setting="raft.election_ms_min", value=value, rule=rule))
    if not raft.election_ms_min < raft.election_ms_max <= ELECTION_MS_LIMIT:
        rule = (
            f"must be more than raft.election_ms_min ({raft.election_ms_min}) "
            f"and at most {ELECTION_MS_LIMIT}"
        )
        value = str(raft.election_ms_max)
        found.append(Problem(setting="raft.election_ms_max", value=value, rule=rule))
    return found


def _raft_tls_problems(raft: RaftSection) -> list[Problem]:
    """What the files hold is judged where they are read, by `config_load`."""
    names = ("tls_certificate_file", "tls_key_file", "tls_ca_file")
    missing = [name for name in names if getattr(raft, name) is None]
    if len(missing) in (0, len(names)):
        return []
    rule = "is required: TLS needs all three, certificate, key and ca; plain TCP none of them"
    return [Problem(setting=f"raft.{name}", value='""', rule=rule) for name in missing]


def _http_problems(http: HttpSection) -> list[Problem]:
    return _address_problems("http.listen", http.listen, port_min=0, rule=HTTP_LOOPBACK_RULE)


def _storage_problems(storage: StorageSection) -> list[Problem]:
    found = []
    for name in ("state_map_bytes", "log_map_bytes"):
        value = getattr(storage, name)
        if not MAP_BYTES_MIN <= value <= limits.INTEGER_MAX:
            rule = f"must be at least {MAP_BYTES_MIN} bytes"
            found.append(Problem(setting=f"storage.{name}", value=str(value), rule=rule))
    if not 1 <= storage.flush_interval_ms <= FLUSH_INTERVAL_MS_MAX:
        rule = f"must be from 1 to {FLUSH_INTERVAL_MS_MAX} milliseconds"
        value = str(storage.flush_interval_ms)
        found.append(Problem(setting="storage.flush_interval_ms", value=value, rule=rule))
    return found


def _address_problems(setting: str, text: str, *, port_min: int, rule: str) -> list[Problem]:
    """rule: the one that an address breaks which others can reach; empty when they may."""
    try:
        address = parse_address(text, port_min=port_min)
    except ValueError as exc:
        return [Problem(setting=setting, value=repr(text), rule=str(exc))]
    if address.is_loopback or not rule:
        return []
    return [Problem(setting=setting, value=repr(text), rule=rule)]

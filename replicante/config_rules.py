"""What the settings of a peer must keep to, each rule a sentence. Pure; called by config_load."""

from __future__ import annotations

import re
from collections.abc import Mapping

from replicante import limits
from replicante.config import (
    PEER_ID_RULE,
    Address,
    HttpSection,
    PeerConfig,
    PeerSection,
    Problem,
    RaftSection,
    StorageSection,
    WorkersSection,
    parse_address,
    parse_peer,
)
from replicante.ids import PeerId

ELECTION_MS_LIMIT = 60_000
"""Above this a killed leader would be missed for a minute, which is never what was meant."""
MAP_BYTES_MIN = 64 * limits.MIB + limits.LOG_RESERVE_BYTES
FLUSH_INTERVAL_MS_MAX = 60_000
LOG_KEPT_BYTES_MIN = 64 * limits.KIB
"""Less would send snapshots to peers that are only a moment behind."""
SNAPSHOT_RATE_BYTES_MIN = limits.MIB
"""With less a large state would be older than the log when it arrives, again and again."""
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
        *_raft_rate_problems(config.raft),
        *_raft_tls_problems(config.raft),
        *_client_tls_problems(config.workers, whom="agent"),
        *_client_tls_problems(config.workers, whom="platform"),
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


def _raft_rate_problems(raft: RaftSection) -> list[Problem]:
    rate_bytes = raft.snapshot_rate_bytes
    if SNAPSHOT_RATE_BYTES_MIN <= rate_bytes <= limits.INTEGER_MAX:
        return []
    rule = f"must be at least {SNAPSHOT_RATE_BYTES_MIN} bytes"
    return [Problem(setting="raft.snapshot_rate_bytes", value=str(rate_bytes), rule=rule)]


def _raft_tls_problems(raft: RaftSection) -> list[Problem]:
    """What the files hold is judged where they are read, by `config_load`."""
    names = ("tls_certificate_file", "tls_key_file", "tls_ca_file")
    missing = [name for name in names if getattr(raft, name) is None]
    if len(missing) in (0, len(names)):
        return []
    rule = "is required: TLS needs all three, certificate, key and ca; plain TCP none of them"
    return [Problem(setting=f"raft.{name}", value='""', rule=rule) for name in missing]


def _client_tls_problems(workers: WorkersSection, *, whom: str) -> list[Problem]:
    """As above: the files themselves are judged by `config_load`."""
    names = (f"{whom}_tls_certificate_file", f"{whom}_tls_key_file")
    missing = [name for name in names if getattr(workers, name) is None]
    if len(missing) != 1:
        return []
    rule = "is required: certificate and key come together"
    return [Problem(setting=f"workers.{missing[0]}", value='""', rule=rule)]


def _http_problems(http: HttpSection) -> list[Problem]:
    return _address_problems("http.listen", http.listen, port_min=0, rule=HTTP_LOOPBACK_RULE)


def _storage_problems(storage: StorageSection) -> list[Problem]:
    found = []
    for name in ("state_map_bytes", "log_map_bytes"):
        value = getattr(storage, name)
        if not MAP_BYTES_MIN <= value <= limits.INTEGER_MAX:
            rule = f"must be at least {MAP_BYTES_MIN} bytes"
            found.append(Problem(setting=f"storage.{name}", value=str(value), rule=rule))
    if not LOG_KEPT_BYTES_MIN <= storage.log_kept_bytes <= storage.log_map_bytes // 2:
        rule = f"must be from {LOG_KEPT_BYTES_MIN} bytes to half of storage.log_map_bytes"
        value = str(storage.log_kept_bytes)
        found.append(Problem(setting="storage.log_kept_bytes", value=value, rule=rule))
    if not 0 <= storage.log_reserve_bytes <= storage.log_map_bytes // 2:
        rule = "must be from 0 to half of storage.log_map_bytes"
        value = str(storage.log_reserve_bytes)
        found.append(Problem(setting="storage.log_reserve_bytes", value=value, rule=rule))
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

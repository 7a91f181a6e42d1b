"""What the settings of a peer mean for its Raft library: options, TLS contexts. Reads files.

Called by server, once, before anything is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicante.clock import SystemClock
from replicante.config import PeerConfig
from replicante.raft import PeerOptions
from replicante.telemetry.diagnostics import Diagnostic
from replicante.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from replicante import pki


def open_tls(config: PeerConfig, *, metrics: Metrics, log: Any) -> pki.Contexts | None:
    """None for plain TCP. Says what will be wrong soon. Raises InvalidConfig for files that cannot
    be used."""
    if config.raft.tls_files is None:
        return None
    from replicante import pki  # `cryptography` is large: only who uses it pays for it

    certificate, key, authority = config.raft.tls_files
    now_ms = SystemClock().wall_ms()
    tls = pki.open_contexts(
        pki.TlsFiles(certificate=certificate, key=key, authority=authority),
        cluster=config.peer.cluster,
        peer_id=config.peer.id,
        now_ms=now_ms,
    )
    metrics.certificate_end.set(tls.facts.until_ms / 1_000)
    if tls.facts.is_short(now_ms=now_ms):
        log.warning(
            Diagnostic.CERTIFICATE_ENDS,
            file=str(certificate),
            until=tls.facts.until_text,
            days_left=tls.facts.left_days(now_ms=now_ms),
        )
    if not tls.is_key_private:
        detail = f"other users of this machine may read {key}: chmod 600 it"
        log.warning(Diagnostic.SETTING_RISKY, setting="raft.tls_key_file", detail=detail)
    return tls


def peer_options(config: PeerConfig, tls: pki.Contexts | None) -> PeerOptions:
    http = config.http_listen
    return PeerOptions(
        cluster_name=config.peer.cluster,
        advertise=config.raft.advertise,
        join=config.raft.join,
        authorities=_authorities(config),
        http_address=str(http) if http.port else "",
        heartbeat_ms=config.raft.heartbeat_ms,
        election_ms_min=config.raft.election_ms_min,
        election_ms_max=config.raft.election_ms_max,
        log_map_bytes=config.storage.log_map_bytes,
        log_reserve_bytes=config.storage.log_reserve_bytes,
        log_kept_bytes=config.storage.log_kept_bytes,
        snapshot_rate_bytes=config.raft.snapshot_rate_bytes,
        flush_interval_ms=config.storage.flush_interval_ms,
        server_ssl=tls.server if tls else None,
        client_ssl=tls.client if tls else None,
    )


def _authorities(config: PeerConfig) -> tuple[str, ...]:
    """Which authorities a join token names; none for plain TCP. The file was read before."""
    files = config.raft.tls_files
    if files is None:
        return ()
    from replicante import pki

    return pki.key_digests(files[2].read_bytes())

"""The Platform: who knows which clusters and nodes exist, and makes and removes nodes. Pure.

Called by `model.objects` and `platforms`. Fields and defaults are the original's; of the transport
both names are read that it used, `url` and `http`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from replicante.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN
from replicante.model.codec import Path, Value
from replicante.model.violations import Violations
from replicante.wire.durations import format_duration_ms

DISCOVERY_INTERVAL_MS_DEFAULT = 300_000


class TransportKind(enum.StrEnum):
    URL = "url"
    """A server that speaks the platform protocol over HTTP."""
    STATIC = "static"
    """The clusters stand in the object itself."""
    FILE = "file"
    """The clusters stand in a file of each peer, read again at every discovery."""
    LOCAL = "local"
    """Processes on this machine, made from templates."""


_FIELDS = {
    TransportKind.URL: ("base_url", "tls_ca_bundle", "tls_insecure_skip_verify"),
    TransportKind.STATIC: ("clusters",),
    TransportKind.FILE: ("path",),
    TransportKind.LOCAL: ("directory",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    kind: TransportKind
    base_url: str | None = None
    """With its scheme; URL only."""
    tls_ca_bundle: str | None = None
    """PEM bundle or path of one; None: the system's. URL only."""
    is_tls_unverified: bool = False
    """URL only. True where the platform's certificate is not to be checked."""
    clusters: Value = None
    """In the shape of an answer to `/discover`; STATIC only. Judged as any platform's answer."""
    path: str | None = None
    """FILE: the file, of a peer. LOCAL: the folder that holds the data of nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a spec says, with every default filled in."""

    ns_id: str
    name: str
    is_active: bool = True
    discovery_interval_ms: int = DISCOVERY_INTERVAL_MS_DEFAULT
    transport: Transport

    def to_spec(self) -> dict[str, Value]:
        return {
            "ns_id": self.ns_id,
            "name": self.name,
            "active": self.is_active,
            "discovery": {"interval": format_duration_ms(self.discovery_interval_ms)},
            "transport": {str(self.transport.kind): _transport_spec(self.transport)},
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Value]) -> Platform:
        """The platform of a spec that `to_spec` made."""
        violations = Violations()
        platform = read_platform(spec, metadata_name=None, violations=violations)
        violations.raise_if_any()
        return platform


def read_platform(
    spec: Mapping[str, Value], *, metadata_name: str | None, violations: Violations
) -> Platform:
    """The platform that a user's spec declares; its faults go to `violations`."""
    path: Path = ("spec",)
    violations.mapping(spec, path, fields=("ns_id", "name", "active", "discovery", "transport"))
    discovery = violations.mapping(
        spec.get("discovery", {}), (*path, "discovery"), fields=("interval",)
    )
    interval_path = (*path, "discovery", "interval")
    interval_ms = violations.duration_ms(
        discovery.get("interval", format_duration_ms(DISCOVERY_INTERVAL_MS_DEFAULT)),
        interval_path,
        default_ms=DISCOVERY_INTERVAL_MS_DEFAULT,
        unit_ms=1_000,
        highest_ms=INTERVAL_MS_MAX,
    )
    if interval_ms < INTERVAL_MS_MIN:
        violations.add(interval_path, f"must be at least {format_duration_ms(INTERVAL_MS_MIN)}")
    return Platform(
        ns_id=violations.name(spec.get("ns_id", "default"), (*path, "ns_id")),
        name=violations.name(spec.get("name", metadata_name), (*path, "name")),
        is_active=violations.boolean(spec.get("active", True), (*path, "active"), default=True),
        discovery_interval_ms=interval_ms,
        transport=_read_transport(spec.get("transport"), (*path, "transport"), violations),
    )


def _read_transport(value: Value, path: Path, violations: Violations) -> Transport:
    known = (*(str(kind) for kind in TransportKind), "http")
    fault = Transport(kind=TransportKind.STATIC)
    given = violations.mapping(value, path, fields=known)
    names = [name for name in given if name in known]
    if len(names) != 1:
        if isinstance(value, dict):
            violations.add(path, f"must hold exactly one of {', '.join(known)}")
        return fault
    kind = TransportKind("url" if names[0] == "http" else names[0])
    path = (*path, names[0])
    fields = violations.mapping(given[names[0]], path, fields=_FIELDS[kind])
    match kind:
        case TransportKind.URL:
            return _read_url(fields, path, violations)
        case TransportKind.STATIC:
            return Transport(kind=kind, clusters=fields.get("clusters", []))
        case TransportKind.FILE:
            return Transport(kind=kind, path=violations.text(fields.get("path"), (*path, "path")))
        case TransportKind.LOCAL:
            return Transport(
                kind=kind, path=violations.text(fields.get("directory"), (*path, "directory"))
            )


def _read_url(fields: Mapping[str, Value], path: Path, violations: Violations) -> Transport:
    base_url = violations.text(fields.get("base_url"), (*path, "base_url"))
    if base_url and not base_url.startswith(("http://", "https://")):
        violations.add((*path, "base_url"), "must begin with http:// or https://")
    return Transport(
        kind=TransportKind.URL,
        base_url=base_url,
        tls_ca_bundle=violations.text_or_none(
            fields.get("tls_ca_bundle"), (*path, "tls_ca_bundle")
        ),
        is_tls_unverified=violations.boolean(
            fields.get("tls_insecure_skip_verify", False),
            (*path, "tls_insecure_skip_verify"),
            default=False,
        ),
    )


def _transport_spec(transport: Transport) -> dict[str, Value]:
    match transport.kind:
        case TransportKind.URL:
            return {
                "base_url": transport.base_url,
                "tls_ca_bundle": transport.tls_ca_bundle,
                "tls_insecure_skip_verify": transport.is_tls_unverified,
            }
        case TransportKind.STATIC:
            return {"clusters": transport.clusters}
        case TransportKind.FILE:
            return {"path": transport.path}
        case TransportKind.LOCAL:
            return {"directory": transport.path}

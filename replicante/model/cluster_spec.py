"""The ClusterSpec: what people declare of one cluster, and how far automation may go. Pure.

Called by `model.objects` and `orchestrate`. A new cluster is in observe mode (design R11): it is
discovered, watched and explained, and nothing is done to it until somebody says so by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN
from replicante.model.cluster_declaration import Declaration, read_declared
from replicante.model.codec import Path, Value
from replicante.model.modes import ModeSetting, read_mode
from replicante.model.violations import Violations
from replicante.wire.durations import format_duration_ms

INTERVAL_MS_DEFAULT = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What a spec says, with every default filled in."""

    ns_id: str
    cluster_id: str
    is_active: bool = True
    """False: not orchestrated at all, on request neither."""
    interval_ms: int = INTERVAL_MS_DEFAULT
    """Wanted time between two cycles."""
    platform_ns_id: str | None = None
    platform_name: str | None = None
    """Who makes and removes its nodes; required by a definition."""
    mode: ModeSetting = field(default_factory=ModeSetting)
    declaration: Declaration = field(default_factory=Declaration)

    def to_spec(self) -> dict[str, Value]:
        platform: Value = None
        if self.platform_name is not None:
            platform = {"ns_id": self.platform_ns_id, "name": self.platform_name}
        return {
            "ns_id": self.ns_id,
            "cluster_id": self.cluster_id,
            "active": self.is_active,
            "interval": format_duration_ms(self.interval_ms),
            "platform": platform,
            "mode": self.mode.to_spec(),
            "declaration": self.declaration.to_spec(),
        }

    @property
    def is_platform_elsewhere(self) -> bool:
        """Its platform lives in another namespace: what that one discovers is filed there."""
        return bool(self.platform_ns_id) and self.platform_ns_id != self.ns_id

    @classmethod
    def from_spec(cls, spec: Mapping[str, Value]) -> ClusterSpec:
        """The cluster of a spec that `to_spec` made, also before a platform elsewhere was
        refused."""
        violations = Violations()
        cluster = _read(spec, metadata_name=None, violations=violations)
        violations.raise_if_any()
        return cluster


def read_cluster_spec(
    spec: Mapping[str, Value], *, metadata_name: str | None, violations: Violations
) -> ClusterSpec:
    """The cluster that a user's spec declares; its faults go to `violations`."""
    cluster = _read(spec, metadata_name=metadata_name, violations=violations)
    if cluster.ns_id and cluster.is_platform_elsewhere:
        violations.add(
            ("spec", "platform", "ns_id"),
            f"must be {cluster.ns_id}, the cluster's own: a platform's nodes are of its namespace",
        )
    return cluster


def _read(
    spec: Mapping[str, Value], *, metadata_name: str | None, violations: Violations
) -> ClusterSpec:
    path: Path = ("spec",)
    violations.mapping(
        spec,
        path,
        fields=("ns_id", "cluster_id", "active", "interval", "platform", "mode", "declaration"),
    )
    ns_id = violations.name(spec.get("ns_id", "default"), (*path, "ns_id"))
    cluster_id = violations.name(spec.get("cluster_id", metadata_name), (*path, "cluster_id"))
    if metadata_name and cluster_id and metadata_name != cluster_id:
        violations.add(("metadata", "name"), "differs from spec.cluster_id")
    platform_ns_id, platform_name = _read_platform_ref(spec, ns_id, violations)
    declaration = read_declared(
        spec.get("declaration", {}),
        (*path, "declaration"),
        cluster_id=cluster_id,
        violations=violations,
    )
    if declaration.definition is not None and spec.get("platform") is None:
        violations.add((*path, "platform"), "required by declaration.definition")
    return ClusterSpec(
        ns_id=ns_id,
        cluster_id=cluster_id,
        is_active=violations.boolean(spec.get("active", True), (*path, "active"), default=False),
        interval_ms=_read_interval(spec, violations),
        platform_ns_id=platform_ns_id,
        platform_name=platform_name,
        mode=_mode(spec.get("mode"), (*path, "mode"), violations),
        declaration=declaration,
    )


def _read_interval(spec: Mapping[str, Value], violations: Violations) -> int:
    path = ("spec", "interval")
    interval_ms = violations.duration_ms(
        spec.get("interval", format_duration_ms(INTERVAL_MS_DEFAULT)),
        path,
        default_ms=INTERVAL_MS_DEFAULT,
        unit_ms=1_000,
        highest_ms=INTERVAL_MS_MAX,
    )
    if interval_ms < INTERVAL_MS_MIN:
        violations.add(path, f"must be at least {format_duration_ms(INTERVAL_MS_MIN)}")
    return interval_ms


def _read_platform_ref(
    spec: Mapping[str, Value], ns_id: str, violations: Violations
) -> tuple[str | None, str | None]:
    value, path = spec.get("platform"), ("spec", "platform")
    if value is None:
        return None, None
    fields = violations.mapping(value, path, fields=("ns_id", "name"))
    owner = fields.get("ns_id")
    return (
        ns_id if owner is None else violations.name(owner, (*path, "ns_id")),
        violations.name(fields.get("name"), (*path, "name")),
    )


def _mode(value: Value, path: Path, violations: Violations) -> ModeSetting:
    return ModeSetting() if value is None else read_mode(value, path, violations)

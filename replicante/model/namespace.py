"""The Namespace: the scope that platforms, clusters and their records live in. Pure.

Called by `model.objects`. Fields, defaults and the meaning of each status are those of the
original; its spec names the namespace in `id`, ours takes `metadata.name` as well.

A new namespace is `Active` unless told otherwise, as in the original: a namespace by itself acts on
nothing. What keeps a new installation from acting is the cluster, which starts in observe mode.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from replicante.model.codec import Path, Value
from replicante.model.modes import ModeSetting, read_mode
from replicante.model.violations import Violations, describe

SCHEDULE_ATTEMPTS_DEFAULT = 5
SCHEDULE_ATTEMPTS_MAX = 65_535
"""The original keeps it in 16 bits."""


class NamespaceStatus(enum.StrEnum):
    """What may be done in the namespace. Stored: a text is never reused."""

    ACTIVE = "Active"
    """Clusters are discovered and orchestrated."""
    INACTIVE = "Inactive"
    """Orchestration is refused."""
    OBSERVED = "Observed"
    """Clusters are discovered and watched; nothing is changed."""
    DELETING = "Deleting"
    """Its end was asked for; something still holds it."""
    DELETED = "Deleted"
    """It is gone: seen in events only."""


DECLARABLE = (NamespaceStatus.ACTIVE, NamespaceStatus.INACTIVE, NamespaceStatus.OBSERVED)
"""What a user may ask for; the others belong to the life cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The declared part: what a spec says, with every default filled in."""

    name: str
    ca_bundle: str | None = None
    """PEM bundle, or path of one, against which agents of this namespace are verified; None:
    the system's."""
    max_naction_schedule_attempts: int = SCHEDULE_ATTEMPTS_DEFAULT
    """Failures tolerated when handing one node action to its agent."""
    status: NamespaceStatus = NamespaceStatus.ACTIVE
    mode: ModeSetting | None = None
    """For all its clusters: the stricter of this and their own is in force. None withholds
    nothing."""

    def to_spec(self) -> dict[str, Value]:
        return {
            "id": self.name,
            "settings": {
                "orchestrate": {"max_naction_schedule_attempts": self.max_naction_schedule_attempts}
            },
            "status": str(self.status),
            "mode": None if self.mode is None else self.mode.to_spec(),
            "tls": {"ca_bundle": self.ca_bundle},
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Value]) -> Namespace:
        """The namespace of a spec that `to_spec` made."""
        return cls(
            name=spec["id"],
            ca_bundle=spec["tls"]["ca_bundle"],
            max_naction_schedule_attempts=spec["settings"]["orchestrate"][
                "max_naction_schedule_attempts"
            ],
            status=NamespaceStatus(spec["status"]),
            # Absent where it was stored before there were modes of namespaces.
            mode=_mode(spec.get("mode"), Violations()),
        )


def read_namespace(
    spec: Mapping[str, Value], *, metadata_name: str | None, violations: Violations
) -> Namespace:
    """The namespace that a user's spec declares; its faults go to `violations`.

    metadata_name: the name in the metadata, None when there is none: `spec.id` says it then.
    """
    path: Path = ("spec",)
    violations.mapping(spec, path, fields=("id", "mode", "settings", "status", "tls"))
    settings = violations.mapping(
        spec.get("settings", {}), (*path, "settings"), fields=("orchestrate",)
    )
    orchestrate_path = (*path, "settings", "orchestrate")
    orchestrate = violations.mapping(
        settings.get("orchestrate", {}), orchestrate_path, fields=("max_naction_schedule_attempts",)
    )
    attempts = violations.integer(
        orchestrate.get("max_naction_schedule_attempts", SCHEDULE_ATTEMPTS_DEFAULT),
        (*orchestrate_path, "max_naction_schedule_attempts"),
        lowest=0,
        highest=SCHEDULE_ATTEMPTS_MAX,
    )
    tls = violations.mapping(spec.get("tls", {}), (*path, "tls"), fields=("ca_bundle",))
    return Namespace(
        name=_read_name(spec, metadata_name, violations),
        ca_bundle=violations.text_or_none(tls.get("ca_bundle"), (*path, "tls", "ca_bundle")),
        max_naction_schedule_attempts=attempts,
        status=_read_status(spec.get("status", str(NamespaceStatus.ACTIVE)), violations),
        mode=_mode(spec.get("mode"), violations),
    )


def _read_name(spec: Mapping[str, Value], metadata_name: str | None, violations: Violations) -> str:
    if "id" not in spec:
        if metadata_name is None:
            violations.add(("spec", "id"), "required, unless metadata.name is given")
        return metadata_name or ""
    name = violations.name(spec["id"], ("spec", "id"))
    if metadata_name and name and metadata_name != name:
        violations.add(("metadata", "name"), "differs from spec.id")
    return name


def _read_status(value: Value, violations: Violations) -> NamespaceStatus:
    path: Path = ("spec", "status")
    if not isinstance(value, str):
        violations.add(path, f"must be text, not {describe(value)}")
    elif value in (NamespaceStatus.DELETING, NamespaceStatus.DELETED):
        violations.add(path, f"{value} is set by deletion, never by a declaration")
    elif value not in tuple(DECLARABLE):
        violations.add(path, f"must be one of {', '.join(DECLARABLE)}")
    else:
        return NamespaceStatus(value)
    return NamespaceStatus.ACTIVE


def _mode(value: Value, violations: Violations) -> ModeSetting | None:
    return None if value is None else read_mode(value, ("spec", "mode"), violations)

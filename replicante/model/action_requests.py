"""What a user's NAction or OAction document asks for. Pure.

Called by `api`. Unlike a declaration an action is asked for once: it is created, it runs its
course, and nothing replaces it. The fields are the original's; `action` is the kind of the action.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from replicante.limits import ACTION_METADATA_ITEMS_MAX, NAME_PATTERN, OACTION_TIMEOUT_MS_MAX
from replicante.model.cluster_declaration import Approval
from replicante.model.codec import Path, Value
from replicante.model.violations import Violations, describe

_ACTION_KIND = re.compile(f"{NAME_PATTERN}/{NAME_PATTERN}")
_ACTION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NODE_FIELDS = ("ns_id", "cluster_id", "node_id", "action_id", "action", "args", "approval")
_CLUSTER_FIELDS = ("ns_id", "cluster_id", "action_id", "action", "args", "approval", "timeout")


class ActionOn(enum.IntEnum):
    """What an action is carried out on. Stored in commands: a number is never reused."""

    NODE = 1
    """By the agent of one node: an NAction."""
    CLUSTER = 2
    """By the orchestrator: an OAction."""

    @property
    def title(self) -> str:
        """As documents spell it."""
        return "NAction" if self is ActionOn.NODE else "OAction"

    @classmethod
    def named(cls, text: Value) -> ActionOn | None:
        """What the kind of a document names, in any case; None when it names no action."""
        lowered = text.lower() if isinstance(text, str) and text.isascii() else ""
        return {"naction": cls.NODE, "oaction": cls.CLUSTER}.get(lowered)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    on: ActionOn
    ns_id: str
    cluster_id: str
    node_id: str | None
    """None for an orchestrator action."""
    action_id: str | None
    """A UUID in lower case; None: the control plane chooses."""
    kind: str
    args: Value
    metadata: dict[str, str]
    is_approved: bool
    """False: it waits for a person."""
    timeout_ms: int | None
    """Of an orchestrator action; None: its kind's."""


def read_action_request(
    on: ActionOn, document: Mapping[str, Value], *, api_version: str
) -> ActionRequest:
    """Raises Invalid that lists every violation with its path."""
    violations = Violations()
    violations.mapping(document, (), fields=("apiVersion", "kind", "metadata", "spec"))
    if document.get("apiVersion") != api_version:
        violations.add(("apiVersion",), f"must be {api_version}")
    given = document.get("metadata")
    violations.mapping({} if given is None else given, ("metadata",), fields=())
    path: Path = ("spec",)
    known = _NODE_FIELDS if on is ActionOn.NODE else _CLUSTER_FIELDS
    spec = violations.mapping(document.get("spec"), path, fields=(*known, "metadata"))
    approval = violations.choice(
        spec.get("approval", str(Approval.GRANTED)),
        (*path, "approval"),
        Approval,
        default=Approval.REQUIRED,
    )
    request = ActionRequest(
        on=on,
        ns_id=violations.name(spec.get("ns_id", "default"), (*path, "ns_id")),
        cluster_id=violations.name(spec.get("cluster_id"), (*path, "cluster_id")),
        node_id=_read_node_id(on, spec, violations),
        action_id=_read_action_id(spec.get("action_id"), violations),
        kind=_read_kind(spec.get("action"), violations),
        args=spec.get("args"),
        metadata=_read_metadata(spec.get("metadata"), violations),
        is_approved=approval is Approval.GRANTED,
        timeout_ms=_read_timeout_ms(spec.get("timeout"), violations),
    )
    violations.raise_if_any()
    return request


def _read_node_id(on: ActionOn, spec: Mapping[str, Value], violations: Violations) -> str | None:
    if on is ActionOn.CLUSTER:
        return None
    return violations.name(spec.get("node_id"), ("spec", "node_id"))


def _read_action_id(value: Value, violations: Violations) -> str | None:
    if value is None:
        return None
    lowered = value.lower() if isinstance(value, str) else ""
    if not _ACTION_ID.fullmatch(lowered):
        violations.add(("spec", "action_id"), "must be a UUID")
        return None
    return lowered


def _read_kind(value: Value, violations: Violations) -> str:
    text = violations.text(value, ("spec", "action"))
    if text and not _ACTION_KIND.fullmatch(text):
        violations.add(("spec", "action"), "the kind of an action is domain/name")
    return text


def _read_metadata(value: Value, violations: Violations) -> dict[str, str]:
    path = ("spec", "metadata")
    if value is None:
        return {}
    if not isinstance(value, dict):
        violations.add(path, f"must be a map, not {describe(value)}")
        return {}
    if len(value) > ACTION_METADATA_ITEMS_MAX:
        violations.add(path, f"must be at most {ACTION_METADATA_ITEMS_MAX} items")
        return {}
    for name, text in value.items():
        if not isinstance(text, str):
            violations.add((*path, name), f"must be text, not {describe(text)}")
    return {name: text for name, text in value.items() if isinstance(text, str)}


def _read_timeout_ms(value: Value, violations: Violations) -> int | None:
    """A bare number counts seconds, as in the original."""
    if value is None:
        return None
    return violations.duration_ms(
        value,
        ("spec", "timeout"),
        default_ms=OACTION_TIMEOUT_MS_MAX,
        unit_ms=1_000,
        highest_ms=OACTION_TIMEOUT_MS_MAX,
    )

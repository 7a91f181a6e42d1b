"""The envelope that every declared object wears: apiVersion, kind, metadata, spec, status,
revision. Pure.

Called by `api` (a user's document → Declaration → PutObject; a stored object → document) and by
`state` (kinds and scopes).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from replicante.errors import Invalid
from replicante.ids import Stamp, format_stamp, parse_stamp
from replicante.limits import FINALISERS_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.cluster_spec import read_cluster_spec
from replicante.model.codec import Value
from replicante.model.labels import read_labels
from replicante.model.namespace import NamespaceStatus, read_namespace
from replicante.model.platform import read_platform
from replicante.model.violations import Violations, describe

API_VERSION = "replicante.io/v0"


class ObjectKind(enum.IntEnum):
    """Stored in commands: a number is never reused."""

    NAMESPACE = 1
    PLATFORM = 2
    CLUSTER_SPEC = 3

    @property
    def title(self) -> str:
        """As documents spell it."""
        return _TITLES[self]

    @classmethod
    def named(cls, text: str) -> ObjectKind | None:
        """The kind that `text` names in any case; None when there is none."""
        return _BY_NAME.get(text.lower()) if text.isascii() else None


_TITLES = {
    ObjectKind.NAMESPACE: "Namespace",
    ObjectKind.PLATFORM: "Platform",
    ObjectKind.CLUSTER_SPEC: "ClusterSpec",
}
_BY_NAME = {title.lower(): kind for kind, title in _TITLES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A user's object after validation, with every default filled in."""

    kind: ObjectKind
    scope: tuple[str, ...]
    finalisers: tuple[str, ...]
    """Sorted, without duplicates."""
    labels: dict[str, str]
    """Sorted by name."""
    spec: dict[str, Value]
    revision: Stamp | None
    """What the document said: the declaration is meant for exactly this revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as the tables hold it."""

    kind: ObjectKind
    scope: tuple[str, ...]
    revision: Stamp
    created: Stamp
    """The revision that it was born with."""
    is_deleting: bool
    finalisers: tuple[str, ...]
    labels: dict[str, str]
    spec: dict[str, Value]

    @property
    def status(self) -> str:
        """For a Namespace its NamespaceStatus, in the same words for the others."""
        if self.is_deleting:
            return str(NamespaceStatus.DELETING)
        if self.kind is ObjectKind.NAMESPACE:
            return str(self.spec["status"])
        return str(NamespaceStatus.ACTIVE if self.spec["active"] else NamespaceStatus.INACTIVE)


def read_declaration(document: Mapping[str, Value]) -> Declaration:
    """What a user's document declares.

    `status` is accepted and ignored (it belongs to the control plane), `revision` is the revision
    that the author saw: so a document that was read can be edited and applied again.
    Raises Invalid that lists every violation with its path.
    """
    violations = Violations()
    violations.mapping(
        document, (), fields=("apiVersion", "kind", "metadata", "spec", "status", "revision")
    )
    if document.get("apiVersion") != API_VERSION:
        violations.add(("apiVersion",), f"must be {API_VERSION}")
    kind = _read_kind(document, violations)
    fields = ("name", "finalisers", "labels")
    given = document.get("metadata")
    metadata = violations.mapping({} if given is None else given, ("metadata",), fields=fields)
    name = metadata.get("name")
    if name is not None:
        name = violations.name(name, ("metadata", "name"))
    finalisers = _read_finalisers(metadata.get("finalisers"), violations)
    labels = read_labels(metadata.get("labels"), ("metadata", "labels"), violations)
    revision = _read_revision(document.get("revision"), violations)
    spec = document.get("spec")
    if spec is None:
        spec = {}
    if not isinstance(spec, dict):
        violations.add(("spec",), f"must be a map, not {describe(spec)}")
        spec = {}
    scope, normal = _read_spec(kind, spec, name, violations)
    violations.raise_if_any()
    return Declaration(
        kind=kind,
        scope=scope,
        finalisers=finalisers,
        labels=labels,
        spec=normal,
        revision=revision,
    )


def read_scope(kind: ObjectKind, scope: tuple[str, ...]) -> tuple[str, ...]:
    """A scope from outside (a path), checked name by name.  Raises Invalid."""
    names = SCOPE_NAMES[kind]
    if len(scope) != len(names):
        raise Invalid(f"a {kind.title} is found by {' / '.join(names)}", path="scope")
    violations = Violations()
    for i, name in enumerate(scope):
        violations.name(name, ("scope", i))
    violations.raise_if_any()
    return scope


SCOPE_NAMES: dict[ObjectKind, tuple[str, ...]] = {
    ObjectKind.NAMESPACE: ("namespace",),
    ObjectKind.PLATFORM: ("namespace", "platform"),
    ObjectKind.CLUSTER_SPEC: ("namespace", "cluster"),
}
"""What the names of a scope stand for, from the namespace downwards."""


def render_object(stored: StoredObject) -> dict[str, Value]:
    """The document of an object, in the shape that `read_declaration` takes back."""
    metadata: dict[str, Value] = {
        "name": stored.scope[-1],
        "finalisers": list(stored.finalisers),
    }
    if stored.labels:
        metadata["labels"] = stored.labels
    return {
        "apiVersion": API_VERSION,
        "kind": stored.kind.title,
        "metadata": metadata,
        "spec": stored.spec,
        "status": stored.status,
        "revision": format_stamp(stored.revision),
    }


def _read_spec(
    kind: ObjectKind, spec: Mapping[str, Value], name: str | None, violations: Violations
) -> tuple[tuple[str, ...], dict[str, Value]]:
    """Scope and normalised spec. name: of the metadata; None: the spec must say it."""
    match kind:
        case ObjectKind.NAMESPACE:
            namespace = read_namespace(spec, metadata_name=name, violations=violations)
            return (namespace.name,), namespace.to_spec()
        case ObjectKind.PLATFORM:
            platform = read_platform(spec, metadata_name=name, violations=violations)
            return (platform.ns_id, platform.name), platform.to_spec()
        case ObjectKind.CLUSTER_SPEC:
            cluster = read_cluster_spec(spec, metadata_name=name, violations=violations)
            return (cluster.ns_id, cluster.cluster_id), cluster.to_spec()


def _read_kind(document: Mapping[str, Value], violations: Violations) -> ObjectKind:
    text = document.get("kind")
    kind = ObjectKind.named(text) if isinstance(text, str) else None
    if kind is None:
        named = text[:100] if isinstance(text, str) else describe(text)
        violations.add(("kind",), _unsupported(text))
        # Without a kind nothing else can be judged. `resource` is what the original tells.
        violations.raise_if_any(resource={"apiVersion": document.get("apiVersion"), "kind": named})
        raise AssertionError("a violation was just added")
    return kind


def _unsupported(kind: Value) -> str:
    if ActionOn.named(kind) is not None:
        return "resource not supported here: an action has a request of its own"
    known = ", ".join(sorted((*_TITLES.values(), *(on.title for on in ActionOn))))
    return f"resource not supported; known: {known}"


def _read_finalisers(value: Value, violations: Violations) -> tuple[str, ...]:
    path = ("metadata", "finalisers")
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        violations.add(path, f"must be a list of names, not {describe(value)}")
        return ()
    if len(value) > FINALISERS_MAX:
        violations.add(path, f"must be at most {FINALISERS_MAX} names")
        return ()
    names = [violations.name(name, (*path, i)) for i, name in enumerate(value)]
    if len(set(names)) < len(names) and "" not in names:
        violations.add(path, "names one finaliser twice")
    return tuple(sorted(names))


def _read_revision(value: Value, violations: Violations) -> Stamp | None:
    if value is None:
        return None
    stamp = parse_stamp(value) if isinstance(value, str) else None
    if not stamp:
        violations.add(("revision",), "must be a revision: a decimal text of 19 digits")
        return None
    return stamp

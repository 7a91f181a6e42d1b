"""Requests and answers of /apply, /object and /list. The original's paths and fields stay."""

from __future__ import annotations

import msgspec

from replicante.wire.values import Answer, Json, Request


class ApplyBody(Request, frozen=True, kw_only=True):
    """POST /apply. kind: in any case. metadata and spec: as the kind asks for. revision: the
    document is meant for exactly this revision. status is ignored, so that a document that was read
    can be edited and sent back."""

    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    metadata: dict[str, Json] = msgspec.field(default_factory=dict)
    spec: dict[str, Json] = msgspec.field(default_factory=dict)
    status: Json = None
    revision: str | None = None


class ObjectAnswer(Answer, frozen=True, kw_only=True):
    """One stored object: the answer to GET /object/… and to POST /apply."""

    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    metadata: dict[str, Json]
    spec: dict[str, Json]
    status: Json
    revision: str


class NamespaceAnswer(ObjectAnswer, frozen=True, kw_only=True):
    """A Namespace; with the fields that the original put at the top level."""

    id: str
    tls: dict[str, Json] = msgspec.field(default_factory=dict)
    settings: dict[str, Json] = msgspec.field(default_factory=dict)


class ApplyAnswer(ObjectAnswer, frozen=True, kw_only=True):
    """POST /apply. status: null when it is gone: this took the last finaliser of what was Deleting
    away. is_dry_run: nothing was written; the answer is what would have been."""

    is_created: bool = False
    is_changed: bool = True
    is_dry_run: bool = False


class ObjectDeleted(Answer, frozen=True, kw_only=True):
    """DELETE /object/…: accepted. status: what the object is now, as `Deleting`; null when it is
    gone."""

    kind: str
    id: str
    status: Json = None
    revision: str


class PlatformAnswer(ObjectAnswer, frozen=True, kw_only=True):
    """A Platform; with the fields that the original put at the top level."""

    ns_id: str
    name: str
    active: bool
    discovery: dict[str, Json]
    transport: dict[str, Json]


class ClusterSpecAnswer(ObjectAnswer, frozen=True, kw_only=True):
    """A ClusterSpec; with the fields that the original put at the top level."""

    ns_id: str
    cluster_id: str
    active: bool
    interval: str
    platform: dict[str, Json] | None
    mode: dict[str, Json]
    declaration: dict[str, Json]


class ObjectSummary(Answer, frozen=True, kw_only=True):
    """One row of /list/…. scope: the names by which the object is found."""

    id: str
    status: Json
    revision: str
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    scope: tuple[str, ...] = ()


class PlatformSummary(ObjectSummary, frozen=True, kw_only=True):
    ns_id: str
    name: str
    active: bool


class ClusterSpecSummary(ObjectSummary, frozen=True, kw_only=True):
    """mode: `observe`, `active` or `paused`, as declared."""

    ns_id: str
    cluster_id: str
    active: bool
    mode: str


class ObjectPage(Answer, frozen=True, kw_only=True):
    items: tuple[ObjectSummary, ...]
    next: str | None = None


class PlatformPage(Answer, frozen=True, kw_only=True):
    items: tuple[PlatformSummary, ...]
    next: str | None = None


class ClusterSpecPage(Answer, frozen=True, kw_only=True):
    items: tuple[ClusterSpecSummary, ...]
    next: str | None = None

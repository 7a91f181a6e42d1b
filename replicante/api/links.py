"""How the answer of one operation leads to the next one, for OpenAPI. Pure; read by `openapi`.

A program that follows these links works with what it made: it reads the record that it wrote and
acknowledges the job that it claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from replicante.wire import headers
from replicante.wire.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """operation: ids of operations are names of handlers. parameters, body: as OpenAPI writes
    runtime expressions."""

    name: str
    operation: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Json = None


_KEY: Final = {"key": "$request.path.key"}
_LEASE: Final = {"name": "$request.path.name"}
_LEASE_TOKEN: Final = {"token": "$response.body#/token"}
_QUEUE: Final = {"queue": "$request.path.queue"}
_JOB: Final = {**_QUEUE, "id": "$response.body#/items/0/id"}
_JOB_TOKEN: Final = {"token": "$response.body#/items/0/token"}
_ETAG: Final = f"$response.header.{headers.ETAG}"
_KIND_NS: Final = {"kind": "$request.path.kind", "ns": "$request.path.ns"}
_NS_NAME: Final = {"ns": "$request.path.ns", "name": "$request.path.name"}


def _pages(operation: str, **parameters: str) -> Link:
    return Link(
        name="next",
        operation=operation,
        parameters={**parameters, headers.Q_CURSOR: "$response.body#/next"},
    )


LINKS: Mapping[str, tuple[Link, ...]] = {
    "put_record": (
        Link(name="read", operation="get_record", parameters=_KEY),
        Link(
            name="replace",
            operation="put_record",
            parameters={**_KEY, headers.IF_MATCH: _ETAG},
        ),
        Link(
            name="remove",
            operation="delete_record",
            parameters={**_KEY, headers.IF_MATCH: _ETAG},
        ),
    ),
    "list_records": (
        _pages("list_records"),
        Link(
            name="first",
            operation="get_record",
            parameters={"key": "$response.body#/items/0/key"},
        ),
    ),
    "acquire": (
        Link(name="look", operation="get_lease", parameters=_LEASE),
        Link(name="renew", operation="renew", parameters=_LEASE, body=_LEASE_TOKEN),
        Link(name="release", operation="release", parameters=_LEASE, body=_LEASE_TOKEN),
        Link(name="take_away", operation="force_release", parameters=_LEASE),
    ),
    "list_leases": (
        _pages("list_leases"),
        Link(
            name="first",
            operation="get_lease",
            parameters={"name": "$response.body#/items/0/name"},
        ),
    ),
    "enqueue": (
        Link(name="look", operation="get_job", parameters=_JOB),
        Link(name="claim", operation="claim", parameters=_QUEUE),
        Link(name="queue", operation="get_queue", parameters=_QUEUE),
    ),
    "claim": (
        Link(name="ack", operation="ack", parameters=_JOB, body=_JOB_TOKEN),
        Link(name="nack", operation="nack", parameters=_JOB, body=_JOB_TOKEN),
        Link(name="extend", operation="extend", parameters=_JOB, body=_JOB_TOKEN),
    ),
    "nack": (Link(name="claim", operation="claim", parameters=_QUEUE),),
    "extend": (
        Link(
            name="ack",
            operation="ack",
            parameters={**_QUEUE, "id": "$request.path.id"},
            body={"token": "$response.body#/token"},
        ),
    ),
    "pause": (Link(name="resume", operation="resume", parameters=_QUEUE),),
    "list_queues": (_pages("list_queues"),),
    "list_jobs": (_pages("list_jobs", **_QUEUE),),
    "put_consumer": (
        Link(name="read", operation="get_consumer", parameters=_LEASE),
        Link(
            name="advance",
            operation="put_consumer",
            parameters=_LEASE,
            body={"position": "$response.body#/position"},
        ),
        Link(name="remove", operation="delete_consumer", parameters=_LEASE),
    ),
    "get_events": (
        Link(
            name="next",
            operation="get_events",
            parameters={headers.Q_AFTER: "$response.body#/next"},
        ),
    ),
    "get_object": (
        Link(
            name="remove",
            operation="delete_object",
            parameters={**_KIND_NS, headers.IF_MATCH: _ETAG},
        ),
    ),
    "get_clusterspec": (
        Link(name="orchestrate", operation="orchestrate_clusterspec", parameters=_NS_NAME),
    ),
}
"""By the operation whose successful answer leads on."""

"""What is there before the first request: a namespace with clusters, a platform and actions. Pure;
applied by `fuzz`, named by `fuzz_hooks`.

Names that schemathesis makes up name nothing, so that nearly every answer about a cluster would be
404. Half of the valid requests name what is here instead. The nodes' agents cannot be reached,
which every description of a cluster has to be able to say.
"""

from __future__ import annotations

import uuid
import zlib
from typing import Any

NS = "default"
PLATFORM = "fuzz-platform"
CLUSTER = "fuzz-cluster"
NODES = ("n1", "n2")
SPARE_COUNT = 40
"""Clusters, platforms and actions of which requests may make an end."""

_SILENT = "http://127.0.0.1:1"
_API = "replicante.io/v0"
_WORLD = uuid.UUID("00000000-0000-4000-8000-000000000000")


def documents() -> list[dict[str, Any]]:
    """In the order in which they are applied."""
    nodes = [
        {"node_id": node, "agent_address": _SILENT, "node_class": "small", "node_group": "main"}
        for node in NODES
    ]
    found = [
        _document("Namespace", NS, {}),
        _document("Platform", PLATFORM, _platform(PLATFORM, [_discovered(CLUSTER, nodes)])),
        _document("ClusterSpec", CLUSTER, _cluster(CLUSTER)),
    ]
    for i in range(SPARE_COUNT):
        name = _spare("platform", i)
        found.append(_document("Platform", name, _platform(name, [])))
        name = _spare("cluster", i)
        found.append(_document("ClusterSpec", name, _cluster(name)))
        found.append(_action("NAction", i, node_id=NODES[0]))
        found.append(_action("OAction", i))
    return found


def known_names(method: str, path: str, parameters: dict[str, Any]) -> dict[str, str]:
    """What is to stand in a path instead of the parameters that were made up; empty for every
    other request, and where nothing is there by name. The same parameters give the same answer."""
    number = zlib.crc32(repr(sorted(parameters.items())).encode("utf-8", "backslashreplace"))
    thing = next((part for part in _THINGS if f"/{part}/" in path), None)
    if number % 2 or thing is None or "ns" not in parameters:
        return {}
    spare = number // 2 % SPARE_COUNT
    names = {"ns": NS, "cluster": CLUSTER, "node": NODES[0], "id": _action_id(thing, spare)}
    if thing in ("clusterspec", "platform"):
        kind = "cluster" if thing == "clusterspec" else "platform"
        names["name"] = _spare(kind, spare) if method == "DELETE" else f"fuzz-{kind}"
    return {name: value for name, value in names.items() if name in parameters}


_THINGS = ("clusterspec", "platform", "naction", "oaction")


def _spare(kind: str, number: int) -> str:
    return f"spare-{kind}-{number}"


def _action_id(kind: str, number: int) -> str:
    return str(uuid.uuid5(_WORLD, f"{kind}/{number}"))


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _platform(name: str, clusters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"ns_id": NS, "name": name, "transport": {"static": {"clusters": clusters}}}


def _discovered(name: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cluster_id": name, "nodes": nodes}


def _cluster(name: str) -> dict[str, Any]:
    # Peers are compared when nothing is written any more, so cycles come by request only.
    return {"ns_id": NS, "cluster_id": name, "interval": "1h", "platform": {"name": PLATFORM}}


def _action(kind: str, number: int, **place: str) -> dict[str, Any]:
    spec = {
        "ns_id": NS,
        "cluster_id": CLUSTER,
        "action_id": _action_id(kind.lower(), number),
        "action": "replicante.io/fuzz",
        "approval": "required",
        **place,
    }
    return {"apiVersion": _API, "kind": kind, "spec": spec}

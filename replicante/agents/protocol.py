"""What is asked of an agent and how its answers are read. Pure; called by `client` and `workers`.

Paths and fields are those of the original's newer generation (`/api/unstable/…`). Ours beside
them: the header Replicante-Epoch on every call, which an agent that keeps epochs repeats in its
answer and refuses with 412 when it knows a greater one; the incarnation and the boot of the agent
in its answers, and of whom a submission is for (421 by another one); the cluster of each call (421
by the agent of another one); `begin_within_ms` of a submission; `contact`, `controllers`,
`status_reason` of a node; `readings` of a store; `history_id` and `upstream` of a shard. Unknown
fields are ignored.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from replicante.errors import Invalid
from replicante.limits import AGENT_MARK_CHARACTERS_MAX
from replicante.model.actions import NAction
from replicante.model.civil_time import format_rfc3339, parse_rfc3339_ms
from replicante.model.codec import Value
from replicante.model.discovery import DiscoveredNode
from replicante.model.node import (
    AgentVersion,
    Attribute,
    NodeDetails,
    NodeStatus,
    StoreContact,
    StoreVersion,
)
from replicante.model.observation import SeenAction, SeenNode, SeenPhase, SeenShard
from replicante.model.shard import Offset, ShardRole, Upstream

PREFIX = "/api/unstable"
INFO_NODE = f"{PREFIX}/info/node"
INFO_STORE = f"{PREFIX}/info/store"
INFO_SHARDS = f"{PREFIX}/info/shards"
ACTION = f"{PREFIX}/action"
ACTIONS_QUEUE = f"{PREFIX}/actions/queue"
ACTIONS_FINISHED = f"{PREFIX}/actions/finished"
EPOCH_HEADER = "Replicante-Epoch"
STALE_EPOCH_STATUS = 412
CLUSTER_HEADER = "Replicante-Cluster"
"""Of each call: the cluster that it is for, percent-encoded."""
MISDIRECTED_STATUS = 421
INCARNATION_HEADER = "Replicante-Agent-Incarnation"
"""Of each answer: of what the agent keeps on its disk. Of a submission: whom it is for."""
BOOT_HEADER = "Replicante-Agent-Boot"
"""Of each answer: of the agent's process."""
BEGIN_WITHIN = "begin_within_ms"
"""Field of a submission: a duration, because the clocks of two machines differ (ADR 0051)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one agent."""

    cluster_id: str
    node: DiscoveredNode
    epoch: int
    at_ms: int
    """Cluster clock."""
    limit_ms: int
    """For all calls together."""
    is_suspect: bool = False
    """It was silent lately: it must not take the place of one that speaks."""
    wanted: tuple[str, ...] = ()
    """Actions that are to be asked for one by one."""
    settled: frozenset[str] = frozenset()
    """Ended actions: their details are not asked for again."""
    is_history_wanted: bool = True
    """Ended actions that nobody waits for are asked for, too."""


class SendAnswer(enum.Enum):
    TAKEN = "taken"
    """The agent has the action, from now or from before."""
    REFUSED = "refused"
    """The agent does not take it."""
    STALE_EPOCH = "stale_epoch"
    """The agent knows a greater epoch: another worker is in charge."""
    UNKNOWN = "unknown"
    """No answer: it may have the action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    answer: SendAnswer
    message: str = ""


def cluster_mark(cluster_id: str) -> str:
    """As a header tells it: an id may have any letters."""
    return quote(cluster_id, safe="")


def order_body(action: NAction, *, begin_within_ms: int | None) -> dict[str, Value]:
    """The body of a submission; the same for each repeat, but for the time that is left.

    begin_within_ms: from the moment at which the agent takes it; None: it may always begin.
    """
    limit: dict[str, Value] = {} if begin_within_ms is None else {BEGIN_WITHIN: begin_within_ms}
    return {
        "id": action.action_id,
        "kind": action.kind,
        "args": action.args,
        "metadata": action.metadata,
        "created_time": format_rfc3339(action.created_wall_ms),
        **limit,
    }


def read_node(value: Value) -> tuple[str, SeenNode]:
    """Node id and what `info/node` says.  Raises Invalid."""
    fields = _map(value, "")
    status, reason = _status(fields.get("node_status"))
    controllers = fields.get("controllers") or []
    contact = fields.get("contact")
    return _text(fields.get("node_id"), "node_id"), SeenNode(
        status=status,
        status_reason=_text_or_none(fields.get("status_reason")) or reason,
        details=NodeDetails(
            addresses={
                name: text
                for name, text in _map(fields.get("address") or {}, "address").items()
                if isinstance(text, str)
            },
            agent_version=AgentVersion.from_value(fields.get("agent_version") or {}),
            attributes=_attributes(fields.get("attributes")),
            store_id=_text(fields.get("store_id", ""), "store_id"),
            store_version=StoreVersion.from_value(fields.get("store_version") or {}),
        ),
        contact=StoreContact(contact) if contact in tuple(StoreContact) else StoreContact.UNKNOWN,
        controllers=tuple(sorted(it for it in controllers if isinstance(it, str))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenStore:
    """`info/store`."""

    cluster_id: str
    attributes: dict[str, Attribute]
    readings: dict[str, Attribute]


def read_store(value: Value) -> SeenStore:
    """Raises Invalid."""
    fields = _map(value, "")
    return SeenStore(
        cluster_id=_text(fields.get("cluster_id"), "cluster_id"),
        attributes=_attributes(fields.get("attributes")),
        readings=_attributes(fields.get("readings")),
    )


def read_shards(value: Value) -> tuple[SeenShard, ...]:
    """In the order of their ids.  Raises Invalid, also when one occurs twice."""
    items = _map(value, "").get("shards")
    if not isinstance(items, list):
        raise Invalid("a list of shards is needed", path="shards")
    shards = sorted((_shard(item) for item in items), key=lambda shard: shard.shard_id)
    if len({shard.shard_id for shard in shards}) < len(shards):
        raise Invalid("a shard occurs twice", path="shards")
    return tuple(shards)


def read_ids(value: Value) -> tuple[str, ...]:
    """Ids of `actions/queue` or `actions/finished`; the original also gave bare lists.
    Raises Invalid."""
    items = value.get("actions") if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise Invalid("a list of actions is needed", path="actions")
    return tuple(_text(_map(item, "actions").get("id"), "actions.id") for item in items)


def read_action(value: Value) -> SeenAction:
    """Raises Invalid."""
    fields = _map(value, "")
    state = _map(fields.get("state"), "state")
    phase = _text(state.get("phase"), "state.phase").upper()
    if phase not in tuple(SeenPhase):
        raise Invalid(f"unknown phase {phase[:40]}", path="state.phase")
    metadata = _map(fields.get("metadata") or {}, "metadata")
    return SeenAction(
        action_id=_text(fields.get("id"), "id"),
        kind=_text(fields.get("kind"), "kind"),
        phase=SeenPhase(phase),
        args=fields.get("args"),
        metadata={name: text for name, text in metadata.items() if isinstance(text, str)},
        created_wall_ms=_time(fields.get("created_time"), "created_time") or 0,
        scheduled_wall_ms=_time(fields.get("scheduled_time"), "scheduled_time"),
        finished_wall_ms=_time(fields.get("finished_time"), "finished_time"),
        error=state.get("error"),
        payload=state.get("payload"),
    )


def read_mark(text: str | None) -> str | None:
    """An incarnation or boot; None where there is none that could be kept."""
    is_one = text is not None and text.isascii() and text.isalnum()
    return text if is_one and len(text or "") <= AGENT_MARK_CHARACTERS_MAX else None


def _shard(value: Value) -> SeenShard:
    fields = _map(value, "shards")
    role, other = _role(fields.get("role"))
    upstream = fields.get("upstream")
    return SeenShard(
        shard_id=_text(fields.get("shard_id", fields.get("id")), "shard_id"),
        role=role,
        other_role=other,
        commit_offset=_offset(fields.get("commit_offset")),
        lag=_offset(fields.get("lag")),
        history_id=_text_or_none(fields.get("history_id")),
        upstream=None if upstream is None else Upstream.from_value(upstream),
    )


def _status(value: Value) -> tuple[NodeStatus, str | None]:
    """A word, or a map of one word to its reason, as the original writes UNKNOWN."""
    word, reason = value, None
    if isinstance(value, dict) and len(value) == 1:
        ((word, reason),) = value.items()
    text = _text(word, "node_status").upper()
    if text in (NodeStatus.UNREACHABLE, NodeStatus.INCOMPLETE) or text not in tuple(NodeStatus):
        return NodeStatus.UNKNOWN, f"its agent says {text[:80]}"
    return NodeStatus(text), _text_or_none(reason)


def _role(value: Value) -> tuple[ShardRole, str | None]:
    word, name = value, None
    if isinstance(value, dict) and len(value) == 1:
        ((word, name),) = value.items()
    text = _text(word, "role").lower()
    if text in (ShardRole.PRIMARY, ShardRole.SECONDARY, ShardRole.RECOVERING):
        return ShardRole(text), None
    return ShardRole.OTHER, _text_or_none(name) or text


def _offset(value: Value) -> Offset | None:
    """The unit is a word, or a map of `unit` to the store's own."""
    if value is None:
        return None
    fields = _map(value, "offset")
    unit = fields.get("unit", "offset")
    if isinstance(unit, dict) and len(unit) == 1:
        (unit,) = unit.values()
    return Offset.from_value({"value": fields.get("value"), "unit": unit})


def _attributes(value: Value) -> dict[str, Attribute]:
    fields = _map(value or {}, "attributes")
    return {
        name: item
        for name, item in fields.items()
        if item is None or isinstance(item, str | int | float | bool)
    }


def _time(value: Value, path: str) -> int | None:
    if value is None:
        return None
    found = parse_rfc3339_ms(value) if isinstance(value, str) else None
    if found is None:
        raise Invalid("a time in UTC is needed", path=path)
    return found


def _map(value: Value, path: str) -> Mapping[str, Value]:
    if not isinstance(value, dict):
        raise Invalid("a map is needed", path=path)
    return value


def _text(value: Value, path: str) -> str:
    if not isinstance(value, str):
        raise Invalid("text is needed", path=path)
    return value


def _text_or_none(value: Value) -> str | None:
    return value if isinstance(value, str) else None

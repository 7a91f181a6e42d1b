"""A golden history of what cycles are decided under, of what a person confirms, and of forgetting
by age."""

from __future__ import annotations

from collections.abc import Iterator

from golden_entries import Entry, birth, entry

from replicante.ids import make_stamp
from replicante.limits import ACTIONS_ENDED_KEPT_MS
from replicante.model.action_requests import ActionOn
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import Value, encode_value
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire
from replicante.state.record_commands import ConfirmDiscovery, RecordChange, RecordCycle
from replicante.testing.builders import (
    cluster_document,
    envelope_bytes,
    put_namespace,
    put_object,
)

_CLUSTER = ("a", "r")


def confirmations() -> Iterator[Entry]:
    """Cycles over declarations that count and that changed, a held discovery that is confirmed
    wrongly, rightly and again, an ended action that goes after its time."""
    yield from birth()
    yield entry(
        3,
        envelope_bytes(put_namespace("a")),
        envelope_bytes(put_object(cluster_document("r", ns="a"))),
        _acquire(),
    )
    namespace, spec = make_stamp(3, 0), make_stamp(3, 2)
    token = make_stamp(3, 4)
    yield entry(
        4,
        _cycle(token, _held(), under=(spec, namespace)),
        _cycle(token, _held(), under=(spec + 1, namespace)),
        _cycle(token, _held(), under=(spec, namespace + 1)),
        _cycle(token, under=(spec, namespace), answers=1),
    )
    yield entry(
        5,
        *[
            envelope_bytes(ConfirmDiscovery(*_CLUSTER, gone, "it burnt"), actor="ann")
            for gone in (("n2",), ("n3", "n2"), ("n2", "n3"))
        ],
        envelope_bytes(ConfirmDiscovery("a", "other", ("n1",))),
    )
    action_id = "00000000-0000-8000-8000-000000000000"
    body = encode_value({"kind": "a/b", "args": None, "metadata": {}, "node_id": "n1"})
    names = (*_CLUSTER, action_id)
    yield entry(6, envelope_bytes(CreateAction(ActionOn.NODE, names, body, True)))
    cancel = MoveAction(ActionOn.NODE, (*_CLUSTER, "n1", action_id), ActionVerb.CANCEL)
    yield entry(7, envelope_bytes(cancel))
    over_ms = 1_000 + ACTIONS_ENDED_KEPT_MS
    yield entry(8, _acquire(), clock_ms=over_ms - 1)
    # The sweep ends the first lease in the same entry: a write and an event before it.
    last = make_stamp(8, 2)
    yield entry(9, _cycle(last), clock_ms=over_ms - 1)
    yield entry(10, _cycle(last), _cycle(last), clock_ms=over_ms)


def _acquire() -> bytes:
    lease = LeaseAcquire(lease_name(FenceOn.CLUSTER, *_CLUSTER), 30_000, encode_value({}))
    return envelope_bytes(lease)


def _cycle(token: int, *changes: RecordChange, **more: object) -> bytes:
    fence = Fence(FenceOn.CLUSTER, *_CLUSTER, token)
    return envelope_bytes(RecordCycle(fence, changes, **more))  # type: ignore[arg-type]


def _held() -> RecordChange:
    def node(name: str) -> Value:
        return {"agent_address": f"http://{name}", "node_class": "x", "node_id": name}

    value = {
        "ns_id": "a",
        "cluster_id": "r",
        "nodes": [node("n1"), node("n2"), node("n3")],
        "platform": "p",
        "held": {"nodes": [node("n1")], "reason": "many", "since_ms": 1, "seen_count": 3},
    }
    code = ChangeCode.CLUSTER_DISCOVERY_HELD
    return RecordChange(RecordKind.CLUSTER_DISCOVERY, _CLUSTER, None, encode_value(value), code)

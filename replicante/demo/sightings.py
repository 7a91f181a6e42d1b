"""What the event log tells of the demo: lines for the terminal, and facts for the report. Pure.

Called by the scenes. Every line stands for an event and gives the reason that the control plane
wrote down itself; nothing is told that is not in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from replicante.demo.report import DecisionSeen, NodeSeen, PromotionSeen
from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.cluster_declaration import Step
from replicante.model.node import StoreContact
from replicante.wire.events import Event
from replicante.wire.values import Json

_WHY = {
    Step.SCALE_UP: "the declaration asks for more nodes than there are",
    Step.CLUSTER_INIT: "there are nodes, and none of them is in a cluster",
    Step.CLUSTER_EXPAND: "the node is in no cluster yet",
}
"""Reasons that are the step itself; recoveries have reasons of their own in the record."""

_CONTACTS: dict[str, str] = {
    StoreContact.REFUSED: "refuses connections",
    StoreContact.SILENT: "is silent",
}


class Sightings:
    """Fed with every event in order; remembers what the report needs."""

    def __init__(self) -> None:
        self.events_count = 0
        self.decisions: list[DecisionSeen] = []
        self.downs: list[NodeSeen] = []
        self.ups: list[NodeSeen] = []
        self.promotions: list[PromotionSeen] = []
        self._told_actions: set[str] = set()

    def take(self, event: Event) -> tuple[str, ...]:
        """The lines to show, the reason below its decision; empty for what is no step of the
        story."""
        self.events_count += 1
        tell = _TELLERS.get(event.code)
        return () if tell is None else tuple(tell(self, event))

    def _term(self, event: Event) -> Iterator[str]:
        yield f"{event.payload['leader']} leads the control plane, term {event.payload['term']}"

    def _discovery(self, event: Event) -> Iterator[str]:
        nodes = _after(event).get("nodes") or ()
        names = ", ".join(str(it["node_id"]) for it in nodes)
        yield f"the platform has {len(nodes)} nodes: {names}"

    def _down(self, event: Event) -> Iterator[str]:
        self.downs.append(_node_seen(event))
        how = _CONTACTS.get(str(_after(event).get("contact")), "cannot be asked")
        yield f"the store of {event.key} is down: it {how}"

    def _up(self, event: Event) -> Iterator[str]:
        self.ups.append(_node_seen(event))
        yield f"the store of {event.key} answers again"

    def _shard(self, event: Event) -> Iterator[str]:
        before, after = _map(event.payload.get("before")), _after(event)
        if before.get("role") == after.get("role"):
            return
        follows = _map(after.get("upstream")).get("address")
        whom = f", follows {follows}" if follows else ""
        yield f"{after.get('node_id')} is {after.get('role')}{whom}"

    def _decision(self, event: Event) -> Iterator[str]:
        for proposal in _after(event).get("proposals") or ():
            action_id = proposal.get("action_id")
            if proposal.get("outcome") != "done" or action_id in self._told_actions:
                continue
            self._told_actions.add(str(action_id))
            seen = _decision_seen(event, proposal)
            self.decisions.append(seen)
            yield f"decided: {seen.effect}"
            why = f"because {seen.reason}; " if seen.reason else ""
            yield f"{why}{seen.rules_count} rules allow it; worst loss: {seen.worst_loss}"

    def _created(self, event: Event) -> Iterator[str]:
        action = _after(event)
        if action.get("kind") == STORE_PROMOTE:
            self.promotions.append(
                PromotionSeen(
                    at_ms=event_ms(event),
                    node_id=str(action.get("node_id")),
                    replaces=str(_map(action.get("args")).get("replaces")),
                    decision_id=str(action.get("cause")),
                )
            )
        yield from ()

    def _finish(self, event: Event) -> Iterator[str]:
        action = _after(event)
        error = _map(action.get("error")).get("error_msg")
        why = f": {error}" if error else ""
        kind, phase = _short(action.get("kind")), action.get("phase")
        yield f"{action.get('node_id')}: {kind} is {phase}{why}"


_Teller = Callable[[Sightings, Event], Iterator[str]]
_TELLERS: dict[str, _Teller] = {
    "RAFT_TERM_STARTED": Sightings._term,
    "CLUSTER_DISCOVERY_NEW": Sightings._discovery,
    "CLUSTER_DISCOVERY_UPDATE": Sightings._discovery,
    "NODE_DOWN": Sightings._down,
    "NODE_UP": Sightings._up,
    "SHARD_SYNC_NEW": Sightings._shard,
    "SHARD_SYNC_UPDATE": Sightings._shard,
    "DECISION": Sightings._decision,
    "NACTION_CREATE": Sightings._created,
    "NACTION_FINISH": Sightings._finish,
    "NACTION_LOST": Sightings._finish,
}


def event_ms(event: Event) -> int:
    """Wall milliseconds at which the leader wrote it."""
    return round(datetime.fromisoformat(event.time).timestamp() * 1_000)


def _decision_seen(event: Event, proposal: dict[str, Json]) -> DecisionSeen:
    step = str(proposal.get("step"))
    reason = _WHY.get(Step(step), "")
    if step == Step.FAILOVER:
        verdicts = proposal.get("verdicts") or ()
        reasons = [it["reason"] for it in verdicts if it.get("rule") == "failure_confirmed"]
        reason = str(reasons[0]) if reasons else ""
    return DecisionSeen(
        at_ms=event_ms(event),
        decision_id=str(_after(event).get("decision_id")),
        step=step,
        effect=str(proposal.get("effect")),
        reason=reason,
        worst_loss=str(_map(proposal.get("loss")).get("text")),
        rules_count=len(proposal.get("verdicts") or ()),
    )


def _node_seen(event: Event) -> NodeSeen:
    return NodeSeen(at_ms=event_ms(event), node_id=str(event.key))


def _after(event: Event) -> dict[str, Json]:
    return _map(_map(event.payload).get("after"))


def _map(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _short(kind: Json) -> str:
    """`store.promote` of `replicante.io/store.promote`."""
    return str(kind).rpartition("/")[2]

"""Turns what the Raft room observes into metrics and log lines. Called by `server`, on the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante.raft.frames import Channel
from replicante.raft.link_observations import DialFailed, LinkDown, LinkRefused, LinkUp
from replicante.raft.observations import (
    CommitDone,
    LeaderChanged,
    Observation,
    RoleChanged,
    StateDiffers,
    StateQuarantined,
    StatesDisputed,
)
from replicante.raft.status import WAY_OUT
from replicante.telemetry.diagnostics import Diagnostic
from replicante.telemetry.metrics import Metrics, snake_case

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class RaftReport:
    def __init__(self, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._dial_reasons: dict[str, str] = {}
        """Why a peer was not reached when it was last tried: told once, not at each attempt."""

    def observed(self, observation: Observation) -> None:
        self._metrics.observed(observation)
        kind = snake_case(type(observation).__name__)
        match observation:
            case CommitDone():
                return
            case RoleChanged():
                role = observation.after.value
                self._log.info(Diagnostic.RAFT, kind=kind, role=role, term=observation.term)
            case LeaderChanged():
                key = observation.leader_key
                leader = key.partition("/")[0] if key else None
                self._log.info(Diagnostic.RAFT, kind=kind, leader=leader, term=observation.term)
            case DialFailed():
                is_news = self._dial_reasons.get(observation.peer_id) != observation.reason
                self._dial_reasons[observation.peer_id] = observation.reason
                tell = self._log.info if is_news else self._log.debug
                tell(Diagnostic.RAFT, kind=kind, detail=str(observation))
            case LinkRefused():
                self._log.debug(Diagnostic.RAFT, kind=kind, detail=str(observation))
            case LinkUp() | LinkDown():
                self._dial_reasons.pop(observation.peer_id, None)
                # One of the four links of a pair speaks for all of them.
                is_main = observation.channel is Channel.VITAL and not observation.is_inbound
                tell = self._log.info if is_main else self._log.debug
                tell(Diagnostic.RAFT, kind=kind, detail=observation.peer_id)
            case StateQuarantined() | StateDiffers() | StatesDisputed():
                self._alarm(observation)
            case _:
                self._log.info(Diagnostic.RAFT, kind=kind, detail=str(observation))

    def _alarm(self, found: StateQuarantined | StateDiffers | StatesDisputed) -> None:
        match found:
            case StateQuarantined(quarantine=it):
                self._log.critical(
                    Diagnostic.STATE_QUARANTINED,
                    index=it.index,
                    own_digest=it.own_digest,
                    digest=it.digest,
                    hints=list(WAY_OUT),
                )
            case StateDiffers():
                self._log.error(
                    Diagnostic.STATE_DIFFERS,
                    peer=found.peer_id,
                    incarnation=found.incarnation,
                    index=found.index,
                )
            case StatesDisputed():
                self._log.error(Diagnostic.STATES_DISPUTED, index=found.index)

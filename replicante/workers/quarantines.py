"""Writes into the log which peers were found to hold a wrong state. Created by `server`; runs on
every peer, with workers or without, and acts where this peer leads.

Peers find it out by themselves, each for itself and outside the log (ADR 0044); here the leader
tells what it knows, with its evidence, so that it stands among the events for whoever reads them
later. Apply makes one event of it for each incarnation, so a leader that tells it again, or
another that tells it too, changes nothing.

Rules: nothing depends on the event; a leader that is wrong itself writes nothing; the loop outlives
every failure, and what could not be written is written in a later pass, by whoever leads then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from replicante import errors
from replicante.limits import QUARANTINES_LOOP_MS
from replicante.state.apply_quarantines import noted
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.telemetry.diagnostics import Diagnostic
from replicante.workers.doors import PeerDoor, StateDoor
from replicante.workers.scribe import Scribe

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class ComparingPeer(PeerDoor, Protocol):
    """A peer that compares its state with those of the others."""

    @property
    def found_wrong(self) -> Sequence[NoteQuarantine]:
        """Other members that it knows to be wrong; none while it is wrong itself."""
        ...


class Quarantines:
    """One a peer: `run` until cancelled."""

    def __init__(self, *, peer: ComparingPeer, state: StateDoor, log: FilteringBoundLogger) -> None:
        self._peer = peer
        self._log = log
        self._scribe = Scribe(peer=peer, state=state)

    async def run(self) -> None:
        while True:
            try:
                await self.tell()
            except errors.ReplicanteError:
                pass  # there is a next pass, here or at another leader
            except Exception:  # noqa: BLE001 - a defect here must not end the peer's other work
                self._log.error(
                    Diagnostic.WORK_UNEXPECTED, work="quarantines", target="", exc_info=True
                )
            await asyncio.sleep(QUARANTINES_LOOP_MS / 1_000)

    async def tell(self) -> None:
        """One pass. Raises as `PeerDoor.propose`."""
        if not self._peer.is_leading:
            return
        found = self._peer.found_wrong
        if not found:
            return  # in nearly every pass
        told = {(it.peer, it.incarnation) for it in self._scribe.look(noted)}
        for note in found:
            if (note.peer, note.incarnation) not in told:
                await self._scribe.write(note, why=f"quarantine of {note.peer}")

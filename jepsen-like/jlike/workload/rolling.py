"""Registers while one peer after the other is restarted as for an upgrade: SIGTERM, start, next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jlike.check import register, rolling
from jlike.history import Kind, Operation
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage
from jlike.workload.register import Register

STOP_S = 20.0
READY_S = 60.0
POLL_S = 0.1
REST_S = 1.0


class Rolling(Register):
    name = "rolling"
    kinds = ("read", "write", "cas", "roll")
    deeds = frozenset({"roll"})
    needs_processes = True

    async def act(self, stage: Stage) -> None:
        """The next one only when the last one is ready again: so it is done by hand too."""
        while not stage.stop.is_set():
            for peer_id in stage.peers.ids:
                await stage.pause(REST_S)
                if stage.stop.is_set():
                    return
                if peer_id not in stage.peers.away:
                    await stage.deed("roll", peer_id, self._roll(stage, peer_id), peer=peer_id)

    @staticmethod
    async def _roll(stage: Stage, peer_id: str) -> Outcome:
        """A peer that a fault ended, before or meanwhile, was not restarted gently."""
        peer = stage.peers[peer_id]
        was_alive = peer.is_alive
        is_gentle = await stage.peers.end_gently(peer, seconds=STOP_S)
        was_told = was_alive and (peer.exit_code == 0 or not is_gentle)
        peer.start()
        starts = peer.starts
        for _ in range(int(READY_S / POLL_S)):
            answer = await stage.http.ask(peer.url, "GET", "/introspect/ready")
            if answer.kind is Kind.OK and not was_told:
                return Outcome(kind=Kind.INFO, error="a fault had ended it")
            if answer.kind is Kind.OK:
                kind = Kind.OK if is_gentle else Kind.FAIL
                return Outcome(kind=kind, value=peer_id, error="" if is_gentle else "killed")
            if stage.stop.is_set():
                return Outcome(kind=Kind.INFO, error="load ended")
            await stage.pause(POLL_S)
        if peer.starts != starts or peer_id in stage.peers.away:
            return Outcome(kind=Kind.INFO, error="a fault had ended it")
        return Outcome(kind=Kind.FAIL, error="not_ready")

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        found = list(operations)
        return [
            register.check(it for it in found if it.f != "roll"),
            rolling.check(found),
        ]

"""For how long a peer that is refused tries again, and when it ends instead. Pure; called by
neighbours.

Rule: what a member that lags may refuse, and another may not, is waited out; what no peer will
ever accept ends the process with the way out.
"""

from __future__ import annotations

from replicante import limits
from replicante.clock import Clock
from replicante.errors import PeerRemoved, StartRefused, WrongIdentity
from replicante.raft.frames import RefusalCode
from replicante.raft.link_observations import HelloRefused

_OTHER_CLUSTER = frozenset(
    {RefusalCode.CLUSTER_NAME, RefusalCode.CLUSTER_ID, RefusalCode.GENERATION}
)
_NOT_WELCOME = frozenset({RefusalCode.INCARNATION, RefusalCode.NOT_A_MEMBER, RefusalCode.TOKEN})
_CHECK_SETTINGS = (
    "check [peer] id, [peer] cluster and [raft] peers, and that [peer] data_dir is its own; "
    "nothing was changed anywhere"
)
REMOVED_HINTS = (
    "to let it come back: move its data directory away",
    "replicante raft token ID makes a token; start the peer again with --raft-join TOKEN",
)


class Patience:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms: dict[tuple[str, RefusalCode], int] = {}

    def rewarded(self, peer_id: str) -> None:
        """It talks to this peer after all."""
        self._since_ms = {k: since for k, since in self._since_ms.items() if k[0] != peer_id}

    def failure(
        self, refused: HelloRefused, *, is_unborn: bool, is_joining: bool
    ) -> StartRefused | None:
        """What ends this peer because of the refusal; None while it may hope."""
        code = refused.code
        if code is RefusalCode.REMOVED:
            # The leader's own word comes by the log, and answers who waits here for the removal.
            is_over = self._lasts(refused, limits.REMOVED_MS_MAX)
            return PeerRemoved(refused.message, hints=REMOVED_HINTS) if is_over else None
        if code is RefusalCode.IDENTITY_CLASH:
            # After a crash of its machine, the links of this peer's last process may outlive it.
            is_over = self._lasts(refused, limits.CLASH_MS_MAX)
        elif is_unborn and code in _NOT_WELCOME and is_joining:
            is_over = self._lasts(refused, limits.JOIN_REFUSED_MS_MAX)
        else:
            is_over = is_unborn and code in _OTHER_CLUSTER | _NOT_WELCOME
        if not is_over:
            return None
        return WrongIdentity(
            f"{refused.peer_id} refused this peer: {refused.message}", hints=(_CHECK_SETTINGS,)
        )

    def _lasts(self, refused: HelloRefused, longest_ms: int) -> bool:
        now_ms = self._clock.monotonic_ms()
        since_ms = self._since_ms.setdefault((refused.peer_id, refused.code), now_ms)
        return now_ms - since_ms >= longest_ms

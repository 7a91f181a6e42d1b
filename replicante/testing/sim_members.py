"""An operator who changes the members of a simulated cluster, whatever state it is in.

Called by sim_cluster. It asks any peer that runs, also one that is no member any more, for the
next step in the life of some peer: a learner, a voter, gone. Nobody comes back under an old
incarnation: who joins is a peer with an empty disk, as one that lost its own would be.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.raft import driver as d
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.membership import Configuration, Member
from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_options import Options
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_refusals import Refusals
from replicante.testing.sim_world import Phase

_VOTERS_MAX = 5


class Operator:
    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        peers: list[SimPeer],
        committed: Callable[[], Configuration],
        *,
        note: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        """committed: the newest configuration that is certain."""
        self.is_on = True
        self._schedule = schedule
        self._options = options
        self._peers = {peer.key: peer for peer in peers}
        self._committed = committed
        self._note = note
        self._count = count
        self._chance = Chance(options.seed, "operator")
        self._was_member: set[str] = set()
        self._refusals = Refusals()

    def begin(self) -> None:
        if self._options.change_gap_us:
            self._plan()

    def looked(self) -> None:
        """After each step of a peer. Raises Violation."""
        self._refusals.committed(self._committed())

    def told(self, peer: SimPeer, effects: d.Effects) -> None:
        """Raises Violation."""
        for done in effects.changes:
            self._refusals.told(peer.name, done)
            kind = "made" if done.error is None else done.error.code
            self._count(f"change_{kind}")

    def _plan(self) -> None:
        gap_us = self._chance.exponential(self._options.change_gap_us)
        self._schedule.after(gap_us, self._ask)

    def _ask(self) -> None:
        if not self.is_on:
            return
        configuration = self._committed()
        self._was_member |= {member.key for member in configuration.members}
        change = self._choose(configuration)
        running = [peer for peer in self._peers.values() if peer.is_running]
        if change is not None and running:
            asked = self._chance.pick(running)
            self._note(f"change {change.kind.name} {change.key} at {asked.name}")
            ticket = asked.change(change, timeout_ms=2 * self._options.election_ms_max)
            self._refusals.asked(asked.name, ticket, change)
        self._plan()

    def _choose(self, configuration: Configuration) -> Change | None:
        kinds = [ChangeKind.ADD_LEARNER, ChangeKind.PROMOTE, ChangeKind.REMOVE, ChangeKind.TRANSFER]
        match self._chance.pick(kinds):
            case ChangeKind.ADD_LEARNER:
                return self._add(configuration)
            case ChangeKind.PROMOTE if len(configuration.voters) < _VOTERS_MAX:
                return self._one_of(ChangeKind.PROMOTE, configuration.learners)
            case ChangeKind.REMOVE:
                # With a learner at hand, also when it may be the last voter but one.
                return self._one_of(ChangeKind.REMOVE, configuration.members)
            case ChangeKind.TRANSFER:
                return self._one_of(ChangeKind.TRANSFER, configuration.voters)
            case _:
                return None

    def _one_of(self, kind: ChangeKind, members: tuple[Member, ...]) -> Change | None:
        if not members:
            return None
        member = self._chance.pick(list(members))
        leads = self._peers[member.key].driver
        if kind is ChangeKind.REMOVE and leads is not None and leads.engine.is_leader:
            self._count("leader_to_be_removed")
        return _change(kind, member)

    def _add(self, configuration: Configuration) -> Change | None:
        fresh = [peer for key, peer in self._peers.items() if key not in self._was_member]
        if not fresh or configuration.learners:
            return None
        peer = self._chance.pick(fresh)
        if peer.phase is Phase.DOWN:
            peer.start()
        return _change(ChangeKind.ADD_LEARNER, peer.member)


def _change(kind: ChangeKind, member: Member) -> Change:
    return Change(
        kind=kind,
        peer_id=member.peer_id,
        incarnation=member.incarnation,
        address=member.raft_address,
    )

"""The second phase of a simulated run: a healed majority must make progress, whatever the rest
does.

Called by sim_cluster. Bounds are multiples of the longest election timeout, on the schedule.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from replicante.testing.entropy import Chance
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_clients import PROBE
from replicante.testing.sim_history import Fate, Operation
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_world import Phase

if TYPE_CHECKING:
    from replicante.testing.sim_generation import Generation

LEADER_WITHIN = 10
"""Election timeouts until the healed majority has a leader."""
NARROW_LEADER_WITHIN = 40
"""As above, when the timeouts of all peers are nearly the same and split votes are likely."""
CHANGES_END_WITHIN = 3
"""Whoever asked for a change of the members has given up by then."""
ANSWERED_WITHIN = 10
CONVERGED_WITHIN = 6
WORK_DONE_WITHIN = 12
"""And three times as long as a claim lasts: each of a few workers may have died with one."""
STAYS_FOR = 4
HANDED_OVER_WITHIN = 2


class Outsider(enum.Enum):
    """What becomes of a peer outside the healed majority."""

    DEAD = "dead"
    CUT_OFF = "cut_off"
    DEAF = "deaf"
    """Hears nobody, is heard by everybody: the disruptive server of the thesis."""
    MUTE = "mute"


class Progress:
    def __init__(self, cluster: Generation, chance: Chance) -> None:
        self._cluster = cluster
        self._chance = chance
        options = cluster.options
        self._timeout_us = options.election_ms_max * 1_000
        is_narrow = options.election_ms_max * 2 < options.election_ms_min * 3
        self._leader_within = NARROW_LEADER_WITHIN if is_narrow else LEADER_WITHIN
        if options.change_gap_us:
            self._healed = self._who_may_count()
        else:
            voters = cluster.voters
            size = chance.between(len(voters) // 2 + 1, len(voters))
            self._healed = chance.some(voters, size)
            self._healed += [p for p in cluster.peers if p not in voters and chance.happens(0.5)]
        self._has_deaf = False
        self._half_deaf: SimPeer | None = None

    def demand(self) -> None:
        """Raises Violation when there is no progress."""
        self._heal()
        # Twice: what a cut had held back, a request to change the members too, arrives when it is
        # healed, and may still be carried out.
        for _ in range(2 if self._cluster.options.change_gap_us else 0):
            self._run(CHANGES_END_WITHIN)
            self._wait("a leader emerges", self._leader_within, self._has_settled)
            self._healed = self._cluster.members
            self._mend()
        self._wait("a leader emerges", self._leader_within, self._has_leader)
        self._wait("old operations end", ANSWERED_WITHIN, self._has_no_old_work)
        operations = self._ask()
        self._wait(
            "everything is answered",
            ANSWERED_WITHIN,
            lambda: all(operation.fate is not Fate.OPEN for operation in operations),
        )
        for operation in operations:
            if operation.fate is not Fate.OK and not self._was_jumped_over(operation):
                raise Violation("everything is answered", str(operation))
        self._wait("all converge", CONVERGED_WITHIN, self._has_converged)
        if self._cluster.options.works:
            self._demand_work()
        self._demand_stability()
        self._demand_hand_over()
        self._demand_replacement()

    def _was_jumped_over(self, operation: Operation) -> bool:
        """Its peer took a snapshot instead of the entry that did it, and the run remembers no
        outcome of its length: unknown is the honest answer."""
        bounds = dict(self._cluster.options.bounds)
        peer = next(it for it in self._cluster.peers if it.name == operation.peer)
        is_later = peer.installed_us >= operation.invoked_us
        is_forgotten = bounds["SESSION_OUTCOME_BYTES_MAX"] == 0 and is_later
        return operation.fate is Fate.INFO and is_forgotten

    # --- steps -------------------------------------------------------------------------------

    def _heal(self) -> None:
        cluster, network = self._cluster, self._cluster.network
        network.calm()
        network.heal_all()
        outsiders = [peer for peer in cluster.peers if peer not in self._healed]
        for peer in outsiders:
            fate = self._chance.pick(list(Outsider))
            cluster.trace.note(f"outsider {peer.name} {fate.value}")
            self._break(peer, fate)
        self._mend()

    def _mend(self) -> None:
        """The healed run, and hear each other."""
        cluster = self._cluster
        for peer in self._healed:
            cluster.trace.note(f"healed {peer.name}")
            for other in self._healed:
                if other is not peer:
                    cluster.network.heal(peer.name, other.name)
            peer.stall_until_us = 0
            peer.is_stopping = False
            peer.resume()
            if peer.phase is Phase.DOWN:
                peer.start()

    def _break(self, peer: SimPeer, fate: Outsider) -> None:
        if fate is Outsider.DEAD:
            if peer.phase is not Phase.DOWN:
                peer.crash(loses_machine=True)
            return
        peer.resume()
        if peer.phase is Phase.DOWN:
            peer.start()
        for other in self._cluster.peers:
            if other is peer:
                continue
            if fate in (Outsider.CUT_OFF, Outsider.DEAF):
                self._cluster.network.cut(other.name, peer.name)
            if fate in (Outsider.CUT_OFF, Outsider.MUTE):
                self._cluster.network.cut(peer.name, other.name)
        self._has_deaf |= fate is Outsider.DEAF

    def _ask(self) -> list[Operation]:
        asked = []
        timeout_ms = 2 * ANSWERED_WITHIN * self._cluster.options.election_ms_max
        for peer in self._healed:
            for is_read in (False, True):
                operation = self._cluster.clients.ask(
                    peer,
                    client=PROBE,
                    is_read=is_read,
                    key=1,
                    expected=-1,
                    timeout_ms=timeout_ms,
                )
                if operation is not None:
                    asked.append(operation)
        return asked

    def _demand_work(self) -> None:
        """What clients of the product's state machine had begun can be brought to its end."""
        clients, options = self._cluster.clients, self._cluster.options
        clients.finish(self._healed)
        timeouts = WORK_DONE_WITHIN + 3 * options.held_ms // options.election_ms_max
        self._wait("all work is done", timeouts, clients.is_finished)
        self._wait("all converge", CONVERGED_WITHIN, self._has_converged)
        clients.check_end(self._healed)

    def _demand_stability(self) -> None:
        """Nobody deposes a leader that a majority hears: not even who cannot hear it. Who was told
        by that leader to take over, before, may have been told late."""
        before, clock_ms = self._leading(), self._clock_ms()
        is_disturbed = self._deafen_somebody() or self._has_deaf
        timeouts = STAYS_FOR if is_disturbed else 1
        self._run(timeouts)
        after = self._leading()
        if after != before and after not in self._cluster.raft.handed_over:
            raise Violation("a heard leader stays", f"{before} and then {after}")
        served_ms = timeouts * self._cluster.options.election_ms_max
        counted_ms = self._clock_ms() - clock_ms
        if counted_ms < served_ms * 0.9 - 2 * self._cluster.options.heartbeat_ms:
            raise Violation("served time counts", f"{counted_ms} ms of {served_ms}")

    def _demand_hand_over(self) -> None:
        """A leader that is asked to gives its place to somebody who takes it."""
        leader = self._leader()
        voters = [peer for peer in self._healed if peer in self._cluster.voters]
        if leader is None or len(voters) < 2 or self._chance.happens(0.5):
            return
        leader.hand_over()
        # To any voter: to one that hears all but the leader before, too.
        self._wait(
            "leadership is handed over",
            HANDED_OVER_WITHIN,
            lambda: self._followed(self._cluster.voters) not in (None, leader),
        )

    def _demand_replacement(self) -> None:
        """A killed leader is replaced: at once where its end is noticed, else after a timeout."""
        if self._half_deaf is not None:
            for peer in self._healed:
                self._cluster.network.heal(peer.name, self._half_deaf.name)
            self._healed.append(self._half_deaf)
            self._wait("all converge", CONVERGED_WITHIN, self._has_converged)
        leader = self._leader()
        voters = [peer for peer in self._healed if peer in self._cluster.voters]
        is_spare = len(voters) > len(self._cluster.voters) // 2 + 1
        if leader is None or not is_spare or self._chance.happens(0.5):
            return
        killed_us = self._cluster.schedule.now_us
        leader.crash()
        self._healed.remove(leader)
        self._wait("a killed leader is replaced", self._leader_within, self._has_leader)
        elapsed_ms = (self._cluster.schedule.now_us - killed_us) / 1_000
        if elapsed_ms < self._cluster.options.election_ms_min:
            self._cluster.count("leader_replaced_fast")

    def _deafen_somebody(self) -> bool:
        """One follower hears everybody but the leader: it campaigns, and nobody may follow it."""
        leader = self._leader()
        voters = [peer for peer in self._healed if peer in self._cluster.voters]
        followers = [peer for peer in voters if peer is not leader]
        is_spare = len(voters) > len(self._cluster.voters) // 2 + 1
        if leader is None or not is_spare or self._chance.happens(0.5):
            return False
        half_deaf = self._chance.pick(followers)
        self._cluster.network.cut(leader.name, half_deaf.name)
        self._healed.remove(half_deaf)
        self._half_deaf = half_deaf
        return True

    def _clock_ms(self) -> int:
        leader = self._leader()
        return 0 if leader is None or leader.driver is None else leader.driver.clock_ms

    def _leading(self) -> tuple[str, int] | None:
        leader = self._leader()
        if leader is None or leader.driver is None:
            return None
        return leader.name, leader.driver.engine.term

    # --- conditions --------------------------------------------------------------------------

    def _leader(self) -> SimPeer | None:
        return self._followed(self._healed)

    def _followed(self, among: list[SimPeer]) -> SimPeer | None:
        """Leads, by the word of every healed peer."""
        leaders = [
            peer
            for peer in among
            if peer.driver is not None and peer.driver.engine.is_own_term_committed
        ]
        if len(leaders) != 1:
            return None
        key = leaders[0].key
        for peer in self._healed:
            if peer.driver is None or peer.driver.engine.leader_key != key:
                return None
        return leaders[0]

    def _who_may_count(self) -> list[SimPeer]:
        """Members of the committed configuration, and of any that is in a log and may come to be:
        with less than all of them, a majority may be gone for good."""
        keys = {peer.key for peer in self._cluster.members}
        for peer in self._cluster.peers:
            keys |= {member.key for member in peer.disk.configuration[1].members}
        return [peer for peer in self._cluster.peers if peer.key in keys]

    def _has_settled(self) -> bool:
        """Somebody leads, and what the members are is certain."""
        return any(
            peer.driver is not None
            and peer.driver.engine.is_own_term_committed
            and peer.driver.engine.is_configuration_committed
            for peer in self._cluster.members
        )

    def _has_leader(self) -> bool:
        return self._leader() is not None

    def _has_no_old_work(self) -> bool:
        return not any(self._cluster.clients.has_work_at(peer) for peer in self._healed)

    def _has_converged(self) -> bool:
        leader = self._leader()
        if leader is None or leader.driver is None:
            return False
        last_index = leader.driver.log.last_index
        return all(
            peer.driver is not None and peer.machine.applied_index == last_index
            for peer in self._healed
        )

    def _wait(self, rule: str, timeouts: int, is_done: object) -> None:
        cluster = self._cluster
        until_us = cluster.schedule.now_us + timeouts * self._timeout_us
        assert callable(is_done)
        if is_done() or cluster.schedule.run(until_us=until_us, is_done=is_done):
            return
        states = []
        for peer in cluster.peers:
            if peer.driver is None:
                states.append(f"{peer.name} {peer.phase.value}")
                continue
            engine = peer.driver.engine
            states.append(
                f"{peer.name} {engine.role.value} term {engine.term} leader {engine.leader_key}"
                f" last {engine.log.last_index} commit {engine.commit_index}"
                f" applied {peer.machine.applied_index}"
            )
        names = ",".join(peer.name for peer in self._healed)
        raise Violation(rule, f"not within {timeouts} timeouts at {names}: {'; '.join(states)}")

    def _run(self, timeouts: int) -> None:
        cluster = self._cluster
        cluster.schedule.run(until_us=cluster.schedule.now_us + timeouts * self._timeout_us)

"""A command that no state machine can apply, and the entry that is skipped because of it.

Called by sim_cluster in the middle of a run. Every peer that meets the entry ends; when nobody
goes on, all are stopped, and the product's `skip_rules` treat the log of each. What they make of
it is judged here; that the peers go on alike, by everything that is judged always.
"""

from __future__ import annotations

from typing import NoReturn

from replicante.ids import stamp_index
from replicante.raft.installations import finish_installation
from replicante.raft.skip_rules import Stopped, first_broken_of, look_at, skip_in
from replicante.state.eventlog import EventCode
from replicante.testing.entropy import Chance
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_clients import PROBE
from replicante.testing.sim_generation import Generation
from replicante.testing.sim_history import Fate, Operation
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_recovery import copy_of
from replicante.testing.sim_recovery_checks import events_of
from replicante.testing.sim_world import Phase

_REASON = "poison"
_ASKED_MAX = 3
_MET_WITHIN = 3
"""Election timeouts until a command is committed, or given up."""


def poison(group: Generation) -> None:
    """Raises Violation. The peers run again afterwards, whether or not anything was skipped."""
    chance = Chance(group.options.seed, "poison")
    asked = None
    for _ in range(_ASKED_MAX):
        asked = _ask(group, chance)
        if group.history.poisoned_index:
            break
        group.history.poison = 0  # whatever becomes of it, it is a command like any other
    else:
        group.count("poison_not_committed")
        return
    if asked is None or asked.fate is Fate.OK:
        _fail("what breaks is not answered", str(asked))
    for peer in group.peers:
        if peer.phase is not Phase.DOWN:
            peer.crash(loses_machine=chance.happens(0.3))
    _skip(group, [peer for peer in group.peers if peer.process])
    for peer in group.peers:
        if peer.process:
            peer.start()


def _ask(group: Generation, chance: Chance) -> Operation | None:
    """For the command, and waits until it is committed and nobody runs, or it is given up."""
    timeout_ms = _MET_WITHIN * group.options.election_ms_max
    running = [peer for peer in group.peers if peer.driver is not None]
    leading = [it for it in running if it.driver is not None and it.driver.engine.is_leader]
    asked = None
    if running:
        asked = group.clients.ask(
            chance.pick(leading or running),
            client=PROBE,
            is_read=False,
            key=1,
            expected=-1,
            timeout_ms=timeout_ms,
        )
    if asked is not None:
        group.history.poison = asked.number
    group.schedule.run(
        until_us=group.schedule.now_us + timeout_ms * 1_000,
        is_done=lambda: not any(peer.is_running for peer in group.peers),
    )
    return asked


def _skip(group: Generation, peers: list[SimPeer]) -> None:
    index, ledger = group.history.poisoned_index, group.raft.ledger
    treated = []
    for peer in peers:
        finish_installation(peer.disk, peer.home.open(group.history.applied))
        # Who has an entry there that was never committed is left out, as the command says.
        if peer.disk.chain_at(index) in (None, ledger[index].chain):
            treated.append(peer)
    common = {peer.name: group.common_index(peer) for peer in treated}
    best = max(treated, key=lambda peer: common[peer.name])
    if common[best.name] < group.raft.committed_index:
        _fail("durable on a quorum", f"{best.name} has {common[best.name]} and nobody has more")
    report = skip_in(
        [_look_at(peer, index, group) for peer in treated],
        index,
        reason=_REASON,
        first_broken=lambda it: _first_broken(group, it),
    )
    if report.next_broken is not None:
        _fail("an entry is skipped once", f"{report.next_broken} breaks after {index}")
    group.count("entry_skipped")
    group.note_skipped(index, best)
    for peer in treated:
        for place in range(index, common[peer.name] + 1):
            if peer.disk.chain_at(place) != ledger[place].chain:
                _fail("skipped alike", f"{peer.name} and {best.name} differ at entry {place}")


def _look_at(peer: SimPeer, index: int, group: Generation) -> Stopped:
    header, loaded = peer.disk.header, peer.disk.load()
    assert header is not None
    state = peer.home.open(group.history.applied).applied_index
    return look_at(peer.name, header, peer.disk, loaded, index=index, state=state)


def _first_broken(group: Generation, it: Stopped) -> int | None:
    peer = next(peer for peer in group.peers if peer.name == it.folder)
    _, machine = copy_of(group, peer, group.history.break_if_poisoned)
    return first_broken_of(it.log.verified(), machine)


def check_told(group: Generation) -> None:
    """At the end: every state that can tell of it does. Raises Violation."""
    index = group.history.poisoned_index
    for peer in group.peers:
        if not index or peer.driver is None or peer.home.state is None:
            continue
        if peer.machine.applied_index < index:
            continue
        with peer.home.state.view() as view:
            told = [it.code for it in events_of(view) if stamp_index(it.id) == index]
        group.count("skip_told")
        if EventCode.RAFT_ENTRY_SKIPPED not in told:
            _fail("a skip is told of", f"{peer.name} tells {told} of entry {index}")


def _fail(rule: str, text: str) -> NoReturn:
    raise Violation(rule, text)

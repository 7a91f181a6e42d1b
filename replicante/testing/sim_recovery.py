"""Disasters of a simulated cluster, and the generation that begins after them: from a backup that
was taken at any moment, or from the survivor of a lost majority that `recover inspect` ranks first.

Called by sim_cluster in the middle of a run. What decides is the product's own (`generations`,
`survivors`, `inspecting`), on simulated disks; moving files is its own tests' business. Judged
here is what only somebody who saw everything can know: what was committed, and what clients were
told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from replicante.errors import CorruptData
from replicante.raft.backup import Manifest, describe
from replicante.raft.generations import RESTORED, How, Recovery, begin_logs, end_of, replay
from replicante.raft.host import MachineHost
from replicante.raft.inspecting import FoundState, survivor_of
from replicante.raft.installations import finish_installation
from replicante.raft.log import Base
from replicante.raft.membership import majority
from replicante.raft.snapshot_digest import new_digest
from replicante.raft.state_machine import DurableStateMachine
from replicante.raft.survivors import Advice, Survivor, Way, advise, rank
from replicante.testing.entropy import Chance
from replicante.testing.sim_birth import later_birth
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_files import SimFiles
from replicante.testing.sim_generation import Generation, digest_of
from replicante.testing.sim_history import Fate
from replicante.testing.sim_machine import Report
from replicante.testing.sim_options import Disaster
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_recovery_checks import check_ended, held_count
from replicante.testing.sim_states import StateHome
from replicante.testing.sim_world import Phase

_COPY = Path("copy")
_IS_CUT_BEFORE = 0.6
_RETURNS = 0.6
"""Share of peers of the former generation that come back some time."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A backup, and the copy of the state that is in it."""

    manifest: Manifest
    state: bytes
    home: StateHome
    machine: DurableStateMachine


def recover(former: Generation) -> Generation | None:
    """The next generation, whose peers are not started yet; None when there was no way to begin
    one. Raises Violation."""
    chance = Chance(former.options.seed, "recovery")
    if former.options.disaster is Disaster.BACKUP:
        return _from_backup(former, chance)
    return _from_survivor(former, chance)


# --- from a backup -------------------------------------------------------------------------------


def _from_backup(former: Generation, chance: Chance) -> Generation | None:
    running = [peer for peer in former.peers if peer.is_running]
    found = (_take(former, peer) for peer in chance.some(running, len(running)))
    taken = next((it for it in found if it is not None), None)
    if taken is None:
        former.count("backup_impossible")
        return None
    # What is written from now on is lost with the former generation.
    gap_us = chance.between(0, former.options.safety_ms * 100)
    former.live(until_us=former.schedule.now_us + gap_us)
    former.count("backup_restored")
    voters = chance.between(1, 3)
    members = {f"p{number}": f"sim:{number}" for number in range(1, voters + 1)}
    later = _begin(former, chance, taken, members, RESTORED, taken.manifest.index)
    for peer in former.peers:
        if peer.phase is not Phase.DOWN and chance.happens(0.5):
            peer.crash(loses_machine=True)
    _let_return(former, chance)
    return later


def _take(former: Generation, peer: SimPeer) -> _Taken | None:
    """As `PeerSnapshots.backup`: what is durable at this moment. None where nothing is yet."""
    driver = peer.driver
    assert driver is not None
    try:
        index = driver.host.machine.export(_COPY)
    except CorruptData:
        return None
    state = peer.files.held.pop(_COPY)
    if not driver.log.first_index <= index <= driver.log.last_index:
        # Trimmed meanwhile, or the state jumped and the log follows: the product looks it up after.
        return None
    base = driver.log.base_at(index)
    home = _empty_home(former)
    machine = home.open(_hear_nothing)
    home.files.write(_COPY, state)
    machine.install(_COPY, index=index)
    _check_history(former, base, digest_of(home, machine))
    return _Taken(_describe(peer, base, state), state, home, machine)


# --- from a survivor -----------------------------------------------------------------------------


def _from_survivor(former: Generation, chance: Chance) -> Generation | None:
    if chance.happens(_IS_CUT_BEFORE):
        _cut_leader_off(former, chance)
    voters = former.voters
    lost_count = len(voters) - majority(len(voters)) + 1
    if lost_count == len(voters):
        former.count("nobody_survived")
        return None
    if chance.happens(0.3):
        lost_count = chance.between(lost_count, len(voters) - 1)
    lost = chance.some(voters, lost_count)
    for peer in former.peers:
        if peer.phase is not Phase.DOWN:
            peer.crash(loses_machine=True)
    survivors = {it.name: it for it in former.peers if it not in lost and it.process}
    ranked = rank([_inspect(it) for it in survivors.values()])
    for peer in survivors.values():  # as its next start does, which `recover force` asks for
        finish_installation(peer.disk, peer.home.open(_hear_nothing))
    advice = advise(ranked)
    _check_advice(former, ranked, advice)
    former.count(advice.way.value)
    best = survivors[advice.use[0]]
    taken = _bring_to_end(former, best)
    others = [it for it in former.voters if it is not best]
    named = [best, *chance.some(others, chance.between(0, 2))]
    members = {it.member.peer_id: it.member.raft_address for it in named}
    recovery = Recovery(how=How.FORCED, reason="a majority is lost")
    common_index = former.common_index(best)
    later = _begin(former, chance, taken, members, recovery, common_index)
    _let_return(former, chance)
    return later


def _cut_leader_off(former: Generation, chance: Chance) -> None:
    """For a moment before the end: so survivors differ in more than their lengths."""
    leaders = [it for it in former.peers if it.driver is not None and it.driver.engine.is_leader]
    for leader in leaders:
        for other in former.peers:
            if other is not leader:
                former.network.cut(leader.name, other.name)
                former.network.cut(other.name, leader.name)
    longest_us = 3_000 * former.options.election_ms_max
    former.live(until_us=former.schedule.now_us + chance.between(0, longest_us))


def _inspect(peer: SimPeer) -> Survivor:
    header, machine = peer.disk.header, peer.home.open(_hear_nothing)
    assert header is not None
    unfinished = "" if peer.disk.marker() is None else "a snapshot was being installed"
    found = FoundState(machine.applied_index, unfinished=unfinished)
    return survivor_of(peer.name, header, peer.disk, found)


def _bring_to_end(former: Generation, best: SimPeer) -> _Taken:
    """As `force_directories`: a copy of the durable state takes the rest of the log."""
    done: list[tuple[int, int]] = []
    home, machine = copy_of(
        former, best, lambda number, index, ordinal, outcome: done.append((number, index))
    )
    loaded = best.disk.load()
    replay(best.disk.verified(), loaded, machine, whose=best.name)
    for number, index in done:
        operation = former.history.operations[number - 1]
        # It may hold what nobody knows the outcome of, never what was refused.
        if operation.fate is Fate.FAIL:
            _fail("definite is definite", f"entry {index} of a survivor does {operation}")
    machine.export(_COPY)
    state = home.files.held.pop(_COPY)
    base = end_of(loaded)
    if base.index <= former.raft.committed_index:
        _check_history(former, base, digest_of(home, machine), may_differ=True)
    return _Taken(_describe(best, base, state), state, home, machine)


def copy_of(
    group: Generation, peer: SimPeer, report: Report
) -> tuple[StateHome, DurableStateMachine]:
    """Of the state that a stopped peer has durably, in a place of its own."""
    source = peer.home.open(_hear_nothing)
    home = _empty_home(group)
    machine = home.open(report)
    if source.applied_index > 0:
        index = source.export(_COPY)
        home.files.write(_COPY, peer.files.held.pop(_COPY))
        machine.install(_COPY, index=index)
    return home, machine


def _check_advice(former: Generation, ranked: tuple[Survivor, ...], advice: Advice) -> None:
    """What `survivors` says of what may be lost is true."""
    raft, best = former.raft, ranked[0]
    disk = next(it.disk for it in former.peers if it.name == best.folder)
    for survivor in ranked:
        index = survivor.committed_index
        if index > raft.committed_index:
            _fail("certain is committed", f"{survivor.folder} is said to be certain of {index}")
        if index and not disk.has(index, raft.ledger[index].chain):
            _fail("the best has most", f"{best.folder} lacks entry {index} of {survivor.folder}")
    if advice.way not in (Way.FORCE_WITHOUT_LOSS, Way.FORCE):
        _fail("who is too few is forced", f"{advice.way.value}: {advice.use}")
    index = raft.committed_index
    is_whole = disk.has(index, raft.ledger[index].chain)
    if advice.way is Way.FORCE_WITHOUT_LOSS and not is_whole:
        _fail("nothing acknowledged is lost", f"{best.folder} is to be forced without {index}")


# --- both ----------------------------------------------------------------------------------------


def _begin(
    former: Generation,
    chance: Chance,
    taken: _Taken,
    members: dict[str, str],
    recovery: Recovery,
    common_index: int,
) -> Generation:
    logs = begin_logs(
        taken.manifest,
        members,
        recovery=recovery,
        entropy=chance,
        wall_ms=former.peers[0].clock.wall_ms(),
    )
    first = logs[0].record
    held_before = held_count(taken.home)
    if held_before:
        former.count("held_at_the_end")
    MachineHost(taken.machine).apply(first)
    check_ended(taken.home, taken.machine, first)
    options = replace(
        former.options,
        voters_count=len(members),
        learners_count=0,
        spares_count=2 if former.options.change_gap_us else 0,
        durable_machines=chance.between(0, len(members)),
    )
    birth = later_birth(
        former.birth.genesis,
        logs,
        (taken.manifest, taken.state),
        spares_count=options.spares_count,
        digests=((first.index, digest_of(taken.home, taken.machine)),),
        versions=_told(former, common_index),
        number=len(former.history.operations),
    )
    former.calm()
    former.trace.note(f"recovered {recovery.how.value} from {taken.manifest.index}")
    return Generation(options, former.ground, birth)


def _let_return(former: Generation, chance: Chance) -> None:
    """Some of the former peers are started again, by somebody who knows of no recovery."""
    for peer in former.peers:
        if peer.phase is not Phase.DOWN or not peer.process or not chance.happens(_RETURNS):
            continue

        def come_back(peer: SimPeer = peer) -> None:
            if peer.phase is Phase.DOWN:
                former.count("former_peer_returned")
                peer.start()

        former.schedule.after(chance.between(0, former.options.safety_ms * 500), come_back)


def _told(former: Generation, index: int) -> dict[int, int]:
    """key → newest version that a client was told was written by an entry up to `index`."""
    told: dict[int, int] = {}
    for operation in former.history.operations:
        if operation.fate is Fate.OK and not operation.is_read and operation.index <= index:
            told[operation.key] = max(told.get(operation.key, 0), operation.version)
    return told


def _check_history(
    former: Generation, base: Base, digest: int, *, may_differ: bool = False
) -> None:
    """The state is one that the cluster had, at an entry that was committed.

    may_differ: the entry may be one that another took the place of."""
    known = former.raft.ledger.get(base.index)
    if known is None or known.chain != base.chain:
        if may_differ:
            return
        _fail("a backup is of the history", f"entry {base.index} was not committed")
    seen = former.digests.get(base.index)
    if seen is None:
        return
    former.count("copy_compared")
    if seen != digest:
        _fail("a copy is the state", f"as of entry {base.index}")


def _describe(peer: SimPeer, base: Base, state: bytes) -> Manifest:
    header = peer.disk.header
    assert header is not None
    measured = len(state), new_digest(state).digest()
    return describe(header, base, measured, wall_ms=peer.clock.wall_ms())


def _empty_home(former: Generation) -> StateHome:
    return StateHome(
        SimFiles(),
        has_real_state=bool(former.options.works),
        is_durable=True,
        unflushed_max=3,
        save_entries=1,
    )


def _hear_nothing(number: int, index: int, ordinal: int, outcome: bytes) -> None:
    """These commands were reported when their peer applied them."""


def _fail(rule: str, text: str) -> NoReturn:
    raise Violation(rule, text)

"""A peer that decides alone, with a learner: how every cluster that grows begins."""

from __future__ import annotations

from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.host import InMemoryMachine, MachineHost
from replicante.raft.log import Log
from replicante.raft.membership import Configuration, Member
from replicante.raft.records import CHAIN_ZERO, encode_detail, make_record
from replicante.raft.state_machine import EntryKind
from replicante.testing.entropy import Chance
from replicante.testing.sim_disk import SimDisk
from replicante.testing.sim_machine import RegisterMachine

VOTER = Member("a", "a-disk", "a:1")
LEARNER = Member("b", "b-disk", "b:1")


def genesis():
    return make_record(
        index=1,
        term=0,
        kind=EntryKind.GENESIS,
        clock_ms=0,
        wall_ms=0,
        payload=encode_detail({}),
        chain_before=CHAIN_ZERO,
    )


def start(disk):
    return d.Driver(
        identity=d.Identity(peer_id="a", key=VOTER.key, incarnation="a-disk", boot=1),
        configuration=Configuration(voters=(VOTER,), learners=(LEARNER,)),
        log=Log(disk, disk.load()),
        host=MachineHost(InMemoryMachine(RegisterMachine(lambda *told: None))),
        entropy=Chance(1, "a"),
        now_ms=0,
    )


def test_a_learner_hears_of_a_term_only_when_the_sole_voter_has_it_on_disk():
    """Told earlier, and forgotten in a crash, the same term would begin with another entry."""
    disk = SimDisk(genesis())
    driver = start(disk)
    effects = driver.step([d.LinkChanged(LEARNER.key, True)], now_ms=1, wall_ms=7)
    assert driver.engine.is_leader
    assert disk.hard.term < driver.engine.term
    assert not effects.early
    disk.write(driver.log.take_writes())
    driver.persisted()
    sent = [message for _, message in effects.late if isinstance(message, m.Append)]
    assert sent
    assert {message.term for message in sent} == {disk.hard.term}

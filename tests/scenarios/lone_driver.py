"""One peer without a network: its driver over a simulated disk. For scenarios."""

from __future__ import annotations

from replicante.raft import driver as d
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.log import Log
from replicante.raft.membership import Configuration, Member, configuration_payload
from replicante.raft.records import CHAIN_ZERO, make_record
from replicante.raft.state_machine import EntryKind
from replicante.testing.entropy import Chance
from replicante.testing.sim_disk import SimDisk
from replicante.testing.sim_machine import RegisterMachine


def member(name):
    return Member(name, f"{name}-disk", f"{name}:1")


def genesis(voters, learners):
    configuration = Configuration(
        voters=tuple(map(member, voters)), learners=tuple(map(member, learners))
    )
    return make_record(
        index=1,
        term=0,
        kind=EntryKind.GENESIS,
        clock_ms=0,
        wall_ms=0,
        payload=configuration_payload(configuration),
        chain_before=CHAIN_ZERO,
    )


class LonePeer:
    """The first of `voters`; other peers are what the test says on their behalf."""

    def __init__(self, voters, *, learners=""):
        self.disk = SimDisk(genesis(voters, learners))
        me = member(voters[0])
        self.driver = d.Driver(
            identity=d.Identity(peer_id=me.peer_id, key=me.key, incarnation=me.incarnation, boot=1),
            log=Log(self.disk, self.disk.load()),
            host=MachineHost(InMemoryMachine(RegisterMachine(lambda *told: None))),
            entropy=Chance(1, me.peer_id),
            now_ms=0,
        )

    def step(self, *inputs, now_ms):
        return self.driver.step(inputs, now_ms=now_ms, wall_ms=0)

    def sync(self):
        if self.driver.log.has_writes:
            self.disk.write(self.driver.log.take_writes())
            self.driver.persisted()

    def hears(self, name, *messages, now_ms):
        """What it says to `messages` of `name`: a list of messages."""
        key = member(name).key
        effects = self.step(*(d.Received(key, it) for it in messages), now_ms=now_ms)
        self.sync()
        return [message for _, message in effects.early + effects.late]

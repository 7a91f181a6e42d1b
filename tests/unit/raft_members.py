"""A small cluster whose members change, for tests of the Raft room."""

from __future__ import annotations

from raft_harness import Cluster, Station, key, member, record_after

from replicante.raft import driver as d
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.membership import Configuration, Member, configuration_payload
from replicante.raft.records import Record
from replicante.raft.state_machine import EntryKind


class MemberCluster(Cluster):
    def change(
        self, name: str, kind: ChangeKind, target: str = "", *, timeout_ms: int = 10_000
    ) -> int:
        """Asked of `name`, of whose answer `changes` tells."""
        self._ticket += 1
        whom = member(target) if target else Member("", "", "")
        change = Change(
            kind=kind,
            peer_id=whom.peer_id,
            incarnation=whom.incarnation,
            address=whom.raft_address,
        )
        self.step(name, d.ChangeInput(self._ticket, change, self.now_ms + timeout_ms))
        return self._ticket

    def made(self, kind: ChangeKind, target: str = "") -> int:
        """Asked of the leader, and done: the index."""
        ticket = self.change(self.leader.name, kind, target)
        self.run(2_000)
        assert self.changes[ticket].error is None, self.changes[ticket].error
        return self.changes[ticket].index

    def join(self, name: str) -> None:
        """A peer that has the first entry and is no member."""
        place = (len(self.stations) + 1) / 20
        self.stations[name] = Station(name, voters=self.voters, fraction=place, now_ms=self.now_ms)
        self._link_all(name)
        for other in self.alive:
            if other.name != name:
                self.step(other.name, d.LinkChanged(key(name), is_up=True))


def names(configuration: Configuration) -> tuple[str, str]:
    """Voters, learners."""
    return (
        "".join(sorted(it.peer_id for it in configuration.voters)),
        "".join(sorted(it.peer_id for it in configuration.learners)),
    )


def configured(before: Record, voters: str, learners: str = "", *, term: int) -> Record:
    """The entry that makes this configuration."""
    configuration = Configuration(
        voters=tuple(map(member, voters)), learners=tuple(map(member, learners))
    )
    payload = configuration_payload(configuration)
    return record_after(before, term=term, payload=payload, kind=EntryKind.CONFIGURATION)


def elected(voters: str = "abc", *joiners: str) -> MemberCluster:
    """A leader, and peers with the first entry that are no members."""
    cluster = MemberCluster(voters)
    cluster.elect()
    for name in joiners:
        cluster.join(name)
    return cluster

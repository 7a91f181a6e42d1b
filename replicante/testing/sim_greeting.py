"""How simulated peers of different generations greet each other: what the product's greetings say,
and its own judgement of them.

Called by sim_network. Within one generation the simulator's links need no greeting: whoever is no
member is a guest there.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.raft.frames import Channel, Hello
from replicante.raft.membership import Roster
from replicante.raft.welcome import judge_member
from replicante.testing.sim_disk import SimDisk


@dataclass(frozen=True, slots=True)
class Greeting:
    """Of one process."""

    disk: SimDisk
    roster: Roster
    process: int

    def is_mutual(self, other: Greeting) -> bool:
        """Each of them lets the other in."""
        return self._welcomes(other) and other._welcomes(self)

    def _welcomes(self, other: Greeting) -> bool:
        assert self.disk.header is not None
        return judge_member(other._hello(), self.disk.header, self.roster) is None

    def _hello(self) -> Hello:
        header = self.disk.header
        assert header is not None
        return Hello(
            cluster_name=header.cluster_name,
            cluster_id=ClusterId(header.cluster_id),
            generation=header.generation,
            lineage=header.lineage,
            peer_id=PeerId(header.peer_id),
            incarnation=Incarnation(header.incarnation),
            process=f"{self.process:032x}",
            channel=Channel.VITAL,
            raft_address="sim:1",
            http_address="",
            configuration_index=self.roster.index,
            was_member=self.roster.was_member,
        )

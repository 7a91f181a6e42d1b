"""Which greetings are welcome: of this cluster, and of this recovery of it."""

from __future__ import annotations

import pytest

from replicante.raft.frames import Channel, Hello, RefusalCode
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Configuration, Member, Roster
from replicante.raft.welcome import judge_member

OWN = Member("p1", "1" * 32, "127.0.0.1:1")
OTHER = Member("p2", "2" * 32, "127.0.0.1:2")
HEADER = LogHeader(
    cluster_name="test",
    cluster_id="c" * 32,
    peer_id="p1",
    incarnation=OWN.incarnation,
    generation=2,
    created_wall_ms=0,
    lineage="a" * 32,
)
ROSTER = Roster(
    configuration=Configuration((OWN, OTHER)),
    index=7,
    is_committed=True,
    known=(OWN, OTHER),
    was_member=True,
)


def judged(
    *, generation: int, lineage: str, configuration_index: int, cluster_id="c" * 32, join=""
):
    hello = Hello(
        cluster_name="test",
        cluster_id=cluster_id,
        join=join,
        generation=generation,
        lineage=lineage,
        peer_id="p2",
        incarnation=OTHER.incarnation,
        process="3" * 32,
        channel=Channel.VITAL,
        raft_address=OTHER.raft_address,
        http_address="",
        configuration_index=configuration_index,
    )
    refusal = judge_member(hello, HEADER, ROSTER)
    return None if refusal is None else refusal.code


def test_a_member_of_the_same_recovery_is_welcome():
    assert judged(generation=2, lineage="a" * 32, configuration_index=7) is None


@pytest.mark.parametrize("configuration_index", [7, 99])
def test_a_peer_of_another_cluster_is_refused_by_its_id(configuration_index):
    """Under the same name, and however new it says that its members are."""
    of_another = {"cluster_id": "d" * 32, "configuration_index": configuration_index}
    assert judged(generation=2, lineage="a" * 32, **of_another) is RefusalCode.CLUSTER_ID


@pytest.mark.parametrize("configuration_index", [7, 99])
@pytest.mark.parametrize(("generation", "lineage"), [(1, "a" * 32), (3, "a" * 32), (2, "b" * 32)])
def test_another_recovery_is_not_however_new_its_members_are(
    generation, lineage, configuration_index
):
    """Two histories have entries under one index and term: nothing else would tell them apart."""
    found = judged(generation=generation, lineage=lineage, configuration_index=configuration_index)
    assert found is RefusalCode.GENERATION


def test_a_token_of_before_is_told_that_a_recovery_came_between():
    """Not that the token was used: that would be waited out."""
    guest = {"configuration_index": 0, "cluster_id": "", "join": "d" * 32}
    assert judged(generation=1, lineage="", **guest) is RefusalCode.GENERATION
    assert judged(generation=2, lineage="a" * 32, **guest) is not RefusalCode.GENERATION

"""Who votes: identities, majorities, and the first configuration as everybody writes it."""

from __future__ import annotations

import itertools

import pytest
from raft_harness import member

from replicante.raft.membership import (
    Configuration,
    Member,
    cluster_id_of,
    configuration_of,
    genesis_detail,
    genesis_payload,
    majority,
)
from replicante.raft.records import decode_detail


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (15, 8)])
def test_two_majorities_always_share_a_voter(voters, needed):
    assert majority(voters) == needed
    assert 2 * majority(voters) > voters


def test_a_voter_is_a_peer_with_its_data_directory():
    old, new = Member("a", "disk1", "x:1"), Member("a", "disk2", "x:1")
    configuration = Configuration(voters=(old,))
    assert configuration.is_voter(old.key) and not configuration.is_voter(new.key)
    assert configuration.find(new.key) is None
    assert configuration.find_peer("a") is old


def test_another_address_is_the_same_voter():
    assert Member("a", "disk", "x:1").key == Member("a", "disk", "y:2").key


def test_a_learner_is_a_member_and_no_voter():
    configuration = Configuration(voters=(member("a"),), learners=(member("b"),))
    assert configuration.find(member("b").key) is not None
    assert not configuration.is_voter(member("b").key)
    assert configuration.members == (member("a"), member("b"))


def test_everybody_writes_the_same_genesis_in_whatever_order_it_met_the_others():
    payloads = {
        genesis_payload(cluster_name="test", voters=order)
        for order in itertools.permutations([member(name) for name in "abc"])
    }
    assert len(payloads) == 1
    (payload,) = payloads
    assert configuration_of(decode_detail(payload)).voters == tuple(map(member, "abc"))


def test_the_cluster_id_tells_names_voters_and_directories_apart():
    voters = [member("a"), member("b")]
    ids = {
        cluster_id_of(genesis_payload(cluster_name="test", voters=voters)),
        cluster_id_of(genesis_payload(cluster_name="other", voters=voters)),
        cluster_id_of(genesis_payload(cluster_name="test", voters=voters[:1])),
        cluster_id_of(
            genesis_payload(cluster_name="test", voters=[member("a"), Member("b", "new", "b:1")])
        ),
    }
    assert len(ids) == 4 and all(len(it) == 32 for it in ids)


def test_a_detail_without_learners_has_none():
    detail = genesis_detail(cluster_name="test", voters=[member("a")])
    assert configuration_of(detail) == Configuration(voters=(member("a"),))
    detail["learners"] = [["b", "b-disk", "b.example:1"]]
    assert configuration_of(detail).learners == (member("b"),)

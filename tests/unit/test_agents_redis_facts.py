"""What the Redis agent makes of INFO."""

from __future__ import annotations

import pytest

from replicante.agents.sdk import NodeStatus, ShardRole, Sight
from replicante.agents.stores.redis.facts import NOWHERE, address, read_facts, shard
from replicante.agents.stores.redis.membership import Membership

COMMON = {
    "redis_version": "6.2.5",
    "loading": 0,
    "master_replid": "a" * 40,
    "master_failover_state": "no-failover",
    "master_repl_offset": 70,
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 1_000_000,
    "mem_fragmentation_ratio": 1.25,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "err",
    "aof_rewrite_in_progress": 0,
    "rdb_last_bgsave_status": "ok",
    "rdb_bgsave_in_progress": 1,
    "rdb_last_save_time": 1_767_225_600,
    "rdb_changes_since_last_save": 7,
}
PRIMARY = {
    **COMMON,
    "role": "master",
    "connected_slaves": 2,
    "slave0": {"ip": "127.0.0.1", "port": 7002, "state": "online", "offset": 70, "lag": 0},
    "slave1": {"ip": "127.0.0.1", "port": 7003, "state": "wait_bgsave", "offset": 0, "lag": 0},
    "slave_expires_tracked_keys": 0,
}
REPLICA = {
    **COMMON,
    "role": "slave",
    "master_host": "127.0.0.1",
    "master_port": 7001,
    "master_link_status": "up",
    "master_last_io_seconds_ago": 2,
    "master_sync_in_progress": 0,
    "slave_repl_offset": 60,
}


def test_a_primary_is_at_its_own_offset_and_counts_replicas_that_are_online():
    facts = read_facts(PRIMARY)
    assert (facts.role, facts.offset, facts.follows) == (ShardRole.PRIMARY, 70, None)
    assert facts.replicas == (("127.0.0.1", 7002),)
    assert shard(facts, Sight.UNKNOWN).upstream is None


def test_a_replica_is_where_it_has_read_to_not_where_the_stream_is():
    facts = read_facts(REPLICA)
    found = shard(facts, Sight.UP)
    assert (found.role, found.commit_offset.value) == (ShardRole.SECONDARY, 60)
    assert (found.upstream.address, found.upstream.silent_ms) == ("127.0.0.1:7001", 2_000)


def test_a_replica_without_its_primary_is_healthy_and_may_be_promoted():
    facts = read_facts(
        {**REPLICA, "master_link_status": "down", "master_link_down_since_seconds": 5}
    )
    assert facts.status == (NodeStatus.HEALTHY, None)
    assert (facts.role, facts.silent_ms) == (ShardRole.SECONDARY, 5_000)


def test_a_copy_under_way_is_never_taken_for_a_whole_one():
    facts = read_facts({**REPLICA, "master_link_status": "down", "master_sync_in_progress": 1})
    assert facts.status[0] is NodeStatus.JOINING_CLUSTER
    assert facts.role is ShardRole.RECOVERING
    assert read_facts({**REPLICA, "loading": 1}).role is ShardRole.RECOVERING


def test_a_link_that_was_never_up_has_no_age():
    never = {**REPLICA, "master_link_status": "down", "master_link_down_since_seconds": -1}
    assert read_facts(never).silent_ms is None


@pytest.mark.parametrize("missing", ["master_failover_state", "master_replid", "role"])
def test_an_answer_of_an_older_server_is_not_guessed_at(missing):
    with pytest.raises(KeyError):
        read_facts({name: value for name, value in PRIMARY.items() if name != missing})


@pytest.mark.parametrize("value", ["", "host", ":1", "host:", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="host:port"):
        address(value)


def test_membership_is_read_back_and_a_new_node_follows_nobody(tmp_path):
    prepared = []
    new = Membership(tmp_path, prepare=prepared.append)
    assert (new.is_member, new.follows) == (False, NOWHERE)
    new.save(follows=("10.0.0.1", 7001))
    again = Membership(tmp_path, prepare=prepared.append)
    assert (again.is_member, again.follows) == (True, ("10.0.0.1", 7001))
    assert prepared == [NOWHERE, again.follows, again.follows], "every later start knows it"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"is_member": true, "follows": 7}'])
def test_a_membership_that_nobody_wrote_is_not_guessed_at(tmp_path, content):
    (tmp_path / "membership.json").write_text(content)
    with pytest.raises(ValueError, match="not what an agent wrote"):
        Membership(tmp_path, prepare=lambda _: None)

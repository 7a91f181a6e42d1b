"""What the Redis agent tells of memory, persistence and lag, and what of it outlives the server."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from agent_harness import POLL_SECONDS
from test_agents_redis_after_hang import UNTOUCHED, FakeServer, until
from test_agents_redis_facts import PRIMARY, REPLICA

from replicante.agents.sdk import NodeStatus, Sight, StoreContact
from replicante.agents.stores.redis.after_hang import AfterHang
from replicante.agents.stores.redis.facts import NOWHERE, read_facts, shard
from replicante.agents.stores.redis.last_facts import LastFacts
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.resources import read_resources
from replicante.agents.stores.redis.server import RedisServer, ServerSettings
from replicante.agents.stores.redis.settings import KeptSettings
from replicante.agents.stores.redis.store import RedisStore
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.model.node import WRITES_PROTECTED, WRITES_REFUSED
from replicante.testing.clock import ManualClock

FACTS = read_facts(PRIMARY)


def test_what_is_settled_is_an_attribute_and_what_moves_a_reading():
    found = read_resources(PRIMARY)
    assert found.attributes == {
        "redis.io/memory.max": 0,
        "redis.io/memory.policy": "noeviction",
        "redis.io/append-only": True,
        "redis.io/append-only.last-write-ok": True,
        "redis.io/append-only.last-rewrite-ok": False,
        "redis.io/snapshot.last-save-ok": True,
    }
    assert found.readings == {
        "redis.io/memory.used": 1_000_000,
        "redis.io/memory.fragmentation": 1.25,
        "redis.io/append-only.is-rewriting": False,
        "redis.io/snapshot.is-saving": True,
        "redis.io/snapshot.last-save": "2026-01-01T00:00:00Z",
        "redis.io/snapshot.changes-since": 7,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "much", None, [], True])
def test_what_a_server_does_not_say_or_nobody_could_store_is_not_told(value):
    names = (*read_resources(PRIMARY).attributes, *read_resources(PRIMARY).readings)
    told = ("maxmemory", "maxmemory_policy", "aof_enabled", "mem_fragmentation_ratio")
    found = read_resources({**PRIMARY, **dict.fromkeys(told, value)})
    for told in (found.attributes, found.readings):
        json.dumps(told, allow_nan=False)
        assert told.keys() <= set(names) and None not in told.values()
    assert read_resources({}).attributes == read_resources({}).readings == {}


class Asked(RedisServer):
    """Its primary answers what a test says."""

    def __init__(self, folder, answer) -> None:
        settings = ServerSettings(program=None, folder=folder, host="127.0.0.1", port=7002)
        super().__init__(settings, KeptSettings(folder))
        self.answer = answer

    async def call_copy(self, address, *command, limit_ms):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "lag"),
    [
        ({**PRIMARY, "master_repl_offset": 75}, 15),
        ({**PRIMARY, "master_repl_offset": 55}, 0),
        ({**PRIMARY, "master_replid": "b" * 40}, None),
        ({**REPLICA, "slave_repl_offset": 61}, 1),
        ({}, None),
        (NoContact(StoreContact.SILENT, "it says nothing"), None),
        (Refused("BUSY"), None),
    ],
)
async def test_the_lag_of_a_replica_is_by_the_word_of_its_primary(tmp_path, answer, lag):
    facts = read_facts(REPLICA)
    found = await Asked(tmp_path, answer).lag_bytes(facts)
    assert found == lag
    told = shard(facts, Sight.UP, lag_bytes=found).lag
    assert told is None if lag is None else (told.value, told.unit) == (lag, "bytes")


async def test_nobody_is_asked_for_the_lag_of_a_primary_or_of_a_cut_replica(tmp_path):
    server = Asked(tmp_path, AssertionError("it was asked"))
    cut = read_facts({**REPLICA, "master_link_status": "down", "master_link_down_since_seconds": 5})
    assert await server.lag_bytes(FACTS) is None
    assert await server.lag_bytes(cut) is None


class Down(FakeServer):
    address = ("127.0.0.1", 7001)
    controllers_last = ("sentinel",)
    failure: Exception | None = None

    async def facts(self):
        if self.failure is not None:
            raise self.failure
        return self.seen

    async def controllers(self):
        return ()


class Quiet:
    """What the store runs beside itself, or asks, and this test does not."""

    heard = ()
    agreed = None
    why: str | None = None

    async def listen(self):
        return

    async def run(self):
        return


@contextlib.asynccontextmanager
async def process(folder, server):
    """A store over this folder, until it is cut off."""
    clock = ManualClock()
    store = RedisStore(
        server=server,
        membership=Membership(folder, prepare=lambda _: None),
        sentinels=Quiet(),
        after_hang=AfterHang(server=server, clock=clock),
        hold=Quiet(),
        last=LastFacts(folder, clock=clock),
        kept=KeptSettings(folder),
        cluster_id="c1",
    )
    watching = asyncio.create_task(store.watch())
    try:
        yield store
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_what_a_server_told_last_is_told_while_it_is_down_also_by_the_next_agent(tmp_path):
    server = Down(FACTS, UNTOUCHED)
    kept = tmp_path / "last_facts.json"
    async with process(tmp_path, server) as store:
        await store.node()
        await until(kept.exists)
        moved = {**PRIMARY, "master_repl_offset": 99, "used_memory": 2_000_000}
        server.seen = read_facts(moved)
        await store.node()
        server.failure = NoContact(StoreContact.REFUSED, "gone")
        first = await store.node()
        await until(lambda: json.loads(kept.read_bytes())["moving"]["redis.io/offset"] == 99)
    assert first.node_status is NodeStatus.UNAVAILABLE
    async with process(tmp_path, server) as store:
        again = await store.node()
    assert again == first
    told = again.attributes
    assert (again.store_version.number, told["redis.io/last.role"]) == ("6.2.5", "primary")
    assert (told["redis.io/last.offset"], told["redis.io/last.memory.used"]) == (99, 2_000_000)
    assert told["redis.io/last.append-only.last-rewrite-ok"] is False
    assert told["redis.io/last.snapshot.last-save"] == "2026-01-01T00:00:00Z"
    assert told["redis.io/last.at"]


@pytest.mark.parametrize(
    ("is_kept", "is_in_force", "told"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
async def test_writes_are_protected_where_the_policy_is_kept_and_in_force(
    tmp_path, is_kept, is_in_force, told
):
    """A guard for a moment is no policy."""
    Membership(tmp_path, prepare=lambda _: None).save(follows=NOWHERE)
    KeptSettings(tmp_path).save({"min-replicas-to-write": str(int(is_kept))})
    info = {**PRIMARY, **({"min_slaves_good_slaves": 1} if is_in_force else {})}
    async with process(tmp_path, Down(read_facts(info), UNTOUCHED)) as store:
        assert (await store.store()).attributes[WRITES_PROTECTED] is told


async def test_why_every_write_is_refused_is_an_attribute_of_the_store(tmp_path):
    Membership(tmp_path, prepare=lambda _: None).save(follows=NOWHERE)
    async with process(tmp_path, Down(FACTS, UNTOUCHED)) as store:
        assert (await store.store()).attributes[WRITES_REFUSED] is None
        store._hold.why = "Sentinels name another"
        assert (await store.store()).attributes[WRITES_REFUSED] == "Sentinels name another"
        assert (await store.node()).node_status is NodeStatus.HEALTHY, (
            "no step changes what it does"
        )


async def test_a_server_that_refuses_to_tell_is_of_a_named_status_with_what_is_known(tmp_path):
    server = Down(FACTS, UNTOUCHED)
    async with process(tmp_path, server) as store:
        await store.node()
        server.failure = Refused("BUSY Redis is busy running a script")
        found = await store.node()
        assert (found.node_status, found.contact) == (NodeStatus.UNKNOWN, StoreContact.ANSWERS)
        assert "BUSY" in found.status_reason
        assert found.controllers == ("sentinel",), "not known to be gone"
        assert found.attributes["redis.io/last.role"] == "primary"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"version": 1, "settled": 5, "moving": {}}'])
async def test_facts_that_nobody_wrote_are_no_facts(tmp_path, content):
    (tmp_path / "last_facts.json").write_text(content)
    assert LastFacts(tmp_path, clock=ManualClock()).told is None


async def test_an_answer_does_not_wait_for_the_disk(tmp_path):
    """A folder that cannot be written to is tried again; nobody hears of it."""
    server, kept = Down(FACTS, UNTOUCHED), tmp_path / "last_facts.json"
    (tmp_path / "last_facts.new").mkdir()
    async with process(tmp_path, server) as store:
        assert (await store.node()).contact is StoreContact.ANSWERS
        (tmp_path / "last_facts.new").rmdir()

        async with asyncio.timeout(30):
            while not kept.exists():
                await store.node()
                await asyncio.sleep(POLL_SECONDS)

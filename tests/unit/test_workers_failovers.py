"""Failovers of a simulated store, whatever fails: who took writes, and what became of them.

`make sim-workers SEEDS=2000` meets more seeds than `make test` does.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise

import pytest
from store_world import LOSS_MAX, QUIET_MS, StoreWorld
from test_workers_world import events_of, expect_agents_obey_the_newest, grants
from work_bench import CLUSTER

from replicante.model.action_kinds import (
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_PROTECT,
    STORE_REJOIN,
)
from replicante.model.action_requests import ActionOn
from replicante.state import record_queries
from replicante.state.action_commands import ActionVerb, MoveAction

FIRST = int(os.environ.get("WORK_FIRST", "0"))
SEEDS = int(os.environ.get("WORK_SEEDS", "12"))
JUDGED_FOR_BADNESS = 12
ATTEMPTS_FAILED = 5007
"""A world in which two were told three times to follow, in vain, and a person is asked."""
FENCED = 23
"""A world in which a primary that hung was ended: there are few."""
_worlds: dict[int, StoreWorld] = {}
"""Those that another test has run already: nothing changes them any more."""


async def world_of(seed: int) -> StoreWorld:
    if seed not in _worlds:
        world = await StoreWorld.run_stores(seed)
        if seed >= JUDGED_FOR_BADNESS:
            return world
        _worlds[seed] = world
    return _worlds[seed]


def expect_promotions_are_right(world: StoreWorld) -> None:
    for promotion in world.promotions:
        assert promotion.loss <= LOSS_MAX, f"beyond the declared bound: {promotion}"
        assert not promotion.is_primary_seen, f"the primary was seen: {promotion}"


def expect_no_flapping(world: StoreWorld) -> None:
    """Nobody approves anything in these worlds."""
    first = {it.action_id: it.at_ms for it in reversed(world.promotions)}
    changed = [it for it in first if world.action(it).phase in ("DONE", "LOST")]
    assert len(changed) <= world.stores.primary_faults_count
    for one, next_one in pairwise(sorted(changed, key=lambda it: first[it])):
        assert first[next_one] - world.action(one).finished_ms >= QUIET_MS, (one, next_one)


def expect_nothing_twice(world: StoreWorld) -> None:
    effects = Counter(it for agent in world.agents.everyone() for it in agent.effects)
    assert set(effects.values()) <= {1}, effects


def expect_a_good_end(world: StoreWorld) -> None:
    """One primary that all follow, but for whom a person is asked about after attempts that failed;
    or nothing was done, and it is said what stands in the way."""
    servers, primaries = world.stores.servers.values(), world.stores.primaries()
    followed = {it.follows for it in servers if not it.is_primary}
    if [it.node_id for it in primaries] == [it for it in followed if it is not None]:
        return
    decision = record_queries.decisions(world.log.store, *CLUSTER)[-1]
    if primaries:
        (primary,) = primaries
        astray = {it.node_id for it in servers if it.follows != primary.node_id} - {primary.node_id}
        asked_about = {
            record.node_id
            for record in decision.proposals
            if record.action_kind == STORE_REJOIN
            and "attempts_bounded" in {it.rule for it in record.verdicts if it.ruling != "allow"}
        }
        assert astray <= asked_about, "there is a primary, and not all follow it"
        return
    names = {it.name for it in decision.conditions}
    against = {
        verdict.rule
        for record in decision.proposals
        if record.action_kind == STORE_PROMOTE
        for verdict in record.verdicts
        if verdict.ruling != "allow"
    }
    assert "primary_gone" in names and (against or "nobody_eligible" in names), (names, against)


def expect_protected_as_declared(world: StoreWorld) -> None:
    """Where there is a primary, and so nothing that all wait for."""
    if world.stores.primaries():
        servers = [it for it in world.stores.servers.values() if it.answers]
        assert {it.is_protected for it in servers} == {world.is_protecting}


@pytest.mark.parametrize("seed", [*range(FIRST, FIRST + SEEDS), ATTEMPTS_FAILED])
async def test_failovers_break_no_promise(seed):
    world = await world_of(seed)
    assert world.stores.disputes == [], "two took writes at once"
    expect_promotions_are_right(world)
    expect_no_flapping(world)
    expect_nothing_twice(world)
    expect_a_good_end(world)
    expect_protected_as_declared(world)
    expect_agents_obey_the_newest(world, grants(events_of(world)))


@pytest.mark.parametrize("seed", [0, 1])
async def test_a_declared_protection_reaches_servers_that_were_there_before_it(seed):
    world = await StoreWorld.begin(seed)
    await world.end()
    servers = world.stores.servers.values()
    assert [it.is_protected for it in servers] == [world.is_protecting] * len(servers)
    assert world.is_protecting == (seed == 1)


async def test_a_stopped_primary_that_goes_on_takes_no_write_beside_its_successor():
    world = await StoreWorld.begin(0)
    first = world.stores.primaries()[0]
    world.stores.stop(first)
    for _ in range(20):
        await world.pass_time(2_000)
    (second,) = world.stores.primaries()
    assert second is not first
    world.stores.go_on(first)
    for _ in range(5):
        await world.pass_time(1_000)
    await world.end()
    assert world.stores.disputes == [] and world.stores.primaries() == [second]


async def test_a_way_out_is_taken_when_a_person_approves_it_and_not_before():
    world = await StoreWorld.begin(0)
    first = world.stores.primaries()[0]
    for server in world.stores.servers.values():
        server.behind = 60
    for _ in range(20):
        await world.pass_time(1_000)
    world.stores.kill(first)
    for _ in range(20):
        await world.pass_time(2_000)
    assert world.stores.primaries() == []
    decision = record_queries.decisions(world.log.store, *CLUSTER)[-1]
    option = next(it for it in decision.options if it.action_id is not None)
    assert option.price.known_min > LOSS_MAX
    names = (*CLUSTER, option.action_id)
    world.log.do(MoveAction(ActionOn.CLUSTER, names, ActionVerb.APPROVE, "it is known"))
    for _ in range(10):
        await world.pass_time(2_000)
    await world.end()
    assert [it.node_id for it in world.stores.primaries()] == [option.args["to"]]
    found = record_queries.action_get(world.log.store, ActionOn.CLUSTER, *names)
    assert found is not None and found.action.phase == "DONE"
    open_actions = record_queries.cluster_records(world.log.store, *CLUSTER).oactions
    assert open_actions == (), "the other ways out are withdrawn"


async def test_a_seed_of_failovers_repeats_itself():
    first, second = await world_of(7), await StoreWorld.run_stores(7)
    assert first.promotions == second.promotions and first.log.entries == second.log.entries
    assert first.stores.acknowledged == second.stores.acknowledged


async def test_the_worlds_of_failovers_are_bad_enough():
    """Primaries were replaced, some were ended first, some waited for quiet; bounds were met, and
    old primaries came back to follow."""
    met = Counter()
    for seed in (*range(JUDGED_FOR_BADNESS), FENCED):
        world = await world_of(seed)
        met["promotions"] += len(world.promotions)
        kinds = Counter(arrival.action_id for arrival in world.arrivals)
        for action_id in kinds:
            met[world.action(action_id).kind] += 1
        met["lost"] += bool(set(world.stores.acknowledged) - held_by_all(world))
        for event, payload in events_of(world):
            if event.code == "DECISION":
                for record in payload["after"]["proposals"]:
                    for verdict in record["verdicts"]:
                        met[verdict["rule"]] += verdict["ruling"] != "allow"
    wanted = (
        *("promotions", "lost", STORE_PROMOTE, STORE_FENCE, STORE_REJOIN, STORE_PROTECT),
        *("failure_confirmed", "witnesses_agree", "quiet_period", "loss_bounded"),
    )
    assert [it for it in wanted if met[it] == 0] == [], met


def held_by_all(world: StoreWorld) -> set[int]:
    return set.intersection(*(set(it.held) for it in world.stores.servers.values()))

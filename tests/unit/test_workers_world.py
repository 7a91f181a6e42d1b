"""One world of workers at its worst: dead, deposed and cut off peers, agents that are slow, deaf,
lying and reached twice, a platform that is wrong.

`make sim-workers SEEDS=2000` meets more seeds than `make test` does.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from work_bench import CLUSTER
from work_world import NODES, World

from replicante.model.codec import load_value
from replicante.state import invariants, queries
from replicante.state.fences import FenceOn, lease_name

FIRST = int(os.environ.get("WORK_FIRST", "0"))
SEEDS = int(os.environ.get("WORK_SEEDS", "20"))
FORGETFUL_SEEDS = 4
"""A world each, for what may happen at agents of the original that lose what they must keep."""
RAISED_SEEDS = 4
"""Worlds whose agents strangers raise, judged for badness."""
_raised: dict[int, World] = {}
"""Those that another test has run already: nothing changes them any more."""


def events_of(world: World):
    events, after = [], 0
    while items := queries.events_after(world.log.store, after, limit=1_000).items:
        events += items
        after = items[-1].id
    return [(event, load_value(event.payload)) for event in events]


def grants(events) -> dict[int, str]:
    """Token of the cluster's lease → the peer that it was granted to."""
    name = lease_name(FenceOn.CLUSTER, *CLUSTER)
    return {
        int(payload["token"]): payload["owner"]["peer"]
        for event, payload in events
        if event.code == "LEASE_ACQUIRED" and event.key == name
    }


def expect_nothing_twice_and_nothing_forgotten(world: World) -> None:
    effects = Counter(it for agent in world.agents.everyone() for it in agent.effects)
    for action_id in world.asked:
        action = world.action(action_id)
        assert action.phase.is_final, f"{action_id} is {action.phase}"
        assert effects[action_id] <= 1, f"{action_id} was carried out {effects[action_id]} times"
        assert effects[action_id] == (action.phase == "DONE"), f"{action_id} {action.phase}"


def expect_agents_obey_the_newest(world: World, owners: dict[int, str]) -> None:
    for arrival in world.arrivals:
        assert arrival.was_recorded, f"sent before it was recorded: {arrival}"
        assert owners[arrival.epoch] == arrival.peer, f"under the fence of another: {arrival}"
        assert not arrival.was_taken or arrival.epoch >= arrival.newest_epoch, f"{arrival}"


def expect_one_worker_at_a_time(events) -> None:
    """Between two grants of the cluster's lease only the first one's holder decides."""
    name = lease_name(FenceOn.CLUSTER, *CLUSTER)
    token = None
    for event, payload in events:
        if event.code == "LEASE_ACQUIRED" and event.key == name:
            token = int(payload["token"])
        elif event.code == "DECISION":
            assert payload["after"]["epoch"] == token
        elif event.code == "NACTION_DISPATCH":
            assert payload["after"]["sent_epoch"] == token


def expect_every_event_has_its_change(world: World, events) -> None:
    told = {}
    for event, payload in events:
        if event.code.startswith("NACTION_"):
            assert payload["before"] == told.get(event.key), f"{event.code} {event.key}"
            told[event.key] = payload["after"]
    assert told == {it: world.action(it).to_value() for it in world.asked}
    with world.log.machine.view() as view:
        invariants.assert_holds(view)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
async def test_the_worst_world_breaks_no_promise(seed):
    world = await World.run(seed)
    events = events_of(world)
    expect_nothing_twice_and_nothing_forgotten(world)
    expect_agents_obey_the_newest(world, grants(events))
    expect_one_worker_at_a_time(events)
    expect_every_event_has_its_change(world, events)
    assert (world.known_nodes, world.forgotten_nodes) == (set(NODES), set())


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(4, SEEDS // 2)))
async def test_agents_that_forget_or_are_two_do_nothing_twice(seed):
    """Whatever answers: each action is carried out once or never, and its end says no less."""
    world = await World.run(seed, do_agents_forget=seed % 2 == 0, are_agents_doubled=seed % 3 > 0)
    events = events_of(world)
    expect_one_worker_at_a_time(events)
    expect_every_event_has_its_change(world, events)
    effects = Counter(it for agent in world.agents.everyone() for it in agent.effects)
    for action_id in world.asked:
        action = world.action(action_id)
        assert action.phase.is_final, f"{action_id} is {action.phase}"
        assert effects[action_id] <= 1, f"{action_id} was carried out {effects[action_id]} times"
        if action.phase != "LOST":
            assert effects[action_id] == (action.phase == "DONE"), f"{action_id} {action.phase}"


async def test_worlds_of_forgetful_and_doubled_agents_are_bad_enough():
    """Actions were lost, some of them behind their effect; doubts were told."""
    met = Counter()
    for seed in range(FORGETFUL_SEEDS):
        world = await World.run(seed, do_agents_forget=True, are_agents_doubled=True)
        events = events_of(world)
        effects = Counter(it for agent in world.agents.everyone() for it in agent.effects)
        lost = [event.key for event, _ in events if event.code == "NACTION_LOST"]
        met["lost"] += len(lost)
        met["lost behind its effect"] += any(effects[key] for key in lost)
        told = {
            condition["name"]
            for event, payload in events
            if event.code == "DECISION"
            for condition in payload["after"]["conditions"]
        }
        for name in ("agent_denies", "agent_doubled"):
            met[name] += name in told
    assert len(met) == 4 and min(met.values()) > 0, met


async def test_only_an_agent_that_lost_its_folder_acts_twice_or_behind_an_end():
    """And for each action that it lost there is an event."""
    met = Counter()
    for seed in range(FIRST, FIRST + FORGETFUL_SEEDS):
        world = await World.run(seed, do_agents_forget=True, are_agents_marked=False)
        events = events_of(world)
        expect_one_worker_at_a_time(events)
        expect_every_event_has_its_change(world, events)
        lost = {event.key for event, _ in events if event.code == "NACTION_LOST"}
        for agent in world.agents.agents.values():
            for action_id in world.asked:
                action = world.action(action_id)
                if action.node_id != agent.node_id:
                    continue
                assert action.phase.is_final, f"seed {seed}: {action_id} is {action.phase}"
                assert (action.phase == "LOST") == (action_id in lost)
                effects = agent.effects.count(action_id)
                may_differ = world.forgotten[agent.node_id]
                assert abs(effects - (action.phase == "DONE")) <= may_differ, f"seed {seed}"
                met["again"] += effects > 1
        met["lost"] += len(lost)
    assert met["lost"] > 0, met


async def raised_world(seed: int) -> World:
    world = _raised.get(seed) or await World.run(seed, are_epochs_raised=True)
    if seed < RAISED_SEEDS:
        _raised[seed] = world
    return world


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(4, SEEDS // 4)))
async def test_agents_that_strangers_raise_break_no_promise(seed):
    world = await raised_world(seed)
    events = events_of(world)
    expect_nothing_twice_and_nothing_forgotten(world)
    expect_agents_obey_the_newest(world, grants(events))
    expect_one_worker_at_a_time(events)
    expect_every_event_has_its_change(world, events)


async def test_agents_that_strangers_raise_are_told_of_and_stop_nobody_else():
    met = Counter()
    for seed in range(RAISED_SEEDS):
        world = await raised_world(seed)
        for event, payload in events_of(world):
            if event.code != "DECISION":
                continue
            told = {it["name"] for it in payload["after"]["conditions"]}
            met["told"] += "agent_epoch_ahead" in told
            met["acted beside it"] += "agent_epoch_ahead" in told and any(payload["after"]["sent"])
    assert len(met) == 2 and min(met.values()) > 0, met


async def test_a_seed_repeats_itself():
    first, second = await World.run(3), await World.run(3)
    assert first.arrivals == second.arrivals
    assert first.log.entries == second.log.entries


async def test_the_worst_world_is_bad_enough():
    """What is promised was in danger: older epochs arrived, peers took over, agents said no."""
    met = Counter()
    for seed in range(8):
        world = await World.run(seed)
        met["asked"] += len(world.asked)
        met["refused"] += sum(it.epoch < it.newest_epoch for it in world.arrivals)
        met["again"] += len(world.arrivals) - len({it.action_id for it in world.arrivals})
        met["takeovers"] += len(grants(events_of(world))) - 1
    assert min(met.values()) > 0, met

"""Workers die between any two steps and others go on: nothing twice, nothing forgotten."""

from __future__ import annotations

import pytest
from work_bench import WorkBench

from replicante.state import invariants
from replicante.testing.fake_agents import FakeAgent

ID = "00000000-0000-8000-8000-000000000001"
STEPS_MAX = 60


async def live(bench: WorkBench) -> bool:
    """The whole life of one action under one worker; False when the worker died on its way."""
    for _ in range(5):
        bench.pass_time(10_000)
        bench.workers.start_due()
        tasks = list(bench.workers._running.values())
        await bench.workers.settle()
        if any(task.cancelled() for task in tasks):
            return False
        for agent in bench.agents.agents.values():
            agent.run_actions()
    return True


async def count_of_steps() -> int:
    bench = started()
    assert await live(bench)
    return len(bench.steps)


def started() -> WorkBench:
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    bench.ask(ID)
    return bench


async def test_every_step_is_one_at_which_the_world_may_end():
    assert 20 < await count_of_steps() < STEPS_MAX


@pytest.mark.parametrize("crash_at", range(STEPS_MAX))
async def test_a_crash_at_any_step_repeats_nothing_with_effect_and_forgets_nothing(crash_at):
    bench = started()
    bench.crash_at = crash_at
    died = not await live(bench)
    assert died or crash_at >= len(bench.steps)
    bench.crash_at = None
    bench.workers = bench.new_workers("p2")
    assert await live(bench)
    assert bench.action(ID).phase == "DONE"
    assert bench.agents.agents["n1"].effects == [ID]
    assert bench.agents.agents["n2"].effects == []
    codes = [code for code in bench.codes() if code.startswith("NACTION")]
    assert codes.count("NACTION_CREATE") == codes.count("NACTION_DISPATCH") == 1
    assert codes.count("NACTION_FINISH") == 1
    assert len(bench.discovery().nodes) == 2
    with bench.lone.machine.view() as view:
        invariants.assert_holds(view)


@pytest.mark.parametrize("first", range(0, STEPS_MAX, 7))
async def test_two_crashes_are_no_worse_than_one(first):
    bench = started()
    for crash_at in (first, first + 5):
        bench.crash_at = len(bench.steps) + crash_at if crash_at != first else crash_at
        await live(bench)
        bench.crash_at = None
        bench.workers = bench.new_workers(f"after {crash_at}")
    assert await live(bench)
    assert bench.action(ID).phase == "DONE"
    assert bench.agents.agents["n1"].effects == [ID]

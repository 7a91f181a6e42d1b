"""What every supervisor promises, and the actions that come with it: over commands, over the
systemctl of tests, and over a real systemd where this machine lets one run."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from agent_harness import WAIT_SECONDS, FixedStore, calling
from supervised_services import by_commands, by_fake_systemd, by_real_systemd, until

from replicante.agents import sdk
from replicante.agents.sdk import ServiceState
from replicante.model.action_kinds import SERVICE_RESTART, SERVICE_START, SERVICE_STOP

WORLDS = {"commands": by_commands, "fake": by_fake_systemd, "systemd": by_real_systemd}


@pytest.fixture(params=WORLDS)
def services(request, tmp_path):
    with WORLDS[request.param](tmp_path) as found:
        yield found


@pytest.fixture
async def agent(services, tmp_path):
    async with calling(tmp_path / "agent", FixedStore(), supervisor=services.good) as caller:
        yield caller


async def test_a_service_runs_after_start_and_is_stopped_after_stop(services):
    assert (await services.good.status()).state is ServiceState.STOPPED
    await services.good.start()
    assert (await until(services.good, ServiceState.RUNNING)).run_id is not None
    await services.good.stop()
    await until(services.good, ServiceState.STOPPED)


async def test_what_runs_is_not_started_twice_and_what_is_stopped_may_be_stopped(services):
    await services.good.stop()
    await services.good.start()
    first = await until(services.good, ServiceState.RUNNING)
    await services.good.start()
    assert await until(services.good, ServiceState.RUNNING) == first
    await services.good.stop()
    await until(services.good, ServiceState.STOPPED)
    await services.good.start()
    assert (await until(services.good, ServiceState.RUNNING)).run_id != first.run_id


async def test_a_service_that_was_killed_is_down(services):
    await services.good.start()
    found = await until(services.good, ServiceState.RUNNING)
    os.kill(found.pid, signal.SIGKILL)
    await until(services.good, ServiceState.STOPPED, ServiceState.FAILED)


async def test_the_actions_start_stop_and_start_again(services, agent):
    await agent.submit(SERVICE_START, action_id="a")
    begun = await agent.until_phase("a", "DONE", "FAILED")
    assert begun["state"]["phase"] == "DONE", begun
    first = await services.good.status()
    assert begun["state"]["payload"]["pid"] == first.pid
    await agent.submit(SERVICE_RESTART, action_id="b")
    again = await agent.until_phase("b", "DONE", "FAILED")
    assert again["state"]["phase"] == "DONE", again
    second = await services.good.status()
    assert second.state is ServiceState.RUNNING and second.run_id != first.run_id
    await agent.submit(SERVICE_STOP, action_id="c")
    assert (await agent.until_phase("c", "DONE", "FAILED"))["state"]["phase"] == "DONE"
    assert (await services.good.status()).state is ServiceState.STOPPED


async def test_a_service_that_cannot_start_fails_its_action_with_what_was_said(services, tmp_path):
    async with calling(tmp_path / "agent", FixedStore(), supervisor=services.bad) as agent:
        await agent.submit(SERVICE_START, action_id="a")
        found = await agent.until_phase("a", "DONE", "FAILED")
    message = found["state"]["error"]["error_msg"]
    assert "broken" in message or "exit-code" in message, message


class CutOff(sdk.Supervisor):
    """A supervisor whose stop has its effect and is never heard of again."""

    def __init__(self, real: sdk.Supervisor) -> None:
        self._real = real
        self.has_stopped = asyncio.Event()

    async def status(self):
        return await self._real.status()

    async def start(self):
        raise AssertionError("the agent ended before this")

    async def stop(self):
        await self._real.stop()
        self.has_stopped.set()
        await asyncio.Event().wait()


async def test_a_restart_that_was_cut_off_behind_its_stop_goes_on_with_the_start(
    services, tmp_path
):
    await services.good.start()
    first = await until(services.good, ServiceState.RUNNING)
    cut = CutOff(services.good)
    async with calling(tmp_path / "agent", FixedStore(), supervisor=cut) as agent:
        await agent.submit(SERVICE_RESTART, action_id="a")
        await asyncio.wait_for(cut.has_stopped.wait(), WAIT_SECONDS)
    await until(services.good, ServiceState.STOPPED)
    async with calling(tmp_path / "agent", FixedStore(), supervisor=services.good) as agent:
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "DONE", found
    second = await services.good.status()
    assert second.state is ServiceState.RUNNING and second.run_id != first.run_id


async def test_a_restart_does_not_stop_what_was_started_again_meanwhile(services, tmp_path):
    await services.good.start()
    first = await until(services.good, ServiceState.RUNNING)
    cut = CutOff(services.good)
    async with calling(tmp_path / "agent", FixedStore(), supervisor=cut) as agent:
        await agent.submit(SERVICE_RESTART, action_id="a")
        await asyncio.wait_for(cut.has_stopped.wait(), WAIT_SECONDS)
    await until(services.good, ServiceState.STOPPED)
    await services.good.start()
    second = await until(services.good, ServiceState.RUNNING)
    async with calling(tmp_path / "agent", FixedStore(), supervisor=services.good) as agent:
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "DONE", found
    assert await services.good.status() == second != first

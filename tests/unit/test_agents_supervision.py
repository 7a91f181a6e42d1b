"""Supervision of stores: settings, time limits, and what is told when nobody obeys."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from agent_harness import WAIT_SECONDS, FixedStore, calling
from supervised_services import (
    SLEEPS,
    commands,
    fake_systemctl,
    kill_slept,
    until,
)

from replicante import limits
from replicante.agents import sdk
from replicante.agents.sdk import ServiceState, SupervisionFailed
from replicante.agents.sdk.supervision.programs import run_program
from replicante.errors import InvalidConfig
from replicante.model.action_kinds import SERVICE_RESTART, SERVICE_START, SERVICE_STOP

COMMANDS = {"status": ["s"], "start": ["s"], "stop": ["s"]}


class Scripted(sdk.Supervisor):
    """Says what stands in `states`, the last one again and again; counts what it is asked for."""

    def __init__(self, *states: ServiceState) -> None:
        self.states = list(states)
        self.starts = self.stops = 0

    async def status(self):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return sdk.Service(state=state, detail=f"it is {state}", run_id="r")

    async def start(self):
        self.starts += 1

    async def stop(self):
        self.stops += 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"systemd": {"unit": "a"}, "commands": COMMANDS},
        {"supervisord": {}},
        {"systemd": {}},
        {"systemd": {"unit": "--all"}},
        {"systemd": {"unit": "a b"}},
        {"systemd": {"unit": ""}},
        {"systemd": {"unit": "a", "systemctl": []}},
        {"systemd": {"unit": "a", "unknown": 1}},
        {"commands": {"status": ["s"], "start": ["s"]}},
        {"commands": {**COMMANDS, "stop": "systemctl stop x"}},
        {"commands": {**COMMANDS, "stop": []}},
        {"commands": {**COMMANDS, "stop": [""]}},
        {"commands": {**COMMANDS, "stop": ["a", "b\0c"]}},
        {"commands": {**COMMANDS, "limit_ms": 0}},
        {"commands": {**COMMANDS, "limit_ms": limits.SERVICE_COMMAND_MS_MAX + 1}},
    ],
)
def test_supervision_that_cannot_be_meant_is_refused_at_the_start(value):
    with pytest.raises(InvalidConfig):
        sdk.read_supervisor(value)


def test_supervision_is_read_as_a_file_gives_it():
    found = sdk.read_supervisor({"systemd": {"unit": "pg@14.service", "is_user": True}})
    assert isinstance(found, sdk.Systemd)
    assert isinstance(sdk.read_supervisor({"commands": COMMANDS}), sdk.Commands)


def test_an_agent_that_brings_its_own_start_has_no_supervisor(tmp_path):
    async def own(_args, _before):
        return sdk.done()

    kind = sdk.ActionKind(kind=SERVICE_START, description="Mine.", run=own)
    settings = sdk.AgentSettings(node_id="n", data_dir=tmp_path)
    with pytest.raises(InvalidConfig, match="twice"):
        sdk.Agent(settings, FixedStore(), [kind], supervisor=Scripted(ServiceState.STOPPED))


async def test_a_service_on_its_way_up_is_waited_for_and_told_once(tmp_path):
    scripted = Scripted(
        *(ServiceState.CHANGING, ServiceState.STOPPED),
        *(ServiceState.STOPPED, ServiceState.CHANGING, ServiceState.RUNNING),
    )
    async with calling(tmp_path, FixedStore(), supervisor=scripted) as agent:
        await agent.submit(SERVICE_START, action_id="a")
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "DONE"
    assert scripted.starts == 1
    assert found["state"]["payload"]["attempt"] == 5


async def test_a_service_that_failed_before_is_started_and_one_that_fails_then_is_told(tmp_path):
    scripted = Scripted(ServiceState.FAILED, ServiceState.CHANGING, ServiceState.FAILED)
    async with calling(tmp_path, FixedStore(), supervisor=scripted) as agent:
        await agent.submit(SERVICE_START, action_id="a")
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "FAILED" and scripted.starts == 1
    assert "it is failed" in found["state"]["error"]["error_msg"]


async def test_a_service_that_is_about_to_be_started_again_is_stopped(tmp_path):
    scripted = Scripted(ServiceState.CHANGING, ServiceState.STOPPED)
    async with calling(tmp_path, FixedStore(), supervisor=scripted) as agent:
        await agent.submit(SERVICE_STOP, action_id="a")
        await agent.until_phase("a", "DONE")
    assert scripted.stops == 1


async def test_waiting_for_a_service_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("replicante.agents.sdk.supervision.actions.SERVICE_STEPS_MAX", 3)
    scripted = Scripted(ServiceState.RUNNING)
    async with calling(tmp_path, FixedStore(), supervisor=scripted) as agent:
        await agent.submit(SERVICE_RESTART, action_id="a")
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "FAILED" and scripted.stops == 1
    assert "not reached" in found["state"]["error"]["error_msg"]
    assert found["state"]["payload"]["part"] == "stop"


async def test_systemctl_that_refuses_or_lacks_the_unit_is_quoted(tmp_path):
    units = {"denied": SLEEPS + "[Fake]\nrefuses=start\n"}
    with fake_systemctl(tmp_path, units) as settings:
        denied = sdk.Systemd(sdk.SystemdSettings(unit="denied", **settings))
        with pytest.raises(SupervisionFailed, match="Interactive authentication required"):
            await denied.start()
        missing = sdk.Systemd(sdk.SystemdSettings(unit="missing", **settings))
        with pytest.raises(SupervisionFailed, match=r"missing\.service not found"):
            await missing.start()
        with pytest.raises(SupervisionFailed, match="not-found"):
            await missing.status()


async def test_systemctl_is_found_on_the_path_and_its_absence_is_told(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    fake = Path(__file__).with_name("fake_systemctl.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "good.service").write_text(SLEEPS)
    monkeypatch.setenv("FAKE_SYSTEMD", str(tmp_path))
    good = sdk.Systemd(sdk.SystemdSettings(unit="good"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    await good.start()
    await until(good, ServiceState.RUNNING)
    await good.stop()
    await until(good, ServiceState.STOPPED)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SupervisionFailed, match="cannot be started"):
        await good.status()


async def test_a_job_that_systemd_has_not_begun_is_a_change(tmp_path):
    with fake_systemctl(tmp_path, {"good": SLEEPS}) as settings:
        good = sdk.Systemd(sdk.SystemdSettings(unit="good", **settings))
        await good.start()
        assert (await good.status()).state is ServiceState.CHANGING
        assert (await good.status()).state is ServiceState.RUNNING


async def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path):
    script = f"sleep 1000 & echo $! > {tmp_path}/child; echo busy; wait"
    with pytest.raises(SupervisionFailed, match=r"within 1500 ms: busy"):
        await run_program(["sh", "-c", script], limit_ms=1_500, leaves_children=False)
    await _until_gone(int((tmp_path / "child").read_text()))


async def test_a_start_that_hangs_leaves_the_store_that_it_began(tmp_path):
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(SupervisionFailed, match="did not end"):
        await run_program(["sh", "-c", script], limit_ms=1_500, leaves_children=True)
    try:
        os.kill(int((tmp_path / "pid").read_text()), 0)
    finally:
        kill_slept(tmp_path / "pid")


async def test_a_step_that_is_cut_off_leaves_no_command_behind(tmp_path):
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    task = asyncio.create_task(
        run_program(["sh", "-c", script], limit_ms=60_000, leaves_children=False)
    )
    pid = await _until_written(tmp_path / "pid")
    task.cancel()
    await asyncio.wait([task])
    await _until_gone(pid)


async def test_words_are_given_to_the_program_as_they_are():
    found = await run_program(["echo", "$HOME; ls *"], limit_ms=60_000, leaves_children=False)
    assert (found.code, found.output) == (0, "$HOME; ls *")


@pytest.mark.parametrize("code", [4, 127, 255])
async def test_a_status_command_that_cannot_tell_is_no_answer(tmp_path, code):
    asked = commands(tmp_path, status=("sh", "-c", f"echo lost; exit {code}"))
    with pytest.raises(SupervisionFailed, match=rf"ended with code {code}: lost"):
        await asked.status()


async def test_a_number_of_a_process_that_is_gone_is_a_stopped_store(tmp_path):
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    asked = commands(tmp_path, status=("echo", str(gone.pid)))
    found = await asked.status()
    assert found.state is ServiceState.STOPPED and str(gone.pid) in found.detail


async def test_a_node_whose_store_is_down_is_told_with_what_its_supervisor_says(tmp_path):
    down, up = FixedStore(is_up=False), FixedStore()
    scripted = Scripted(ServiceState.FAILED)
    async with calling(tmp_path / "a", down, supervisor=scripted) as agent:
        _, node, _ = await agent.get("info/node")
        assert node["attributes"] == {
            "fixed/known-while-stopped": 7,
            "replicante.io/service.state": "failed",
            "replicante.io/service.detail": "it is failed",
        }
    async with calling(tmp_path / "b", up, supervisor=scripted) as agent:
        _, node, _ = await agent.get("info/node")
        assert node["attributes"] == {"fixed/known-while-stopped": 7}


async def test_a_supervisor_that_hangs_does_not_hide_the_node(tmp_path):
    class Hanging(Scripted):
        async def status(self):
            await asyncio.Event().wait()

    hanging = Hanging(ServiceState.STOPPED)
    async with calling(tmp_path, FixedStore(is_up=False), supervisor=hanging) as agent:
        status, node, _ = await agent.get("info/node")
    assert (status, node["node_status"]) == (200, "UNAVAILABLE")
    assert node["attributes"]["replicante.io/service.state"] == "unknown"


async def _until_written(file: Path) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return int(file.read_text())


async def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)

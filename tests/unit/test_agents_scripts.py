"""Actions that scripts carry out: once, within their time, through crashes, with arguments that no
shell reads."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_harness import POLL_SECONDS, WAIT_SECONDS, FixedStore, calling

from replicante import limits
from replicante.agents import sdk
from replicante.agents.sdk.scripts.runs import Run, RunState
from replicante.durable_file import write_durably
from replicante.errors import InvalidConfig
from replicante.process_birth import process_birth

KIND = "scripts.example.com/work"
UNTIL_TOLD = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "begun").open("a") as file:
    file.write(str(os.getpid()) + chr(10))
while not (folder / "go").exists():
    time.sleep(0.01)
print("worked")
"""


def scripts(*words: str, args=None, **changed):
    fields = {"description": "Works.", "command": words, "args": args or {}, **changed}
    return sdk.read_scripts({KIND: fields})


def python(source: str, *words: str, **changed):
    return scripts(sys.executable, "-S", "-c", source, *words, **changed)


async def ended_by(tmp_path, chosen, args=None) -> dict:
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        assert await agent.submit(KIND, args, action_id="a") == 200
        return await agent.until_phase("a", "DONE", "FAILED")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if is_so():
                return
            await asyncio.sleep(POLL_SECONDS)


async def until_file(path: Path) -> None:
    await until(lambda: path.exists() and path.read_text().endswith("\n"))


async def until_gone(pid: int) -> None:
    await until(lambda: process_birth(pid) is None)


def keeper_of(script_pid: int) -> int:
    stat = Path(f"/proc/{script_pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def pids(tmp_path) -> list[int]:
    return [int(line) for line in (tmp_path / "begun").read_text().split()]


async def test_arguments_reach_a_script_as_they_are_and_no_shell_reads_them(tmp_path):
    wanted = "$(touch x); `id` \"a b\" 'c' *"
    source = "import json, sys; print(json.dumps([sys.argv[1:], json.load(sys.stdin)]))"
    chosen = python(
        source,
        *("--text={text}", "{count}", "{is_loud}", "{{}}"),
        args={
            "text": {},
            "count": {"type": "whole", "default": 3},
            "is_loud": {"type": "yes_no"},
        },
    )
    found = await ended_by(tmp_path, chosen, {"text": wanted, "is_loud": True})
    assert found["state"]["phase"] == "DONE", found
    words, stdin = json.loads(found["state"]["payload"]["output"])
    assert words == [f"--text={wanted}", "3", "true", "{{}}"]
    assert stdin == {"kind": KIND, "args": {"text": wanted, "count": 3, "is_loud": True}}


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"text": 1},
        {"text": "-rf"},
        {"text": "a\nb"},
        {"text": "a\0b"},
        {"text": "a", "unknown": 1},
        {"text": "a", "level": "none"},
        {"text": "x" * (limits.SCRIPT_TEXT_CHARACTERS_MAX + 1)},
    ],
)
async def test_arguments_that_do_not_fit_are_refused_when_they_are_given(tmp_path, args):
    declared = {"text": {}, "level": {"choices": ["full", "some"], "default": "full"}}
    chosen = scripts("true", "{text}", "{level}", args=declared)
    async with calling(tmp_path, FixedStore(), scripts=chosen) as agent:
        status, body, _ = await agent.post("action", {"id": "a", "kind": KIND, "args": args})
        assert status == 400 and KIND in body["error_msg"], body
        assert (await agent.get("action/a"))[0] == 404


async def test_the_catalogue_describes_what_a_script_takes(tmp_path):
    declared = {"level": {"choices": ["full", "some"]}}
    async with calling(tmp_path, FixedStore(), scripts=scripts("true", args=declared)) as agent:
        _, body, _ = await agent.get("actions/available")
    (found,) = [it for it in body["actions"] if it["kind"] == KIND]
    assert found["description"] == "Works." and '"full"' in json.dumps(found["args"])


@pytest.mark.parametrize(
    "fields",
    [
        {"command": []},
        {"command": [""]},
        {"command": "rm -rf x"},
        {"command": ["{text}"], "args": {"text": {}}},
        {"command": ["a", "{nothing}"]},
        {"command": ["a", "b\0"]},
        {"command": ["a"], "limit_ms": 0},
        {"command": ["a"], "limit_ms": limits.SCRIPT_MS_MAX + 1},
        {"command": ["a"], "args": {"A-B": {}}},
        {"command": ["a"], "args": {"a": {"type": "list"}}},
        {"command": ["a"], "args": {"a": {"type": "whole", "choices": ["1"]}}},
        {"command": ["a"], "args": {"a": {"type": "whole", "default": "1"}}},
        {"command": ["a"], "shell": True},
    ],
)
def test_a_script_that_cannot_be_meant_is_refused_at_the_start(fields):
    with pytest.raises(InvalidConfig):
        sdk.read_scripts({KIND: {"description": "Works.", **fields}})


async def test_a_script_fails_with_what_it_printed_last(tmp_path):
    source = "import sys; print('x' * 10_000); print('no room'); sys.exit(7)"
    found = await ended_by(tmp_path, python(source))
    assert found["state"]["phase"] == "FAILED"
    assert "code 7" in found["state"]["error"]["error_msg"]
    assert found["state"]["payload"]["code"] == 7
    output = found["state"]["payload"]["output"]
    assert output.endswith("no room") and len(output) <= limits.SCRIPT_OUTPUT_BYTES_MAX


async def test_a_script_that_is_not_there_fails(tmp_path):
    found = await ended_by(tmp_path, scripts(str(tmp_path / "nothing")))
    assert found["state"]["phase"] == "FAILED"
    assert "cannot be started" in found["state"]["error"]["error_msg"]


async def test_what_runs_beyond_its_time_is_ended_with_what_it_started(tmp_path):
    # Its child ignores that it is asked to end.
    source = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        "if pid: open(sys.argv[1], 'w').write(str(pid)); "
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "time.sleep(1_000)\n"
    )
    found = await ended_by(tmp_path, python(source, str(tmp_path / "child"), limit_ms=500))
    assert found["state"]["phase"] == "FAILED"
    assert "in its time" in found["state"]["error"]["error_msg"]
    await until_gone(int((tmp_path / "child").read_text()))


async def test_a_script_outlives_its_agent_and_is_begun_once(tmp_path):
    chosen = python(UNTIL_TOLD, str(tmp_path))
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        await agent.submit(KIND, action_id="a")
        await until_file(tmp_path / "begun")
    (pid,) = pids(tmp_path)
    assert process_birth(pid) is not None
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        _, found, _ = await agent.get("action/a")
        assert found["state"]["phase"] == "RUNNING"
        (tmp_path / "go").touch()
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "DONE"
    assert found["state"]["payload"]["output"] == "worked"
    assert pids(tmp_path) == [pid]


async def test_what_ended_while_its_agent_was_away_is_told_when_that_is_back(tmp_path):
    chosen = python(UNTIL_TOLD, str(tmp_path))
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        await agent.submit(KIND, action_id="a")
        await until_file(tmp_path / "begun")
    (tmp_path / "go").touch()
    await until_gone(pids(tmp_path)[0])
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        found = await agent.until_phase("a", "DONE", "FAILED")
    assert found["state"]["phase"] == "DONE" and len(pids(tmp_path)) == 1


@pytest.mark.parametrize("is_repeatable", [False, True])
async def test_what_was_cut_off_is_begun_anew_only_where_that_is_allowed(tmp_path, is_repeatable):
    """As by a restart of the machine: nobody is left who could say how it ended."""
    chosen = python(UNTIL_TOLD, str(tmp_path), is_repeatable=is_repeatable)
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        await agent.submit(KIND, action_id="a")
        await until_file(tmp_path / "begun")
    (pid,) = pids(tmp_path)
    os.kill(keeper_of(pid), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid)
    (tmp_path / "go").touch()
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        found = await agent.until_phase("a", "DONE", "FAILED")
    if is_repeatable:
        assert found["state"]["phase"] == "DONE" and len(pids(tmp_path)) == 2
    else:
        assert "how far" in found["state"]["error"]["error_msg"] and len(pids(tmp_path)) == 1


async def test_a_cancelled_script_has_ended_before_its_action_has(tmp_path):
    chosen = python(UNTIL_TOLD, str(tmp_path))
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        await agent.submit(KIND, action_id="a")
        await until_file(tmp_path / "begun")
        (pid,) = pids(tmp_path)
        await agent.post("action/a/cancel", {})
        await agent.until_phase("a", "CANCELLED")
        assert process_birth(pid) is None


async def test_a_script_whose_keeper_was_killed_is_ended_by_a_cancel(tmp_path):
    chosen = python(UNTIL_TOLD, str(tmp_path))
    async with calling(tmp_path / "agent", FixedStore(), scripts=chosen) as agent:
        await agent.submit(KIND, action_id="a")
        await until_file(tmp_path / "begun")
        (pid,) = pids(tmp_path)
        os.kill(keeper_of(pid), signal.SIGKILL)
        await agent.post("action/a/cancel", {})
        await agent.until_phase("a", "CANCELLED")
        await until_gone(pid)


async def test_what_a_script_leaves_running_holds_up_nothing(tmp_path):
    source = (
        "import subprocess, sys\n"
        "left = subprocess.Popen(['sleep', '1000'], start_new_session=True, close_fds=False)\n"
        "open(sys.argv[1], 'w').write(str(left.pid))\n"
    )
    found = await ended_by(tmp_path, python(source, str(tmp_path / "left")))
    pid = int((tmp_path / "left").read_text())
    assert found["state"]["phase"] == "DONE" and process_birth(pid) is not None
    os.kill(pid, signal.SIGKILL)


async def test_what_its_agent_knows_in_confidence_is_not_told_to_a_script(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICANTE_REDIS_PASSWORD", "secret")
    monkeypatch.setenv("WHATEVER", "else")
    found = await ended_by(tmp_path, python("import os; print(dict(os.environ))"))
    output = found["state"]["payload"]["output"]
    assert "WHATEVER" in output and "secret" not in output


async def test_a_run_that_is_begun_twice_runs_once(tmp_path):
    run = Run(folder=tmp_path / "run")
    words = [sys.executable, "-S", "-c", UNTIL_TOLD, str(tmp_path)]
    (tmp_path / "go").touch()
    for _ in range(2):
        run.begin(words, stdin=None, limit_ms=60_000)
    await until(lambda: run.state() is not RunState.RUNNING)
    run.begin(words, stdin=None, limit_ms=60_000)
    assert run.state() is RunState.ENDED and len(pids(tmp_path)) == 1


async def test_runs_of_actions_that_ended_are_forgotten(tmp_path):
    async with calling(tmp_path / "agent", FixedStore(), scripts=python("pass")) as agent:
        for action_id in ("a", "b", "c"):
            await agent.submit(KIND, action_id=action_id)
            await agent.until_phase(action_id, "DONE")
    assert len(list((tmp_path / "agent" / "scripts").iterdir())) == 1


def test_a_write_of_the_keeper_is_whole_or_not_there(tmp_path):
    write_durably(tmp_path / "x.json", "1")
    assert [it.name for it in tmp_path.iterdir()] == ["x.json"]

"""A systemctl for tests: the calls that agents make of it, over real processes.

Units are files of the real format in $FAKE_SYSTEMD; of them ExecStartPre and ExecStart are obeyed,
and in [Fake] what is to go wrong. What it prints and the codes that it ends with are those that
systemd 252 was seen to give; tests/contract/test_supervision.py holds both to the same promises.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_SYSTEMD"])


def main(words: list[str]) -> int:
    given = [word for word in words if not word.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    verb, unit = given
    if not unit.endswith(".service"):
        unit += ".service"
    file = FOLDER / unit
    if not file.exists():
        return _without_file(verb, unit)
    parsed = configparser.ConfigParser()
    parsed.read(file)
    wrong = dict(parsed["Fake"]) if parsed.has_section("Fake") else {}
    if wrong.get("hangs") == verb:
        signal.pause()
    if wrong.get("refuses") == verb:
        print(f"Failed to {verb} {unit}: Interactive authentication required.", file=sys.stderr)
        return 1
    state = _load(unit)
    match verb:
        case "start":
            _start(parsed["Service"], state)
        case "stop":
            _stop(state, ignores=wrong.get("ignores") == "stop")
        case "show":
            assert (
                "--property=LoadState,ActiveState,SubState,Result,MainPID,InvocationID,Job"
                in options
            )
            _show(state)
        case _:
            print(f"Unknown command verb {verb}.", file=sys.stderr)
            return 1
    _path(unit).write_text(json.dumps(state))
    return 0


def _without_file(verb: str, unit: str) -> int:
    if verb == "show":
        print(_shown("not-found", "inactive", "dead", "success", 0, "", ""))
        return 0
    print(f"Failed to {verb} {unit}: Unit {unit} not found.", file=sys.stderr)
    return 5


def _start(service, state: dict) -> None:
    state["job"] = 1
    if _is_alive(state["pid"]):
        return
    state.update(run=state["run"] + 1, pid=0, was_stopped=False, result="success")
    if (
        "execstartpre" in service
        and subprocess.run(shlex.split(service["execstartpre"])).returncode
    ):
        state["result"] = "exit-code"
        return
    process = subprocess.Popen(
        shlex.split(service["execstart"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    state["pid"] = process.pid


def _stop(state: dict, *, ignores: bool) -> None:
    state["job"] = 1
    if ignores:
        return
    state.update(was_stopped=True, result="success")
    if _is_alive(state["pid"]):
        os.kill(state["pid"], signal.SIGKILL)


def _show(state: dict) -> None:
    if _is_alive(state["pid"]):
        found = ("active", "running")
    elif state["run"] == 0 or state["was_stopped"]:
        found, state["pid"] = ("inactive", "dead"), 0
    else:
        found, state["pid"] = ("failed", "failed"), 0
        if state["result"] == "success":
            state["result"] = "signal"
    job = str(1_000 + state["run"]) if state["job"] else ""
    state["job"] = 0
    run = f"{state['run']:032x}" if found[0] != "inactive" else ""
    print(_shown("loaded", *found, state["result"], state["pid"], run, job))


def _shown(loaded: str, active: str, sub: str, result: str, pid: int, run: str, job: str) -> str:
    return (
        f"MainPID={pid}\nResult={result}\nLoadState={loaded}\nActiveState={active}\n"
        f"SubState={sub}\nJob={job}\nInvocationID={run}"
    )


def _load(unit: str) -> dict:
    if _path(unit).exists():
        return json.loads(_path(unit).read_text())
    return {"run": 0, "pid": 0, "job": 0, "was_stopped": False, "result": "success"}


def _path(unit: str) -> Path:
    return FOLDER / f"{unit}.state"


def _is_alive(pid: int) -> bool:
    try:
        return (
            pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

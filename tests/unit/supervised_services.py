"""Services under each kind of supervisor, over real processes, for tests of supervision."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from replicante.agents import sdk

HERE = Path(__file__).parent
WAIT_SECONDS = 60
SLEEPS = "[Service]\nExecStart=/bin/sleep 1000\n"
BREAKS = "[Service]\nExecStartPre=/bin/false\nExecStart=/bin/sleep 1000\n"
_NAMESPACE = """
mount -t tmpfs none /run && mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" || exit 1
chmod 700 "$XDG_RUNTIME_DIR"
exec /lib/systemd/systemd --user --log-target=null
"""
"""A systemd of its own for one test: it wants to be told that the machine was booted by systemd,
which is said in a /run that nobody else sees."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """A service that works and one that cannot be started."""

    good: sdk.Supervisor
    bad: sdk.Supervisor


async def until(supervisor: sdk.Supervisor, *states: sdk.ServiceState) -> sdk.Service:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = await supervisor.status()
        if found.state in states:
            return found
        assert time.monotonic() < deadline, found


@contextmanager
def by_commands(folder: Path) -> Iterator[Services]:
    for name in ("good", "bad"):
        (folder / name).mkdir()
    (folder / "bad" / "broken").touch()
    try:
        yield Services(good=commands(folder / "good"), bad=commands(folder / "bad"))
    finally:
        kill_slept(folder / "good" / "pid")


def commands(folder: Path, **changed) -> sdk.Commands:
    words = (sys.executable, "-S", str(HERE / "init_script.py"), str(folder))
    chosen = {verb: (*words, verb) for verb in ("status", "start", "stop")} | changed
    return sdk.Commands(sdk.CommandSettings(**chosen))


def kill_slept(file: Path) -> None:
    if file.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


@contextmanager
def by_fake_systemd(folder: Path) -> Iterator[Services]:
    with fake_systemctl(folder, {"good": SLEEPS, "bad": BREAKS}) as settings:
        yield Services(
            good=sdk.Systemd(sdk.SystemdSettings(unit="good", **settings)),
            bad=sdk.Systemd(sdk.SystemdSettings(unit="bad.service", **settings)),
        )


@contextmanager
def fake_systemctl(folder: Path, units: dict[str, str]) -> Iterator[dict]:
    """Settings under which these units are found."""
    for name, text in units.items():
        (folder / f"{name}.service").write_text(text)
    program = (sys.executable, "-S", str(HERE / "fake_systemctl.py"))
    try:
        yield {"systemctl": ("env", f"FAKE_SYSTEMD={folder}", *program)}
    finally:
        for name in units:
            stop = [*("env", f"FAKE_SYSTEMD={folder}"), *program, "stop", name]
            subprocess.run(stop, check=False, capture_output=True)


@contextmanager
def by_real_systemd(folder: Path) -> Iterator[Services]:
    """Skips the test where a systemd of its own cannot be had."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "systemctl"))):
        pytest.skip("a systemd of its own needs root, util-linux and systemd")
    units = folder / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "good.service").write_text(SLEEPS)
    (units / "bad.service").write_text(BREAKS)
    runtime = "/run/user/0"
    manager = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", _NAMESPACE],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": runtime},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    inside = ("nsenter", "-t", str(manager.pid), "-m", "env", f"XDG_RUNTIME_DIR={runtime}")
    try:
        alive = f"kill -0 {manager.pid} && sleep 0.2 || exit 1"
        ready = f"until systemctl --user show >/dev/null 2>&1; do {alive}; done"
        bounded = ["timeout", str(WAIT_SECONDS), *inside, "sh", "-c", ready]
        if subprocess.run(bounded, capture_output=True).returncode:
            pytest.skip("this machine lets no second systemd run")
        systemctl = (*inside, "systemctl")
        yield Services(
            good=sdk.Systemd(sdk.SystemdSettings(unit="good", is_user=True, systemctl=systemctl)),
            bad=sdk.Systemd(sdk.SystemdSettings(unit="bad", is_user=True, systemctl=systemctl)),
        )
    finally:
        for unit in ("good", "bad"):
            subprocess.run([*inside, "systemctl", "--user", "stop", unit], capture_output=True)
        manager.terminate()
        manager.wait()

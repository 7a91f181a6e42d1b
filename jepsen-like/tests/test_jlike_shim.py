"""The library that is loaded into peers: what it bends and refuses in a real process, and that it
leaves alone whatever it is not told of."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jlike import shim
from jlike.shim import Page

pytestmark = pytest.mark.skipif(shim.compiler() is None, reason="no C compiler")
HOUR_S = 3_600
LIMIT_S = 60
CHILD = """
import datetime, json, os, sys, time
said = {"time": time.time(), "date": datetime.datetime.now().timestamp(), "errors": []}
said["monotonic"] = time.monotonic()
with open(sys.argv[1], "wb") as file:
    for act in (os.fsync, os.fdatasync):
        try:
            file.write(b"x")
            file.flush()
            act(file.fileno())
        except OSError as error:
            said["errors"].append(error.errno)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.build(tmp_path_factory.mktemp("library"))


def _said(library: Path, page: Page) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(page.path.with_name("written"))],
        env={**os.environ, **page.environment(library)},
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_it_does_nothing_unasked(library, tmp_path):
    page = Page(tmp_path / "faults")
    before = time.time()
    said = _said(library, page)
    assert before <= said["time"] <= time.time()
    assert said["errors"] == []
    assert [page[it] for it in shim.LAYOUT] == [0] * len(shim.LAYOUT)


@pytest.mark.parametrize("hours", [1, -1])
def test_the_wall_clock_of_one_process_jumps_and_no_other_clock_does(library, tmp_path, hours):
    page = Page(tmp_path / "faults")
    page["clock_offset_ns"] = hours * HOUR_S * 10**9
    before, monotonic_before = time.time(), time.monotonic()
    said = _said(library, page)
    after, monotonic_after = time.time(), time.monotonic()
    for name in ("time", "date"):
        assert before + hours * HOUR_S <= said[name] <= after + hours * HOUR_S
    assert monotonic_before <= said["monotonic"] <= monotonic_after
    assert after < before + HOUR_S, "the machine's clock is not touched"
    assert page["clocks_bent"] >= 2


def test_promises_of_the_disk_fail_as_told_and_are_counted(library, tmp_path):
    page = Page(tmp_path / "faults")
    page["sync_errno"] = errno.EIO
    assert _said(library, page)["errors"] == [errno.EIO, errno.EIO]
    assert page["syncs_failed"] == 2
    page.heal()
    assert _said(library, page)["errors"] == []


def test_promises_of_the_disk_come_late_as_told_and_are_counted(library, tmp_path):
    page = Page(tmp_path / "faults")
    page["sync_delay_us"] = 50_000
    began = time.monotonic()
    assert _said(library, page)["errors"] == []
    assert time.monotonic() - began >= 0.1, "two of them, 50 ms each"
    assert page["syncs_delayed"] == 2


def test_a_compiler_that_refuses_is_told_of(tmp_path, monkeypatch):
    broken = tmp_path / "broken.c"
    broken.write_text("int main(", encoding="utf-8")
    monkeypatch.setattr(shim, "SOURCE", broken)
    with pytest.raises(OSError, match=r"does not compile .*broken\.c"):
        shim.build(tmp_path)

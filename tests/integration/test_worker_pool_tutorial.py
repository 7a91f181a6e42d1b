"""The worker pool of docs/tutorial/worker-pool.md, run as its reader runs it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from docs_runner import free_ports

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "docs/tutorial/worker_pool.py"
WORKER = ROOT / "docs/tutorial/pool_worker.py"
PAGE = ROOT / "docs/tutorial/worker-pool.md"
JOBS = 10_000
CLAIMS = (
    "yes: the other workers ended in good order",
    "yes: every order has exactly one receipt",
    "yes: no order waits, is claimed, or is dead",
    "yes: the logs of all peers are equal: N events",
    "yes: the follower saw every event once, and in order",
)


@pytest.mark.processes
@pytest.mark.timeout(420)
async def test_every_effect_is_there_once_though_a_worker_and_the_leader_were_killed(tmp_path):
    ports = free_ports()
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), "--jobs", str(JOBS), "--data-dir", str(tmp_path)),
        *("--http-port", str(ports[16016]), "--raft-port", str(ports[16116])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(400):
            said = (await program.communicate())[0].decode()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert program.returncode == 0, said
    assert "Traceback" not in said
    assert number("killed worker-2 after (\\d+) jobs", said) in range(1, JOBS)
    assert number("killed p\\d, the leader, after (\\d+) jobs", said) in range(1, JOBS)
    assert number("(\\d+) claims were lost and their jobs came again", said) >= 1
    # Sent, claimed, done, with a receipt: four events a job at least.
    assert number("are equal: (\\d+) events", said) >= 4 * JOBS
    lines = [re.sub("equal: \\d+", "equal: N", line) for line in said.splitlines()]
    assert [line for line in lines if line.startswith("yes")] == list(CLAIMS)


def test_the_page_shows_the_worker_as_it_is():
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown in WORKER.read_text()


def test_the_page_shows_what_the_program_says():
    page = PAGE.read_text()
    assert all(re.search(claim.replace("N", "\\d+"), page) for claim in CLAIMS)


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in {text}"
    return int(found[1])

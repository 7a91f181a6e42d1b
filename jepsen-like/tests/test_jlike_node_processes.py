"""Processes of nodes that belong to nobody: found, hurt, started again, and ended whatever happens
to whoever ran them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jlike import node_processes
from jlike.node_processes import AGENT, STORE, Lifeline

SLEEP = "import sys, time; time.sleep(1000)"
HOLDS_A_LIFELINE = (
    "import pathlib, sys, time; from jlike.node_processes import Lifeline;"
    " it = Lifeline(pathlib.Path(sys.argv[1])); print('up', flush=True); time.sleep(1000)"
)


@pytest.fixture
def processes(tmp_path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Like those of a node: an agent is told its folder, a store works there; one is a stranger."""
    data = tmp_path / "nodes" / "c1" / "n1" / "data"
    data.mkdir(parents=True)
    started = [
        subprocess.Popen([sys.executable, "-S", "-c", SLEEP, "--data-dir", str(data)]),
        subprocess.Popen([sys.executable, "-S", "-c", SLEEP], cwd=data),
        subprocess.Popen([sys.executable, "-S", "-c", SLEEP], cwd=tmp_path),
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def node(tmp_path, processes) -> Path:
    return Path(tmp_path / "nodes")


async def _until(is_true: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def test_agents_and_stores_are_told_apart_and_from_others(node):
    found = node_processes.find(node)
    assert [(it.part, it.node) for it in found] == [(AGENT, "n1"), (STORE, "n1")]


async def test_a_process_is_stopped_killed_and_started_again(node):
    agent, _ = node_processes.find(node)
    agent.signal(signal.SIGSTOP)
    await _until(lambda: agent.state == "T")
    assert await agent.kill()
    assert [it.part for it in node_processes.find(node)] == [STORE]
    agent.start_again(node / "log")
    await _until(lambda: len(node_processes.find(node)) == 2)
    back = node_processes.find(node)[0]
    assert back.words == agent.words and back.pid != agent.pid
    assert os.getpgid(back.pid) != os.getpgid(0)
    await node_processes.end_all(node)
    assert not node_processes.find(node)


async def test_they_end_with_whoever_held_their_lifeline_though_it_was_killed(node, processes):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_LIFELINE, str(node)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        assert len(node_processes.find(node)) == 2
    finally:
        holder.kill()
        holder.communicate()
    await _until(lambda: not node_processes.find(node))
    assert processes[2].poll() is None, "it is of no node there"


async def test_a_lifeline_that_is_cut_ends_nobody(node):
    lifeline = Lifeline(node)
    lifeline.cut()
    lifeline.cut()
    assert len(node_processes.find(node)) == 2

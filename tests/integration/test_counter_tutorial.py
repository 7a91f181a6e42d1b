"""The counter of docs/tutorial/replicate-anything.md, run as its reader runs it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_peer import HOST, PORTS, eventually

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "docs/tutorial/counter.py"
PAGE = ROOT / "docs/tutorial/replicate-anything.md"
NAMES = ("one", "two", "three")


class Terminal:
    """One of the three, with what it printed."""

    def __init__(self, name: str, members: list[str], folder: Path) -> None:
        self._path = folder / f"{name}.log"
        with self._path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), name, *members],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def text(self) -> str:
        return self._path.read_text()

    def sums(self) -> list[int]:
        return [int(found) for found in re.findall(r"the sum is (\d+)", self.text())]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextmanager
def terminals(folder: Path) -> Iterator[dict[str, Terminal]]:
    members = [f"{name}={HOST}:{PORTS.take()}" for name in NAMES]
    opened = {name: Terminal(name, members, folder) for name in NAMES}
    try:
        yield opened
    finally:
        for terminal in opened.values():
            with contextlib.suppress(ProcessLookupError):
                terminal.end(signal.SIGKILL)


async def more(terminal: Terminal, *, than: int) -> int:
    """The first sum of this process above `than`."""

    def found() -> int | None:
        return next((value for value in terminal.sums() if value > than), None)

    return await eventually(found, f"a sum above {than}")


@pytest.mark.processes
async def test_three_processes_share_a_counter_and_any_one_may_be_killed(tmp_path):
    with terminals(tmp_path) as opened:
        one, two, three = opened.values()
        for terminal in opened.values():
            await more(terminal, than=3)
        one.end(signal.SIGKILL)
        seen = max(two.sums() + three.sums())
        await more(two, than=seen)
        await more(three, than=seen)
        seen = max(two.sums() + three.sums())
        members = one.process.args[3:]
        opened["one"] = again = Terminal("one", members, tmp_path)
        await more(again, than=seen)
        everything = again.sums() + two.sums() + three.sums()
        assert len(everything) == len(set(everything)), "no addition was applied twice"
        for terminal in opened.values():
            assert terminal.end(signal.SIGINT) == 0
            assert "Traceback" not in terminal.text()


def test_the_page_shows_the_program_as_it_is():
    program, page = PROGRAM.read_text(), PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    assert all(block.strip() in program for block in blocks)


def test_the_program_is_at_most_thirty_lines_besides_its_imports():
    lines = [line for line in PROGRAM.read_text().splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith(("import ", "from ", '"""'))]
    assert len(code) <= 30

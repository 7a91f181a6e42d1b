"""The program of docs/howto/raft-in-a-program.md, run as its reader runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_peer import HOST, PORTS
from docs_commands import output_matches

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "docs/howto/raft_in_a_program.py"
PAGE = ROOT / "docs/howto/raft-in-a-program.md"


def test_the_page_shows_the_program_as_it_is():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    assert all(block.strip() in PROGRAM.read_text() for block in blocks)


@pytest.mark.processes
def test_the_program_does_what_the_page_says(tmp_path):
    addresses = [f"{name}={HOST}:{PORTS.take()}" for name in "abcd"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *addresses],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = PAGE.read_text()
    shown = page.partition("$ python docs/howto/raft_in_a_program.py\n")[2].partition("```")[0]
    assert output_matches(tuple(shown.splitlines()), done.stdout), done.stdout

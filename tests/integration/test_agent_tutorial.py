"""The agent of docs/tutorial/write-an-agent.md, killed in the middle of an action."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_processes import toy

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.processes

PROGRAM = ROOT / "docs/tutorial/toy_agent.py"
PAGE = ROOT / "docs/tutorial/write-an-agent.md"
FILL = "lines.example.com/fill"


async def test_an_action_of_the_toy_goes_on_after_a_kill(tmp_path):
    process, lines = toy(tmp_path), tmp_path / "lines" / "lines"
    async with process.calling() as agent:
        await agent.submit(FILL, {"line": "x"}, action_id="fill")
        await agent.until("fill", lambda found: found["state"]["payload"] is not None)
    assert 1 <= len(lines.read_text().splitlines()) <= 5
    async with process.calling() as agent:
        await agent.until_phase("fill", "DONE")
    assert lines.read_text() == "x\n" * 5


def test_the_toy_is_as_short_as_the_page_says():
    assert len(PROGRAM.read_text().splitlines()) < 80
    assert "under 80 lines" in PAGE.read_text()


def test_the_page_shows_the_program_as_it_is():
    blocks = PAGE.read_text().split("```python\n")[1:]
    assert blocks
    for block in blocks:
        assert _unindented(block.partition("```")[0]) in _unindented(PROGRAM.read_text())


def _unindented(text: str) -> str:
    """A page shows methods without their class."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())

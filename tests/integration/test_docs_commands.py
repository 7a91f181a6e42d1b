"""Every command that README and docs show is run, or names the test that covers it."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from pathlib import Path

import docs_commands as commands
import pytest
from docs_commands import Step
from docs_runner import page

ROOT = Path(__file__).resolve().parents[2]


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(path: Path) -> list[commands.Block]:
    return commands.blocks(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def pages_to_run() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for path in documents()
        if path.exists() and any(block.covered_by is None for block in blocks_of(path))
    ]


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", pages_to_run())
def test_a_page_does_what_it_shows(name, tmp_path):
    text = (ROOT / name).read_text(encoding="utf-8")
    if "curl" in text and shutil.which("curl") is None:
        pytest.skip("this machine has no curl, which the page uses")
    with page(tmp_path) as run:
        for block in blocks_of(ROOT / name):
            if block.covered_by is None:
                run.run(block)


def test_a_block_that_is_not_run_names_a_test_that_exists():
    for path in documents():
        for block in blocks_of(path):
            if block.covered_by is None:
                continue
            file, _, name = block.covered_by.partition("::")
            where = f"{block.document}:{block.line} is covered by {block.covered_by}"
            assert (ROOT / file).is_file(), f"{where}, which does not exist"
            tests = re.findall(
                r"^(?:async )?def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE
            )
            assert not name or name in tests, f"{where}, which holds no such test"


def test_the_readme_shows_commands():
    assert len(blocks_of(ROOT / "README.md")) >= 3


PAGE = """# Title
Prose with `$ not a command`.

```console
$ echo one
one
$ cat <<EOF
> two
> EOF
…
three
```

<!-- not run here: it never ends; covered by tests/x/test_y.py::test_z -->
```bash
make demo
```

<!-- stays up -->
```console
$ replicante dev
```

```json
{"$ ": 1}
```
"""


def test_commands_and_their_output_are_told_apart():
    first, second, third = commands.blocks("page.md", PAGE)
    assert first.steps == (
        Step(command="echo one", shown=("one",)),
        Step(command="cat <<EOF\ntwo\nEOF", shown=("…", "three")),
    )
    assert (first.covered_by, first.stays_up, first.line) == (None, False, 4)
    assert second.steps == (Step(command="make demo", shown=None),)
    assert second.not_run_reason == "it never ends"
    assert second.covered_by == "tests/x/test_y.py::test_z"
    assert third.stays_up


def test_a_block_inside_a_list_loses_its_indentation():
    text = "- first\n  ```console\n  $ echo one\n  one\n  ```\n"
    assert commands.blocks("page.md", text)[0].steps == (Step(command="echo one", shown=("one",)),)


@pytest.mark.parametrize(
    "text",
    [
        "```sh\n$ echo\n```\n",
        "```\n$ echo\n```\n",
        "```console\nno prompt\n```\n",
        "```console\n```\n",
        "```console\n$ echo\n",
        "<!-- not run here: no test named -->\n```console\n$ echo\n```\n",
        "<!-- stay up -->\n```console\n$ echo\n```\n",
    ],
)
def test_a_page_that_cannot_be_judged_is_refused(text):
    with pytest.raises(commands.BadDocument, match=r"page\.md:\d"):
        commands.blocks("page.md", text)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        (["one"], "one\n"),
        (["one", "two"], "one  \ntwo\n\n"),
        (['{"revision": "…"}'], '{"revision": "0000000000000065536"}\n'),
        (["…"], ""),
        (["…"], "a\nb\n"),
        (["a", "…", "z"], "a\nz\n"),
        (["a", "…", "z"], "a\nb\nc\nz\n"),
        (["100% (a+b)? [x]"], "100% (a+b)? [x]"),
    ],
)
def test_output_as_shown_passes(shown, output):
    assert commands.output_matches(tuple(shown), output)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        (["one"], ""),
        (["one"], "one\ntwo\n"),
        (["one", "two"], "two\none\n"),
        (["a…c"], "a\nc\n"),
        (["a", "…", "z"], "a\nb\n"),
        (["a.c"], "abc"),
    ],
)
def test_other_output_fails(shown, output):
    assert not commands.output_matches(tuple(shown), output)


def test_ports_are_replaced_as_whole_numbers():
    ports = {16016: 1, 16017: 2}
    text = "http://127.0.0.1:16016/x 16017, 160160 1.16016"
    assert commands.with_ports(text, ports) == "http://127.0.0.1:1/x 2, 160160 1.16016"


@pytest.mark.processes
def test_a_page_runs_in_an_empty_folder_and_leaves_no_process(tmp_path):
    text = (
        "<!-- stays up -->\n```console\n"
        "$ bash -c 'trap \"exit 0\" INT; echo ready: now; sleep 60 & wait'\n```\n"
        "```console\n$ echo kept > file; sleep 60 > /dev/null 2>&1 &\n$ cat file\nkept\n```\n"
    )
    with page(tmp_path) as run:
        for block in commands.blocks("page.md", text):
            run.run(block)
    groups = {process.pid for process in run.started}
    assert len(groups) == 3
    # A killed process that is nobody's child tells nobody when it is gone: ask again, for a while.
    asked = (threading.Event().wait(0.02) or running_groups() for _ in range(500))
    assert any(not groups & running for running in asked), "something was left running"


@pytest.mark.processes
@pytest.mark.parametrize("text", ["$ false", "$ echo one\ntwo", "$ printf one | false | cat"])
def test_a_page_that_lies_fails(text, tmp_path):
    with page(tmp_path) as run, pytest.raises(AssertionError, match=r"page\.md:1"):
        for block in commands.blocks("page.md", f"```console\n{text}\n```\n"):
            run.run(block)


def running_groups() -> set[int]:
    """Process groups with a member that is more than a zombie."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                found.add(int(group))
    return found

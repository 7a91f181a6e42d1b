"""Documents that cannot drift: links, generated pages, the index, the promises of README and CI."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest
from source_tree import ROOT, files, markdown_files, relative

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.DOTALL | re.MULTILINE)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home/\w|root/|Users/\w|wo" + r"rk/\w|tmp/[a-z]+/)")
WORKPLACE_WORDS = re.compile(
    r"\b(?:issue\s+#?\d|the\s+le" + r"ad\b|col" + r"league|rev" + r"iewer|the\s+br" + r"ief\b|"
    r"product" + r"\.md|PL" + r"AN\.md|la" + r"ter issue|next is" + r"sue)",
    re.IGNORECASE,
)
"""The project speaks of itself, not of who made it, where, and in which order."""


def test_every_link_leads_somewhere():
    broken = [
        f"{relative(path)}: {target}"
        for path in markdown_files()
        for target in _links(path.read_text(encoding="utf-8"))
        if not _resolves(path, target)
    ]
    assert not broken, "\n" + "\n".join(broken)


def test_generated_pages_are_fresh(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    module = importlib.import_module("generate")
    stale = [
        relative(path)
        for path, text in module.pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `.venv/bin/python docs/generate.py`: {', '.join(stale)}"


def test_the_contracts_stand_in_the_architecture_page():
    assert "<!-- generated: contracts -->" in _text("docs/explanation/architecture.md")


def test_every_decision_is_in_the_index_and_has_its_parts():
    index = _text("docs/README.md")
    numbers = []
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name), path.name
        assert f"(adr/{path.name})" in index, f"{path.name} is not in docs/README.md"
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# (ADR )?{path.name[:4]}\b", text), (
            f"{path.name}: the title begins with its number"
        )
        for part in ("Status", "Context", "Decision", "Consequences"):
            assert re.search(rf"^(## |\*\*|- )?{part}", text, re.MULTILINE), f"{path.name}: {part}"
        numbers.append(path.name[:4])
    assert len(set(numbers)) == len(numbers), "two decisions share a number"


def test_every_document_is_in_the_index():
    index = _text("docs/README.md")
    lost = [
        relative(path)
        for path in files("docs")
        if path.suffix == ".md"
        and path != ROOT / "docs" / "README.md"
        and f"({path.relative_to(ROOT / 'docs').as_posix()})" not in index
    ]
    assert not lost, lost


@pytest.mark.parametrize(
    "page",
    [
        "explanation/consistency",
        "howto/follow-events",
        "howto/keys-and-values",
        "howto/leases-and-transactions",
        "howto/queues",
    ],
)
def test_a_page_of_the_state_promises_first_and_ends_with_how_it_can_fail(page):
    text = FENCE.sub("", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    assert re.search("What is promised|The promise", "".join(parts[:2])), "before anything else"
    titles = [part.splitlines()[0] for part in parts[1:]]
    fails = [title for title in titles if title.startswith("How it can fail")]
    assert fails and titles.index(fails[0]) >= len(titles) - 2, titles


def test_readme_names_the_two_commands():
    readme = _text("README.md")
    assert "make demo" in readme
    assert "make test" in readme


def test_the_pipeline_runs_check_and_test():
    run = ROOT / ".ci" / "run"
    lines = run.read_text(encoding="utf-8").splitlines()
    assert "make check" in lines
    assert "make test" in lines
    assert run.stat().st_mode & 0o100, ".ci/run is not executable"


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_make_has_the_promised_targets(target):
    assert re.search(rf"^{target}:", _text("Makefile"), re.MULTILINE)


@pytest.mark.parametrize("name", ["DESIGN.md"])
def test_design_notes_stay_short(name):
    for path in files("replicante", "jepsen-like"):
        if path.name == name:
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 200, relative(path)


def test_no_file_knows_the_machine_or_the_workplace_it_was_made_in():
    found = [
        f"{relative(path)}:{number} {match.group()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in [MACHINE_PATHS.search(line) or WORKPLACE_WORDS.search(line)]
        if match
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "see /ho" + "me/jane/x",
        "cd /ro" + "ot/x",
        "as is" + "sue 7 says",
        "as the le" + "ad decided",
    ],
)
def test_the_word_police_sees_a_bad_sample(line):
    assert MACHINE_PATHS.search(line) or WORKPLACE_WORDS.search(line)


@pytest.mark.parametrize("line", ["the leader", "/api/v0/kv/root/x", "PySyncObj issues, #84"])
def test_the_word_police_leaves_good_prose_alone(line):
    assert not MACHINE_PATHS.search(line)
    assert not WORKPLACE_WORDS.search(line)


def test_the_package_starts_without_its_command_line():
    """An SDK user who imports the package loads neither server nor engine."""
    program = "import sys, replicante.client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "replicante.server",
        "replicante.raft",
        "replicante.api",
        "pysyncobj",
        "lmdb",
        "click",
    }


def _links(text: str) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return [first or second for first, second in LINK.findall(prose)]


def _resolves(page, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return False
    if not anchor or path.suffix != ".md":
        return True
    return anchor in _anchors(path.read_text(encoding="utf-8"))


def _anchors(text: str) -> set[str]:
    """Heading anchors as the usual renderers make them."""
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")

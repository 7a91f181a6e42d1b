"""The page on divergence names tests that exist, and leaves none of this folder out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "divergence.md"
PATH = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
PAIR = re.compile(r"`([a-z]\w+)`")


def test_every_row_says_which_test_holds_it():
    assert all(row[-1] not in {"", "–"} for row in _rows())


def test_every_named_test_exists():
    missing = [
        f"{path}::{name}"
        for row in _rows()
        for path, name in PATH.findall(row[-1])
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert not missing


def test_the_page_and_this_folder_name_the_same_pairs():
    stock, ours = set(), set()
    for row in _rows():
        for pair in PATH.sub("", row[-1]).split(";"):
            left, arrow, right = pair.partition("→")
            if arrow:
                stock |= set(PAIR.findall(left))
                ours |= set(PAIR.findall(right))
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_stock_*.py")
    )
    assert stock == set(re.findall(r"^def test_stock_(\w+)\(", source, re.MULTILINE))
    assert ours == set(re.findall(r"^def test_ours_(\w+)\(", source, re.MULTILINE))


def _rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ") and not line.startswith("| defect")
    ]
    assert len(cells) > 30
    return cells

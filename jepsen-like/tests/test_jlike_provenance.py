"""What a run was made from: told by git where that knows, and never guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from jlike import product, provenance
from jlike.provenance import CHANGED

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
NAME = {
    f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **NAME},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path) -> Path:
    """A package in a repository with one commit."""
    package = tmp_path / "tree" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    _git(package.parent, "init", "-q")
    _git(package.parent, "add", ".")
    _git(package.parent, "commit", "-q", "-m", "one")
    return package


def test_a_tree_is_told_by_its_commit_with_a_mark_when_it_has_changes(tree):
    commit = _git(tree, "rev-parse", "HEAD")
    assert provenance.commit_of(tree) == commit
    (tree / "__init__.py").write_text("changed = 1\n", encoding="utf-8")
    assert provenance.commit_of(tree) == commit + CHANGED


def test_what_git_does_not_keep_has_no_commit_though_it_lies_in_a_tree(tree, tmp_path):
    """Installed below the folder of somebody's repository."""
    inner = tree / "site-packages"
    inner.mkdir()
    (inner / "__init__.py").touch()
    assert provenance.commit_of(inner) == ""
    assert provenance.commit_of(tmp_path) == ""
    assert provenance.commit_of(tmp_path / "nowhere") == ""


def test_without_git_nothing_is_told(tree, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit_of(tree) == ""


def test_suite_and_product_of_one_commit_are_told_once_and_of_two_both(tree, monkeypatch):
    copy = "/copies/copy"
    commits = {"suite": "a", "product": "a", copy: "b"}
    monkeypatch.setattr(provenance, "SUITE", Path("suite"))
    monkeypatch.setattr(product, "package_of", lambda folder=None: Path(folder or "product"))
    monkeypatch.setattr(provenance, "commit_of", lambda it: commits[str(it)])
    assert provenance.of("", is_ours=True) == "a"
    assert provenance.of(copy, is_ours=True) == "a b"
    assert provenance.of("", is_ours=False) == "a", "what others started is not known"
    commits[copy] = ""
    assert provenance.of(copy, is_ours=True) == "a", "a copy is of no commit"

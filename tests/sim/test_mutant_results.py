"""A run of all mutants goes on where it was interrupted, and believes nothing of other code."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from mutant_parts import Edit, Mutant
from mutant_results import TRUE_CODE, Fate, Results

MUTANT = Mutant("forgets", "nothing is forgotten", (Edit("a.py", "keep", "drop"),))


@pytest.fixture
def root(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "replicante").mkdir()
    commit(tmp_path, "first")
    return tmp_path


def git(root, *arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root, text):
    (root / "replicante" / "a.py").write_text(text)
    git(root, "add", "replicante")
    git(root, "commit", "--quiet", "--message", text)
    return git(root, "rev-parse", "HEAD")


def opened(root, *, since=None):
    return Results(root / "kept.jsonl", root, since=since)


def killed(results):
    return Fate(mutant=MUTANT.name, rule="one leader a term", seed=3, commit=results.commit)


def test_a_kill_is_found_by_the_next_run_on_the_same_commit(root):
    fate = killed(opened(root))
    opened(root).keep(fate, MUTANT)
    assert opened(root).find(MUTANT) == fate


def test_a_survivor_is_made_again(root):
    results = opened(root)
    results.keep(replace(killed(results), rule=""), MUTANT)
    assert results.find(MUTANT) is None
    assert opened(root).find(MUTANT) is None


def test_another_commit_is_believed_only_when_it_is_named(root):
    first = git(root, "rev-parse", "HEAD")
    results = opened(root)
    results.keep(killed(results), MUTANT)
    second = commit(root, "second")
    assert opened(root).find(MUTANT) is None
    assert opened(root, since=second).find(MUTANT) is None
    assert opened(root, since=first).find(MUTANT) == killed(results)


def test_a_mutant_that_was_changed_is_another_one(root):
    results = opened(root)
    results.keep(killed(results), MUTANT)
    changed = replace(MUTANT, edits=(Edit("a.py", "keep", "lose"),))
    assert opened(root).find(changed) is None


def test_what_nobody_committed_is_kept_for_no_other_run(root):
    (root / "replicante" / "a.py").write_text("not committed")
    results = opened(root)
    results.keep(killed(results), MUTANT)
    assert results.find(MUTANT) is not None
    assert opened(root).find(MUTANT) is None


def test_the_true_code_is_known_for_what_it_met(root):
    results = opened(root)
    results.keep(Fate(mutant=TRUE_CODE.name, rule="none", commit=results.commit), TRUE_CODE, "a")
    assert opened(root).find(TRUE_CODE, "a") is not None
    assert opened(root).find(TRUE_CODE, "b") is None

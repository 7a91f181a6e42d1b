"""Which commit a run was made from, as git says. Called by `jlike.runner`.

The seed of a run fixes its questions and faults together with the suite, and what was tested is
the product of one commit. Rule: what git does not keep has no commit, even inside somebody's tree.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from jlike import product

SUITE = Path(__file__).parent
CHANGED = "+changes"
"""After a commit: the tree held more than it."""
COMMAND_S = 20


def of(package: str, *, is_ours: bool) -> str:
    """The commit of the suite; that of the product behind a space, when it is another one. Empty
    where nothing is known.

    package: folder that holds the copy peers are started from; empty: the one that is installed.
    is_ours: we start it."""
    folders = [SUITE]
    if is_ours:
        folders.append(product.package_of(Path(package).resolve() if package else None))
    return " ".join(dict.fromkeys(it for it in map(commit_of, folders) if it))


def commit_of(package: Path) -> str:
    """Of the tree that holds this package. Empty: git is not here, or does not keep it."""
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return ""
    commit = _git(package, "rev-parse", "HEAD")
    if not commit:
        return ""
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    return commit if changes == "" else commit + CHANGED


def _git(folder: Path, *words: str) -> str | None:
    """What it says; None: it refuses, or cannot be had."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

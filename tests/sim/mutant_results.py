"""Keeps what became of each mutant, so that a run of all of them can be interrupted and goes on
where it was. Called by `mutants`.

A line a fate, with the commit of the code that the mutant was made of. Rules: survivors are not
kept, so the next run makes them again; nor is anything that was made of files nobody committed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from mutant_parts import Mutant

TRUE_CODE = Mutant("the true code", "all promises hold", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    mutant: str
    rule: str
    """What was broken; empty when nothing was."""
    seed: int = -1
    elapsed_ms: int = 0
    commit: str = ""
    """Of the code that it was made of; empty: nobody committed that."""


class Results:
    def __init__(self, path: Path, root: Path, *, since: str | None) -> None:
        """since: a commit from which on results are believed; None: only those of this commit."""
        self._path = path
        is_committed = not _said(root, "status", "--porcelain", "--", "replicante", "tests")
        self.commit = _said(root, "rev-parse", "HEAD") if is_committed else ""
        """Of the code as it lies there; empty: nobody committed that."""
        later = _said(root, "rev-list", f"{since}..HEAD").split() if since else []
        first = [_said(root, "rev-parse", f"{since}^{{commit}}")] if since else []
        believed = {*first, *later} or {self.commit}
        self._known = {key: fate for key, fate in self._load() if fate.commit in believed}

    def find(self, mutant: Mutant, met: str = "") -> Fate | None:
        """met: what it has to meet, beside what the mutant itself says."""
        return self._known.get(_key(mutant, met))

    def keep(self, fate: Fate, mutant: Mutant, met: str = "") -> None:
        if not fate.rule:
            return
        key = _key(mutant, met)
        self._known[key] = fate
        if not fate.commit:
            return
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, **asdict(fate)}) + "\n")

    def _load(self) -> list[tuple[str, Fate]]:
        if not self._path.exists():
            return []
        rows = map(json.loads, self._path.read_text("utf-8").splitlines())
        return [(row.pop("key"), Fate(**row)) for row in rows]


def _key(mutant: Mutant, met: str) -> str:
    """Another mutant once anything of it is changed but the words."""
    parts = (mutant.name, mutant.edits, mutant.seeds_max, mutant.test, met)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _said(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()

"""How what is tested is called: its package, the words that start it, its certificates.

Used by `jlike.peers`, and by whoever must know what peers are started from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = (sys.executable, "-P", "-m", "replicante")
"""-P: what is tested is what is installed, or the copy that was named, wherever we are started."""
PACKAGE = "replicante"
CLUSTER = "jlike"
COMMAND_S = 60


def package_of(folder: Path | None) -> Path:
    """Where a process gets the package from that is started as peers are from the copy in this
    folder: from elsewhere when no copy is there. None: as peers are without a copy."""
    copy = {} if folder is None else {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import {PACKAGE}; print({PACKAGE}.__path__[0])"],
        env={**os.environ, **copy},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    return Path(done.stdout.strip())


def certify(folder: Path, ids: Sequence[str]) -> None:
    """An authority for this run, and a certificate for each peer."""
    place = ("--dir", str(folder))
    for words in (("init", CLUSTER, *place), ("issue", *ids, *place)):
        subprocess.run(
            [*PROGRAM, "pki", *words], check=True, capture_output=True, timeout=COMMAND_S
        )

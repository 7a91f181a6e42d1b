"""Tells one process of this machine from another that got its number later. Reads /proc. Called by
`platforms` and `agents`.
"""

from __future__ import annotations

from pathlib import Path


def process_birth(pid: int) -> str | None:
    """When the process began, in ticks since the machine did; None: it is gone, or dead and not
    yet buried."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program, in brackets, may hold anything: what follows it does not.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]

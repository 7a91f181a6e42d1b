"""A small file that is there as a whole, or as it was before. Called by `agents`, `platforms` and
`script_keeper`.
"""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o600
_USUAL = 0o666


def write_durably(path: Path, text: str, *, mode: int = _USUAL) -> None:
    """The whole text or what was there before, whenever the power is cut. mode: of the file, less
    the process's mask; PRIVATE where secrets are in it.  Raises OSError."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

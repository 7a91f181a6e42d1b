"""The library that is loaded into peers to bend their clock and to slow or fail their disk.

Used by `jlike.peers` (compiles it, gives each peer a page) and the nemesis (writes the page). What
it does is in `faults.c`. Needs a C compiler and the headers of libc, no privileges.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
COMPILERS = ("cc", "gcc", "clang")
COMPILE_S = 60
LAYOUT = (
    *("clock_offset_ns", "sync_delay_us", "sync_errno"),
    *("clocks_bent", "syncs_delayed", "syncs_failed"),
)
"""The first three are ours to write, the others count what the library did."""
_FIELD_BYTES = 8


def compiler() -> str | None:
    return next((found for it in COMPILERS if (found := shutil.which(it))), None)


def build(folder: Path) -> Path:
    """Result: the library. Raises OSError with what the compiler said."""
    found = compiler()
    if found is None:
        raise OSError(f"no C compiler: none of {', '.join(COMPILERS)}")
    library = folder / "faults.so"
    words = [found, "-std=gnu11", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(
        [*words, "-ldl"], capture_output=True, text=True, check=False, timeout=COMPILE_S
    )
    if done.returncode != 0:
        raise OSError(f"{found} does not compile {SOURCE}: {done.stderr.strip()[:500]}")
    return library


class Page:
    """What one peer's library does now. All zero: nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(len(LAYOUT) * _FIELD_BYTES))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, name: str) -> int:
        found: int = struct.unpack_from("q", self._bytes, LAYOUT.index(name) * _FIELD_BYTES)[0]
        return found

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("q", self._bytes, LAYOUT.index(name) * _FIELD_BYTES, value)

    def heal(self) -> None:
        for name in ("clock_offset_ns", "sync_delay_us", "sync_errno"):
            self[name] = 0

    def environment(self, library: Path) -> dict[str, str]:
        return {"LD_PRELOAD": str(library), "JLIKE_FAULTS": str(self.path)}

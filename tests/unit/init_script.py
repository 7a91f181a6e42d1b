"""An init script for tests: `init_script.py FOLDER start|stop|status`, for a service that sleeps.

Its codes are those of the Linux Standard Base. What it starts keeps its output open, as daemons of
careless authors do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def main(folder: Path, verb: str) -> int:
    file = folder / "pid"
    pid = int(file.read_text()) if file.exists() else 0
    match verb:
        case "status" if pid:
            # Also for one that is gone: whether it lives is not this script's to say.
            print(pid)
        case "status":
            return 3
        case "start" if (folder / "broken").exists():
            print("the store is broken", file=sys.stderr)
            return 1
        case "start" if not _is_alive(pid):
            process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            file.write_text(str(process.pid))
        case "stop" if pid:
            if _is_alive(pid):
                os.kill(pid, signal.SIGKILL)
            file.unlink()
    return 0


def _is_alive(pid: int) -> bool:
    try:
        return (
            pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))

"""A short run of the fuzzer over every operation: `make fuzz` is the long one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED = "1"
"""One that found nothing, so that this run equals the one before; `make fuzz` mints its own."""

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def test_what_the_description_says_of_every_operation_is_true():
    done = subprocess.run(
        [
            sys.executable,
            "tests/fuzz/fuzz.py",
            f"--seed={SEED}",
            "--examples=2",
            "--peers=1",
            "--phases=fuzzing,stateful",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    selected, tested = (
        re.search(rf"{word}: +([0-9]+)", done.stdout).group(1) for word in ("Selected", "Tested")
    )
    assert selected.isdigit() and int(tested) > 80, "every operation was tried"

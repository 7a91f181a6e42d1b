"""The command line, one file per noun."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    raise SystemExit("replicante: no commands yet")

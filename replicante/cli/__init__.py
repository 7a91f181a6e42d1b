"""The command line, one file per noun.

`main` is the one place where an error becomes text and an exit code: a command raises, and never
prints a traceback.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from replicante.cli.root import run  # what imports `replicante.cli.render` loads no commands

    run()

"""`python -m replicante` is the same program as the console script `replicante`."""

from __future__ import annotations


def main() -> None:
    from replicante.cli import main as cli_main  # the SDK's users never load the command line

    cli_main()


if __name__ == "__main__":
    main()

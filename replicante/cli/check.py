"""`replicante check`: is a data directory sound, asked while its peer does not run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replicante.cli import render
from replicante.cli.common import Failed, example
from replicante.cli.exits import Exit
from replicante.cli.render import Output
from replicante.errors import ReplicanteError

if TYPE_CHECKING:  # the whole server is loaded by a command that runs, not by --help
    from replicante.data_check import Finding


@click.command(
    epilog=example(
        "replicante check /var/lib/replicante",
        "replicante check dev-data/p1 -o json",
    )
)
@click.argument("data_dir", type=click.Path(path_type=Path), metavar="DATA_DIR")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Where a copy of the state is made for a while; else the folder for temporary files.",
)
@click.option(
    "-o",
    "--output",
    "output_name",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    help="How the answer is printed.",
)
def check(data_dir: Path, *, scratch: Path | None, output_name: str) -> int:
    """Prove the data directory of a stopped peer sound, or say what is broken.

    The log's checksums and chain, the invariants of the state, its digest; the log's newer entries
    are applied to a copy, and a log that was never trimmed must lead to the very rows that are
    there. Nothing is changed. Ends with 1 when something is broken.
    """
    from replicante.data_check import Verdict, check_data_dir

    output = Output(output_name)
    try:
        found = check_data_dir(data_dir, scratch=scratch)
    except ReplicanteError as exc:
        raise Failed(exc, output) from exc
    click.echo(_text(found) if output is Output.TABLE else render.document(found, output))
    is_broken = any(it.verdict is Verdict.BROKEN for it in found)
    return Exit.FAILED if is_broken else Exit.OK


def _text(found: list[Finding]) -> str:
    return render.pairs([(it.question.value, f"{it.verdict.value}: {it.detail}") for it in found])

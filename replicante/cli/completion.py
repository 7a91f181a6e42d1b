"""`replicante completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from replicante.cli.common import example

COMPLETE_VARIABLE = "_REPLICANTE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=example(
        'eval "$(replicante completion bash)"',
        "replicante completion fish > ~/.config/fish/completions/replicante.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete `replicante`."""
    kind = get_completion_class(shell)
    assert kind is not None, f"click knows no {shell}"
    click.echo(kind(ctx.find_root().command, {}, "replicante", COMPLETE_VARIABLE).source())

"""The commands by name, and what becomes of their failures."""

from __future__ import annotations

import importlib
import os
import sys

import click

from replicante import __version__
from replicante.cli.common import Failed, error_document, error_text, example
from replicante.cli.completion import COMPLETE_VARIABLE
from replicante.cli.exits import Exit, exit_of
from replicante.cli.render import Output
from replicante.errors import ReplicanteError

COMMANDS = {
    "server": "settings:server",
    "dev": "dev:dev",
    "agent": "agents:agent",
    "playground": "playground:playground",
    "demo": "demo:demo",
    "apply": "objects:apply",
    "diff": "objects:diff",
    "get": "objects:get",
    "list": "objects:list_",
    "delete": "objects:delete",
    "namespace": "nouns:namespace",
    "platform": "nouns:platform",
    "cluster": "nouns:cluster",
    "explain": "explain:explain",
    "plan": "explain:plan",
    "n-action": "actions:n_action",
    "o-action": "actions:o_action",
    "kv": "kv:kv",
    "lease": "leases:lease",
    "queue": "queues:queue",
    "events": "events:events",
    "raft": "status:raft",
    "recover": "recover:recover",
    "status": "status:status",
    "check": "check:check",
    "config": "settings:config",
    "context": "contexts:context",
    "pki": "pki:pki",
    "completion": "completion:completion",
}
"""Name → file and function, loaded when it is asked for: the command line starts fast."""
TRACEBACK_VARIABLE = "REPLICANTE_TRACEBACK"


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        file, _, name = place.partition(":")
        found = getattr(importlib.import_module(f"replicante.cli.{file}"), name)
        assert isinstance(found, click.Command)
        return found


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("replicante dev", "replicante kv put greeting '\"hello\"'"),
)
@click.version_option(__version__, prog_name="replicante")
def replicante() -> None:
    """The control plane for clusters of data stores that needs nothing but itself."""


def run() -> None:
    """Carries out the command of this process, and ends it."""
    code = execute(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """The exit code of a command line; everything is said on stdout and stderr."""
    try:
        result = replicante.main(
            arguments,
            prog_name="replicante",
            complete_var=COMPLETE_VARIABLE,
            standalone_mode=False,
        )
        return result if isinstance(result, int) else Exit.OK
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except click.ClickException as exc:
        exc.show()
        return Exit.USAGE
    except Failed as exc:
        return _failed(exc.error, exc.output)
    except ReplicanteError as exc:
        return _failed(exc, Output.TABLE)
    except BrokenPipeError:
        _let_go_of_stdout()  # whoever read our output has read enough
        return Exit.OK
    except Exception as exc:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        click.echo(
            f"error: this is a defect of replicante: {type(exc).__name__}: {exc}\n"
            f"  hint: {TRACEBACK_VARIABLE}=1 shows where it happened.",
            err=True,
        )
        return Exit.FAILED


def _failed(error: ReplicanteError, output: Output) -> int:
    is_for_people = output is Output.TABLE
    click.echo(error_text(error) if is_for_people else error_document(error, output), err=True)
    return exit_of(error)


def _let_go_of_stdout() -> None:
    """So that the interpreter does not fail on it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

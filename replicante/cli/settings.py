"""`replicante server` and `replicante config`: the commands that read the settings of a peer."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from replicante import lifeline
from replicante.cli import render
from replicante.cli.common import Command, example
from replicante.cli.render import Output
from replicante.config_load import Loaded, load
from replicante.config_schema import Setting, plain, settings
from replicante.dev_plan import LIFELINE_OPTION


def _parameter(setting: Setting) -> str:
    return f"{setting.section}_{setting.key}"


def setting_options(command: Command) -> Command:
    """Adds --config and a flag for every setting; gives the command `load_settings`."""

    @functools.wraps(command)
    def wrapper(*args: Any, config: Path | None, **kwargs: Any) -> None:
        flags = {setting.name: kwargs.pop(_parameter(setting)) for setting in settings()}

        def load_settings() -> Loaded:
            return load(file=config, environment=os.environ, flags=flags)

        command(*args, load_settings=load_settings, **kwargs)

    found: Command = wrapper
    for setting in reversed(settings()):
        found = click.option(
            setting.flag,
            _parameter(setting),
            metavar=setting.type_name.upper().replace(" ", "-"),
            help=f"The setting {setting.name}; also {setting.environment_name}.",
        )(found)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A TOML file with settings.",
    )(found)


@click.command(
    epilog=example(
        "replicante server --config p1.toml",
        "replicante server --peer-id p1 --peer-data-dir data/p1",
    )
)
@click.option(LIFELINE_OPTION, "has_lifeline", is_flag=True, hidden=True)
@setting_options
def server(*, load_settings: Callable[[], Loaded], has_lifeline: bool) -> None:
    """Run one peer until it is told to stop (SIGTERM, Ctrl-C).

    Settings come from the file, then from the environment, then from these options; the later one
    wins.
    """
    from replicante.server import run_peer  # the whole server: other commands do without it

    if has_lifeline:
        lifeline.hold(sys.stdin.fileno())
    sys.exit(run_peer(load_settings().config))


@click.group(epilog=example("replicante config check --config p1.toml"))
def config() -> None:
    """The settings of a peer: what they are, and whether they are right."""


@config.command(epilog=example("replicante config check --config p1.toml"))
@setting_options
def check(*, load_settings: Callable[[], Loaded]) -> None:
    """Say whether a peer would start with these settings, and name every one that is wrong."""
    load_settings()
    click.echo("The settings are valid.", err=True)


@config.command(epilog=example("replicante config show --config p1.toml --origin"))
@click.option("--origin", "has_origin", is_flag=True, help="Also say where each value comes from.")
@click.option(
    "-o",
    "--output",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    help="How they are printed.",
)
@setting_options
def show(*, load_settings: Callable[[], Loaded], has_origin: bool, output: str) -> None:
    """Print the value of every setting, as a peer would see it."""
    loaded = load_settings()
    found = [
        {
            "setting": setting.name,
            "value": plain(getattr(getattr(loaded.config, setting.section), setting.key)),
            **({"origin": str(loaded.origins[setting.name])} if has_origin else {}),
        }
        for setting in settings()
    ]
    if Output(output) is not Output.TABLE:
        click.echo(render.document(found, Output(output)))
        return
    header = ("SETTING", "VALUE", "ORIGIN") if has_origin else ("SETTING", "VALUE")
    click.echo(render.table(header, [tuple(row.values()) for row in found]))

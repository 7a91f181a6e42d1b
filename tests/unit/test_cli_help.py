"""Every command explains itself, with an example that is a command."""

from __future__ import annotations

import shlex

import click
import pytest

from replicante.cli.root import COMMANDS, execute, replicante


def every_command() -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []

    def walk(path: tuple[str, ...], command: click.Command) -> None:
        found.append((path, command))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                walk((*path, name), child)

    walk((), replicante)
    return found


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
def test_help_has_an_example_that_names_the_command(path, capsys):
    assert execute([*path, "--help"]) == 0
    text = capsys.readouterr().out
    examples = text.partition("Example:")[2].strip().splitlines()
    assert examples, "no example"
    assert any(f"replicante {' '.join(path)}".strip() in line for line in examples)


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
def test_every_option_is_explained(path):
    command = dict(every_command())[path]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.name


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
def test_examples_use_options_that_exist(path):
    context = click.Context(replicante)
    for line in (dict(every_command())[path].epilog or "").splitlines():
        words = shlex.split(line)
        if "replicante" not in words:
            continue
        words = words[words.index("replicante") + 1 :]
        command: click.Command = replicante
        while words and isinstance(command, click.Group):
            child = command.get_command(context, words[0])
            assert child is not None, line
            command, words = child, words[1:]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-") and word != "-"} <= known, line


def test_every_command_can_be_loaded():
    context = click.Context(replicante)
    assert all(replicante.get_command(context, name) for name in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell, capsys):
    assert execute(["completion", shell]) == 0
    assert "_REPLICANTE_COMPLETE" in capsys.readouterr().out

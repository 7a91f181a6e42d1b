"""`replicante apply|get|list|delete`: declared objects."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from replicante.cli import render
from replicante.cli.common import Target, client_options, example, read_options
from replicante.cli.documents import DOCUMENTS_BYTES_MAX, Document, parse_documents
from replicante.cli.render import Output
from replicante.client import Client, Read
from replicante.errors import ReplicanteError
from replicante.wire.objects import ApplyAnswer, ObjectSummary


@click.command(
    epilog=example(
        "replicante apply -f cluster.yaml",
        "cat *.yaml | replicante apply -f - --dry-run",
    )
)
@click.option(
    "-f",
    "--file",
    "files",
    type=click.File("rb"),
    multiple=True,
    required=True,
    help="YAML or JSON, any number of documents; - is stdin. May be given again.",
)
@click.option("--dry-run", is_flag=True, help="Check only; write nothing.")
@client_options
def apply(files: tuple[IO[bytes], ...], *, dry_run: bool, target: Target) -> None:
    """Create what the documents declare, or bring it to what they say.

    All documents are read before the first is applied; they are applied in order, and the first
    one that is refused ends the command.
    """
    documents = [document for file in files for document in _read(file)]

    async def apply_all(client: Client) -> list[ApplyAnswer]:
        done: list[ApplyAnswer] = []
        for document in documents:
            try:
                answer = await client.objects.apply(
                    document.body, is_dry_run=dry_run, write=target.write
                )
            except ReplicanteError as exc:
                exc.message = f"{document.origin}: {exc.message}"
                _report(done, target)
                raise
            done.append(answer)
        return done

    _report(target.run(apply_all), target)


@click.command(epilog=example("replicante get namespace default"))
@click.argument("kind")
@click.argument("scope", metavar="NAME…", nargs=-1, required=True)
@client_options
@read_options
def get(kind: str, *, scope: tuple[str, ...], target: Target, read: Read) -> None:
    """Print one object, as YAML unless -o json is asked for. NAME: its own, after the names of what
    holds it."""
    found = target.run(lambda client: client.objects.get(kind, *scope, read=read))
    target.show(found, text=lambda: render.yaml_text(found))


@click.command("list", epilog=example("replicante list namespace"))
@click.argument("kind")
@click.argument("scope", metavar="[NAME…]", nargs=-1)
@client_options
@read_options
def list_(kind: str, *, scope: tuple[str, ...], target: Target, read: Read) -> None:
    """Print all objects of a KIND, within NAME where the kind lives in something."""

    async def collect(client: Client) -> list[ObjectSummary]:
        return [item async for item in client.objects.list(kind, *scope, read=read)]

    items = target.run(collect)
    target.show(
        items,
        text=lambda: render.table(
            ("NAME", "STATUS", "REVISION"), [(it.id, it.status, it.revision) for it in items]
        ),
    )


@click.command(epilog=example("replicante delete namespace default"))
@click.argument("kind")
@click.argument("scope", metavar="NAME…", nargs=-1, required=True)
@click.option("--if-revision", metavar="REVISION", help="Only when it has this revision.")
@client_options
def delete(kind: str, *, scope: tuple[str, ...], if_revision: str | None, target: Target) -> None:
    """Ask for the end of an object."""
    deleted = target.run(
        lambda client: client.objects.delete(
            kind, *scope, expect_revision=if_revision, write=target.write
        )
    )
    target.show(
        deleted,
        text=lambda: render.pairs(
            [
                ("deleted", "/".join((kind.lower(), *scope))),
                ("status", "gone" if deleted.status is None else deleted.status),
                ("revision", deleted.revision),
            ]
        ),
    )


def _read(file: IO[bytes]) -> list[Document]:
    name = "stdin" if file.name in ("<stdin>", "-") else Path(str(file.name)).name
    data = file.read(DOCUMENTS_BYTES_MAX + 1)
    if len(data) > DOCUMENTS_BYTES_MAX:
        raise click.UsageError(f"{name} is larger than {DOCUMENTS_BYTES_MAX} bytes.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"{name} is not UTF-8: {exc}.") from exc
    return parse_documents(text, name=name)


def _report(done: list[ApplyAnswer], target: Target) -> None:
    if not done and target.output is Output.TABLE:
        return
    target.show(
        done,
        text=lambda: render.table(
            ("OBJECT", "RESULT", "REVISION"),
            [(_object_name(it), _result(it), it.revision) for it in done],
        ),
    )


def _object_name(answer: ApplyAnswer) -> str:
    return f"{answer.kind.lower()}/{answer.metadata.get('name', '?')}"


def _result(answer: ApplyAnswer) -> str:
    result = "created" if answer.is_created else "changed" if answer.is_changed else "unchanged"
    return f"{result} (dry run)" if answer.is_dry_run else result

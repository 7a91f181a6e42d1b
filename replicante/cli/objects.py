"""`replicante apply|diff|get|list|delete`: declared objects of every kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

import click

from replicante.cli import render
from replicante.cli.common import Target, client_options, example, read_options
from replicante.cli.documents import Document, read_sources
from replicante.cli.exits import Exit
from replicante.cli.previews import Previews
from replicante.cli.render import Output
from replicante.client import Client, Read
from replicante.errors import NoSuchPath, NotFound, ReplicanteError
from replicante.wire.objects import ApplyAnswer, ObjectAnswer, ObjectDeleted, ObjectSummary
from replicante.wire.values import Json

_KINDS = "namespace NAME, platform NAMESPACE NAME, clusterspec (or cluster) NAMESPACE NAME"
_SHORT_KINDS = {"cluster": "clusterspec"}
"""As the commands of single kinds are called."""

_SOURCES = click.option(
    "-f",
    "--file",
    "sources",
    metavar="FILE|FOLDER|-",
    multiple=True,
    help="YAML or JSON, any number of documents; - is stdin. May be given again.",
)


@click.command(
    epilog=example(
        "replicante apply -f cluster.yaml",
        "replicante apply -f clusters/",
        "cat *.yaml | replicante apply -f - --dry-run",
    )
)
@_SOURCES
@click.option("--dry-run", is_flag=True, help="Check only; write nothing.")
@client_options
def apply(sources: tuple[str, ...], *, dry_run: bool, target: Target) -> None:
    """Create what the documents declare, or bring it to what they say; start actions.

    All documents are read before the first is applied; they are applied in order, and the first
    one that is refused ends the command.
    """
    documents = _documents(sources)

    async def apply_all(client: Client) -> list[ApplyAnswer]:
        done: list[ApplyAnswer] = []
        previews = Previews(client, target.write)
        for document in documents:
            try:
                with _telling(document.origin):
                    if dry_run:
                        answer = await previews.of(document)
                    else:
                        answer = await client.objects.apply(document.body, write=target.write)
            except ReplicanteError:
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
    with _one_of_kinds(kind):
        show_one(_long(kind), scope, target=target, read=read)


@click.command("list", epilog=example("replicante list clusterspec default --labels tier=cache"))
@click.argument("kind")
@click.argument("scope", metavar="[NAME…]", nargs=-1)
@click.option("--labels", default="", help="Only those that have these: a=b,c!=d,e,!f.")
@client_options
@read_options
def list_(kind: str, *, scope: tuple[str, ...], labels: str, target: Target, read: Read) -> None:
    """Print all objects of a KIND, or those within NAME where the kind lives in something."""
    with _one_of_kinds(kind):
        show_list(_long(kind), scope, labels=labels, target=target, read=read)


@click.command(
    epilog=example("replicante delete namespace default", "replicante delete -f cluster.yaml")
)
@click.argument("kind", required=False)
@click.argument("scope", metavar="NAME…", nargs=-1)
@_SOURCES
@click.option("--if-revision", metavar="REVISION", help="Only when it has this revision.")
@client_options
def delete(
    kind: str | None,
    *,
    scope: tuple[str, ...],
    sources: tuple[str, ...],
    if_revision: str | None,
    target: Target,
) -> None:
    """Ask for the end of an object, or of all that the documents declare, in reverse order."""
    if (kind is None) != bool(sources) or (kind is not None and not scope):
        raise click.UsageError("Say which: KIND NAME…, or -f FILE.")
    if sources and if_revision is not None:
        raise click.UsageError("--if-revision goes with one object.")
    wanted = [(document.kind, document.scope) for document in reversed(_documents(sources, 0))]
    if kind is None:
        delete_all(wanted, if_revision=if_revision, target=target)
        return
    with _one_of_kinds(kind):
        delete_all([(_long(kind), scope)], if_revision=if_revision, target=target)


@click.command(
    epilog=example("replicante diff -f cluster.yaml", "replicante diff -f - --detailed-exitcode")
)
@_SOURCES
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 10 when something would change.")
@client_options
def diff(sources: tuple[str, ...], *, detailed_exitcode: bool, target: Target) -> int:
    """Print what `apply` would change, as the control plane would store it. Nothing is written.

    Each document is judged as if those before it were applied. An action has nothing that it could
    be compared with: a line says that it would be started.
    """
    documents = _documents(sources)

    async def compare_all(client: Client) -> list[str]:
        found = []
        previews = Previews(client, target.write)
        for document in documents:
            with _telling(document.origin):
                wanted = await previews.of(document)
                if document.is_action:
                    found.append(f"{_object_name(wanted)} ({document.origin}) would be started")
                else:
                    found.append(await _difference(client, document, wanted))
        return found

    found = [text for text in target.run(compare_all) if text]
    if found:
        click.echo("\n".join(found))
    return Exit.CHANGES_FOUND if found and detailed_exitcode else Exit.OK


def show_list(
    kind: str, scope: tuple[str, ...], *, labels: str, target: Target, read: Read
) -> None:
    """Prints the objects of one kind. Also called by the commands of single kinds."""

    async def collect(client: Client) -> list[ObjectSummary]:
        found = client.objects.list(kind, *scope, labels=labels, read=read)
        return [item async for item in found]

    items = target.run(collect)
    target.show(
        items,
        text=lambda: render.table(
            ("NAME", "STATUS", "REVISION"),
            [("/".join(it.scope) or it.id, it.status, it.revision) for it in items],
        ),
    )


def show_one(kind: str, scope: tuple[str, ...], *, target: Target, read: Read) -> None:
    found = target.run(lambda client: client.objects.get(kind, *scope, read=read))
    target.show(found, text=lambda: render.yaml_text(found))


def delete_all(
    wanted: list[tuple[str, tuple[str, ...]]], *, if_revision: str | None, target: Target
) -> None:
    """Asks for the end of each, in order; the first one that is refused ends the command, after
    what was done before it was printed."""
    names = ["/".join((kind.lower(), *scope)) for kind, scope in wanted]

    async def delete_each(client: Client) -> list[ObjectDeleted]:
        done: list[ObjectDeleted] = []
        for name, (kind, scope) in zip(names, wanted, strict=True):
            try:
                with _telling(name):
                    deleted = await client.objects.delete(
                        kind, *scope, expect_revision=if_revision, write=target.write
                    )
            except ReplicanteError:
                _report_deleted(names[: len(done)], done, target)
                raise
            done.append(deleted)
        return done

    done = target.run(delete_each)
    if len(done) > 1:
        _report_deleted(names, done, target)
        return
    (deleted,) = done
    rows = [("deleted", names[0]), ("status", _end(deleted)), ("revision", deleted.revision)]
    target.show(deleted, text=lambda: render.pairs(rows))


def _report_deleted(names: list[str], done: list[ObjectDeleted], target: Target) -> None:
    if not done:
        return
    target.show(
        done,
        text=lambda: render.table(
            ("DELETED", "STATUS", "REVISION"),
            [(name, _end(it), it.revision) for name, it in zip(names, done, strict=True)],
        ),
    )


def _end(deleted: ObjectDeleted) -> str:
    return "gone" if deleted.status is None else deleted.status


def _long(kind: str) -> str:
    return _SHORT_KINDS.get(kind.lower(), kind)


@contextmanager
def _one_of_kinds(kind: str) -> Iterator[None]:
    """A path that is none came of a kind that is none, or of too many names."""
    try:
        yield
    except NoSuchPath as exc:
        message = f"No object is found as {kind!r} with so many names; known: {_KINDS}."
        raise NotFound(message) from exc


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """A refusal says of which of many it speaks."""
    try:
        yield
    except ReplicanteError as exc:
        exc.message = f"{what}: {exc.message}"
        raise


async def _difference(client: Client, document: Document, wanted: ApplyAnswer) -> str:
    """In the manner of `diff -u`; empty when there is none. wanted: as it would be stored."""
    name = _object_name(wanted)
    before: list[str] = []
    try:
        present = await client.objects.get(document.kind, *document.scope)
    except NotFound:
        pass
    else:
        before = _declared_lines(present)
    lines = difflib.unified_diff(
        before,
        _declared_lines(wanted),
        fromfile=f"{name} (now)",
        tofile=f"{name} ({document.origin})",
        lineterm="",
    )
    return "\n".join(render.shown(line) for line in lines)


def _declared_lines(answer: ObjectAnswer) -> list[str]:
    """What is stored is sorted, what was asked for need not be."""
    declared = {"metadata": answer.metadata, "spec": answer.spec}
    return render.yaml_text(_in_order(declared)).splitlines()


def _in_order(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def _documents(sources: tuple[str, ...], count_min: int = 1) -> list[Document]:
    if len(sources) < count_min:
        raise click.UsageError("Say what: -f FILE, -f FOLDER or -f -.")
    return read_sources(sources)


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
    if answer.status is None:
        result = "gone"
    return f"{result} (dry run)" if answer.is_dry_run else result

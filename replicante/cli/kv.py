"""`replicante kv`: keys and values."""

from __future__ import annotations

from typing import IO

import click
import msgspec

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Target, client_options, example, parse_json, read_options
from replicante.cli.exits import Exit
from replicante.client import Client, Read
from replicante.wire.kv import KvItem, KvKey
from replicante.wire.txn import TxnAnswer, TxnBody


@click.group(epilog=example("replicante kv list config/"))
def kv() -> None:
    """Keys and values: put, get, delete, list, transactions."""


@kv.command(
    epilog=example("replicante kv get colour", "replicante kv get colour --consistency stale")
)
@click.argument("key")
@click.option("--raw", is_flag=True, help="Print a text as it is, without quotes.")
@client_options
@read_options
def get(key: str, *, raw: bool, target: Target, read: Read) -> None:
    """Print the value of KEY, as JSON; with -o json or yaml, the whole record."""
    item = target.run(lambda client: client.kv.get(key, read=read))

    def text() -> str:
        if raw and isinstance(item.value, str):
            return item.value
        return render.json_line(item.value)

    target.show(item, text=text)


@kv.command(
    epilog=example(
        "replicante kv put colour '{\"red\": 1}'",
        "replicante kv put greeting --text hello",
        "replicante kv put greeting --file value.json",
    )
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--text", is_flag=True, help="VALUE is a text, not JSON.")
@click.option("--file", type=click.File("rb"), help="Read the value from a file; - is stdin.")
@click.option("--if-revision", metavar="REVISION", help="Only when the key has this revision.")
@click.option("--if-new", is_flag=True, help="Only when there is no such key.")
@click.option("--lease", metavar="TOKEN", help="Bind the key to a lease: it vanishes with it.")
@client_options
def put(
    key: str,
    *,
    value: str | None,
    text: bool,
    file: IO[bytes] | None,
    if_revision: str | None,
    if_new: bool,
    lease: str | None,
    target: Target,
) -> None:
    """Set KEY to VALUE, which is JSON."""
    content = _content(value, file, name="VALUE")
    body = content if text else parse_json(content, name="VALUE", may_be_text=True)
    item = target.run(
        lambda client: client.kv.put(
            key,
            body,
            expect_revision=if_revision,
            must_not_exist=if_new,
            lease=lease,
            write=target.write,
        )
    )
    target.show(item, text=lambda: _rows([item]))


@kv.command(epilog=example("replicante kv delete colour"))
@click.argument("key")
@click.option("--if-revision", metavar="REVISION", help="Only when the key has this revision.")
@client_options
def delete(key: str, *, if_revision: str | None, target: Target) -> None:
    """Remove KEY."""
    deleted = target.run(
        lambda client: client.kv.delete(key, expect_revision=if_revision, write=target.write)
    )
    target.show(
        deleted, text=lambda: render.pairs([("deleted", key), ("revision", deleted.revision)])
    )


@kv.command(
    epilog=example(
        """replicante kv txn '{"compares": [{"check": "absent", "key": "colour"}],"""
        """ "then": [{"op": "put", "key": "colour", "value": 1}]}'""",
        "replicante kv txn --file change.json",
    )
)
@click.argument("body", required=False)
@click.option("--file", type=click.File("rb"), help="Read the body from a file; - is stdin.")
@client_options
def txn(body: str | None, *, file: IO[bytes] | None, target: Target) -> None:
    """Compare, then carry out all of `then` or all of `otherwise`. BODY is that of POST /txn.

    Exit code 5 when the comparisons did not hold, whatever `otherwise` did."""
    try:
        content = _content(body, file, name="BODY")
        asked = msgspec.convert(parse_json(content, name="BODY"), TxnBody)
    except msgspec.ValidationError as exc:
        raise click.UsageError(f"The transaction is not valid: {exc}.") from exc
    done = target.run(
        lambda client: client.kv.txn(
            compares=asked.compares,
            then=asked.then,
            otherwise=asked.otherwise,
            write=target.write,
        )
    )
    target.show(done, text=lambda: _results(done))
    if not done.is_success:
        raise click.exceptions.Exit(Exit.CONFLICT)


@kv.command(
    "list",
    epilog=example(
        "replicante kv list",
        "replicante kv list config/ -o json",
        "replicante kv list --from 2026-01 --to 2026-07",
    ),
)
@click.argument("prefix", default="")
@click.option("--from", "from_key", metavar="KEY", help="Only keys that are this or above it.")
@click.option("--to", "to_key", metavar="KEY", help="Only keys below this.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; all by default."
)
@click.option("--keys-only", is_flag=True, help="Without the values, which are not sent then.")
@client_options
@read_options
def list_(
    prefix: str,
    *,
    from_key: str | None,
    to_key: str | None,
    limit: int | None,
    keys_only: bool,
    target: Target,
    read: Read,
) -> None:
    """Print the records whose keys start with PREFIX, in the order of the keys."""

    async def collect(client: Client) -> list[KvItem | KvKey]:
        found: list[KvItem | KvKey] = []
        page_items = min(limit or limits.PAGE_ITEMS_MAX, limits.PAGE_ITEMS_MAX)
        look = client.kv.keys if keys_only else client.kv.list
        async for item in look(
            prefix, from_key=from_key, to_key=to_key, page_items=page_items, read=read
        ):
            found.append(item)
            if len(found) == limit:
                break
        return found

    items = target.run(collect)
    target.show(items, text=lambda: _rows(items))


def _rows(items: list[KvItem | KvKey]) -> str:
    records = [item for item in items if isinstance(item, KvItem)]
    if len(records) < len(items):
        return render.table(("KEY", "REVISION"), [(item.key, item.revision) for item in items])
    return render.table(
        ("KEY", "VALUE", "REVISION"),
        [(item.key, render.json_line(item.value), item.revision) for item in records],
    )


def _results(done: TxnAnswer) -> str:
    rows = []
    for one in done.results:
        value = "" if one.value is msgspec.UNSET else render.json_line(one.value)
        rows.append((one.op, one.key, value, one.revision))
    branch = "then" if done.is_success else "otherwise"
    return f"{branch}\n" + render.table(("OP", "KEY", "VALUE", "REVISION"), rows)


def _content(value: str | None, file: IO[bytes] | None, *, name: str) -> str:
    if (value is None) == (file is None):
        raise click.UsageError(f"Give either {name} or --file.")
    if file is None:
        assert value is not None
        return value
    data = file.read(limits.VALUE_BYTES_MAX + 1)
    if len(data) > limits.VALUE_BYTES_MAX:
        raise click.UsageError(f"The file is larger than {limits.VALUE_BYTES_MAX} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"The file is not UTF-8: {exc}.") from exc

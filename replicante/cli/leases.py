"""`replicante lease`: who holds what, and taking it."""

from __future__ import annotations

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Duration, Target, client_options, example, read_options
from replicante.client import Client, Read
from replicante.wire.durations import format_duration_ms
from replicante.wire.leases import LeaseGrant, LeaseItem, LeaseReleased
from replicante.wire.values import Json


@click.group(epilog=example("replicante lease list"))
def lease() -> None:
    """Leases: acquire, renew, release, get, list, take away."""


@lease.command(
    epilog=example(
        "replicante lease acquire backup --duration 30s --owner host=db1",
        "replicante lease acquire backup --duration 30s --wait 1m -o json",
    )
)
@click.argument("name")
@click.option(
    "--duration", type=Duration(), required=True, help="How long it lasts unless it is renewed."
)
@click.option(
    "--owner", "owners", metavar="NAME=VALUE", multiple=True, help="Who you are, for people."
)
@click.option(
    "--wait", type=Duration(), default="0s", show_default=True, help="How long to wait for it."
)
@client_options
def acquire(
    name: str, *, duration: int, owners: tuple[str, ...], wait: int, target: Target
) -> None:
    """Take the lease NAME and print its token; exit code 5 while somebody holds it."""
    if wait > limits.LEASE_WAIT_MS_MAX:
        longest = format_duration_ms(limits.LEASE_WAIT_MS_MAX)
        raise click.UsageError(f"--wait is at most {longest}.")
    owner = _attributes(owners)
    grant = target.run(
        lambda client: client.leases.acquire(
            name, duration_ms=duration, owner=owner, wait_ms=wait, write=target.write
        )
    )
    target.show(grant, text=lambda: _grant(grant))


@lease.command(epilog=example("replicante lease renew backup 0000000000001310720"))
@click.argument("name")
@click.argument("token")
@click.option("--duration", type=Duration(), help="Another length than before.")
@client_options
def renew(name: str, token: str, *, duration: int | None, target: Target) -> None:
    """Begin the duration of the lease NAME anew; TOKEN is what acquire printed."""
    grant = target.run(
        lambda client: client.leases.renew(name, token, duration_ms=duration, write=target.write)
    )
    target.show(grant, text=lambda: _grant(grant))


@lease.command(epilog=example("replicante lease release backup 0000000000001310720"))
@click.argument("name")
@click.argument("token")
@client_options
def release(name: str, token: str, *, target: Target) -> None:
    """Give the lease NAME back; TOKEN is what acquire printed."""
    released = target.run(lambda client: client.leases.release(name, token, write=target.write))
    target.show(released, text=lambda: _released(released))


@lease.command(
    "force-release",
    epilog=example("replicante lease force-release backup --reason 'db1 is gone'"),
)
@click.argument("name")
@click.option("--reason", required=True, help="Why; an event keeps it.")
@client_options
def force_release(name: str, *, reason: str, target: Target) -> None:
    """Take the lease NAME from whoever holds it."""
    released = target.run(
        lambda client: client.leases.force_release(name, reason=reason, write=target.write)
    )
    target.show(released, text=lambda: _released(released))


@lease.command("get", epilog=example("replicante lease get backup"))
@click.argument("name")
@client_options
@read_options
def get(name: str, *, target: Target, read: Read) -> None:
    """Print who holds the lease NAME, and for how long yet."""
    item = target.run(lambda client: client.leases.get(name, read=read))
    target.show(item, text=lambda: _rows([item]))


@lease.command("list", epilog=example("replicante lease list", "replicante lease list nightly/"))
@click.argument("prefix", default="")
@client_options
@read_options
def list_(prefix: str, *, target: Target, read: Read) -> None:
    """Print the leases that are held and whose names start with PREFIX."""

    async def collect(client: Client) -> list[LeaseItem]:
        return [item async for item in client.leases.list(prefix, read=read)]

    items = target.run(collect)
    target.show(items, text=lambda: _rows(items))


def _attributes(owners: tuple[str, ...]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for text in owners:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--owner takes NAME=VALUE, not {text!r}.")
        found[name] = value
    return found


def _grant(grant: LeaseGrant) -> str:
    rows = [("lease", grant.name), ("token", grant.token), ("expires in", grant.expires_in)]
    return render.pairs(rows)


def _released(released: LeaseReleased) -> str:
    return render.pairs([("released", released.name), ("revision", released.revision)])


def _rows(items: list[LeaseItem]) -> str:
    return render.table(
        ("LEASE", "OWNER", "EXPIRES IN", "HELD FOR", "TOKEN"),
        [
            (
                item.name,
                render.json_line(item.owner),
                item.expires_in,
                item.held_for,
                item.token,
            )
            for item in items
        ],
    )

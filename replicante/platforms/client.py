"""Asks platforms: by HTTP, by a file, or by the object itself. Called by `workers`.

A platform that fails is an answer with a sentence; nothing is believed of half an answer.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from replicante.client_tls import ClientContexts, ClientIdentity
from replicante.errors import Conflict, Invalid
from replicante.limits import AGENT_ANSWER_BYTES_MAX, PLATFORM_CALL_MS_MAX
from replicante.model.codec import Value
from replicante.model.platform import Platform, Transport, TransportKind
from replicante.orchestrate.actions.oaction_kinds import PlatformCall
from replicante.platforms.local import LocalPlatform
from replicante.platforms.threads import PathThreads

_NOBODY = ClientIdentity()
ACTION_HEADER = "Replicante-Action-Id"
"""With requests to make or remove nodes: a repeat of the same id is the same request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSays:
    value: Value = None
    """Unjudged."""
    failure: str | None = None
    """Why there is no answer."""


class Platforms:
    """One a peer; `close` when it stops."""

    def __init__(self, identity: ClientIdentity = _NOBODY) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._threads = PathThreads()
        self.contexts = ClientContexts(identity, whom="platforms")

    async def close(self) -> None:
        self._threads.close()
        if self._session is not None:
            await self._session.close()

    async def discover(self, platform: Platform) -> PlatformSays:
        """The answer to `/discover`."""
        transport = platform.transport
        match transport.kind:
            case TransportKind.STATIC:
                return PlatformSays(value={"clusters": transport.clusters or []})
            case TransportKind.FILE:
                assert transport.path is not None
                path = transport.path
                return await self._on_thread(path, lambda: _read_file(path))
            case TransportKind.URL:
                return await self._ask(transport, "GET", "/discover", None, {})
            case TransportKind.LOCAL:
                return await self._local(transport, lambda local: local.discover())

    async def carry_out(self, platform: Platform, call: PlatformCall) -> PlatformSays:
        """Has nodes made or removed; `call.action_id` makes a repeat harmless."""
        if platform.transport.kind is TransportKind.LOCAL:
            return await self._local(platform.transport, lambda local: local.carry_out(call))
        if platform.transport.kind is not TransportKind.URL:
            return PlatformSays(failure=f"a {platform.transport.kind} platform makes no nodes")
        headers = {ACTION_HEADER: call.action_id}
        return await self._ask(platform.transport, "POST", f"/{call.verb}", call.body, headers)

    async def _ask(
        self, transport: Transport, method: str, path: str, body: Value, headers: dict[str, str]
    ) -> PlatformSays:
        if self._session is None:
            # What is sent packed might unpack to more than may be read.
            self._session = aiohttp.ClientSession(
                auto_decompress=False, headers={"Accept-Encoding": "identity"}
            )
        assert transport.base_url is not None
        url = f"{transport.base_url.rstrip('/')}{path}"
        try:
            async with (
                asyncio.timeout(PLATFORM_CALL_MS_MAX / 1_000),
                self._session.request(
                    method,
                    url,
                    json=body,
                    headers=headers,
                    ssl=self._ssl(transport),
                    allow_redirects=False,
                ) as response,
            ):
                raw = await _bounded(response)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            return PlatformSays(failure=f"{url}: {type(exc).__name__}: {exc}"[:500])
        if raw is None:
            return PlatformSays(failure=f"{url}: larger than {AGENT_ANSWER_BYTES_MAX} bytes")
        if not 200 <= status < 300:
            return PlatformSays(failure=f"{url}: status {status}: {raw[:300]!r}")
        try:
            return PlatformSays(value=json.loads(raw) if raw else {})
        except (ValueError, RecursionError):
            return PlatformSays(failure=f"{url}: its answer is no JSON")

    async def _local(
        self, transport: Transport, work: Callable[[LocalPlatform], dict[str, Value]]
    ) -> PlatformSays:
        assert transport.path is not None
        platform = LocalPlatform(Path(transport.path))
        return await self._on_thread(transport.path, lambda: PlatformSays(value=work(platform)))

    async def _on_thread(self, path: str, work: Callable[[], PlatformSays]) -> PlatformSays:
        try:
            return await self._threads.run(path, work)
        except (Invalid, Conflict, OSError, ValueError, subprocess.SubprocessError) as exc:
            return PlatformSays(failure=f"{path}: {exc}"[:500])

    def _ssl(self, transport: Transport) -> ssl.SSLContext:
        """Raises OSError, ValueError for a bundle that cannot be used."""
        return self.contexts.context(
            transport.tls_ca_bundle, is_verified=not transport.is_tls_unverified
        )


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is larger than any answer may be."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > AGENT_ANSWER_BYTES_MAX:
            return None
    return b"".join(chunks)


def _read_file(path: str) -> PlatformSays:
    try:
        with Path(path).open("rb") as opened:
            raw = opened.read(AGENT_ANSWER_BYTES_MAX + 1)
        if len(raw) > AGENT_ANSWER_BYTES_MAX:
            return PlatformSays(failure=f"{path} is larger than {AGENT_ANSWER_BYTES_MAX} bytes")
        found = yaml.safe_load(raw)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        return PlatformSays(failure=f"{path}: {exc}"[:500])
    return PlatformSays(value={"clusters": found} if isinstance(found, list) else found)

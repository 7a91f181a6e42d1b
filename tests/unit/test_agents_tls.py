"""An agent over mutual TLS: who calls must be certified, and only then may act."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
from agent_harness import FixedStore

from replicante import limits
from replicante.agents import sdk
from replicante.agents.sdk.catalogue import TEST_SUCCESS
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.pki import PkiFolder


def certified(root: Path, name: str) -> Path:
    """A folder with ca.crt, peer.crt, peer.key, signed by the authority of `root`."""
    folder = PkiFolder(root, clock=SystemClock(), entropy=SystemEntropy())
    if not (root / "authority").exists():
        folder.init("demo", days=limits.AUTHORITY_DAYS_DEFAULT)
    folder.issue(name, days=30)
    return root / "peers" / name


def agent(tmp_path: Path, place: Path, *, is_mutual: bool) -> sdk.Agent:
    tls = sdk.AgentTls(
        certificate=place / "peer.crt",
        key=place / "peer.key",
        client_ca=place / "ca.crt" if is_mutual else None,
    )
    settings = sdk.AgentSettings(node_id="n1", data_dir=tmp_path / "data", tls=tls)
    return sdk.Agent(settings, FixedStore())


def caller(authority: Path, own: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority / "ca.crt")
    # The names in these certificates are those of peers; who signed them is what is tried here.
    context.check_hostname = False
    if own is not None:
        context.load_cert_chain(own / "peer.crt", own / "peer.key")
    return context


async def submit(url: str, context: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url}/api/unstable/action", json={"kind": TEST_SUCCESS}, ssl=context
        ) as response,
    ):
        return response.status


async def test_only_who_is_certified_by_the_authority_reaches_the_agent(tmp_path):
    ours, theirs = certified(tmp_path / "ours", "a1"), certified(tmp_path / "theirs", "a1")
    peer = certified(tmp_path / "ours", "p1")
    async with agent(tmp_path, ours, is_mutual=True) as running:
        assert running.url.startswith("https://")
        assert await submit(running.url, caller(ours, peer)) == 200
        for stranger in (None, theirs):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await submit(running.url, caller(ours, stranger))


async def test_without_certificates_of_callers_no_action_is_taken(tmp_path):
    place = certified(tmp_path / "ours", "a1")
    async with agent(tmp_path, place, is_mutual=False) as running:
        assert await submit(running.url, caller(place, None)) == 403

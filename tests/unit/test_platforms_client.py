"""Platforms are asked by HTTP, over TLS, from a file, from the object; what fails is said."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from replicante import limits
from replicante.client_tls import ClientIdentity
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.model.platform import Platform, Transport, TransportKind
from replicante.orchestrate.actions.oaction_kinds import PlatformCall, PlatformVerb
from replicante.pki import PkiFolder
from replicante.platforms.client import ACTION_HEADER, Platforms

ANSWER = {"clusters": [{"cluster_id": "c", "nodes": []}]}
CALL = PlatformCall(
    verb=PlatformVerb.PROVISION,
    action_id="a1",
    platform_ns_id="default",
    platform_name="p",
    body={"cluster": {}, "provision": {"node_group_id": "g", "count": 1}},
)


class Server:
    """A platform that answers with what a test puts into it."""

    def __init__(self) -> None:
        self.reply = web.json_response(ANSWER)
        self.requests: list[tuple[str, str, str | None, object]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        action_id = request.headers.get(ACTION_HEADER)
        self.requests.append((request.method, request.path, action_id, body))
        return self.reply

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def asking(identity: ClientIdentity | None = None):
    platforms = Platforms() if identity is None else Platforms(identity)
    try:
        yield platforms
    finally:
        await platforms.close()


def at(url: str | None = None, *, kind: TransportKind = TransportKind.URL, **more) -> Platform:
    transport = Transport(kind=kind, base_url=url, **more)
    return Platform(ns_id="default", name="p", transport=transport)


def certified(root: Path, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the authority that signed for it."""
    folder = PkiFolder(root, clock=SystemClock(), entropy=SystemEntropy())
    folder.init("demo", days=limits.AUTHORITY_DAYS_DEFAULT)
    folder.issue_agent("platform", [host], days=30)
    own = root / "agents" / "platform"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own / "agent.crt", own / "agent.key")
    return context, own / "ca.crt"


async def test_a_platform_is_asked_what_there_is():
    server = Server()
    async with server.running() as url, asking() as platforms:
        assert (await platforms.discover(at(f"{url}/base/"))).value == ANSWER
    assert server.requests == [("GET", "/base/discover", None, None)]


async def test_a_request_to_make_nodes_names_its_action():
    server = Server()
    server.reply = web.json_response({"count": 1})
    async with server.running() as url, asking() as platforms:
        assert (await platforms.carry_out(at(url), CALL)).value == {"count": 1}
    assert server.requests == [("POST", "/provision", "a1", CALL.body)]


async def test_an_empty_answer_to_a_request_is_a_yes():
    server = Server()
    server.reply = web.Response(status=204)
    async with server.running() as url, asking() as platforms:
        said = await platforms.carry_out(at(url), CALL)
        assert (said.value, said.failure) == ({}, None)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (web.Response(status=500, text="it broke"), "status 500: b'it broke'"),
        (web.Response(status=404), "status 404"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "status 302"),
        (web.Response(text="no json"), "its answer is no JSON"),
        (web.Response(text="[" * 100_000), "its answer is no JSON"),
        (web.Response(body=b" " * (limits.AGENT_ANSWER_BYTES_MAX + 1)), "larger than"),
    ],
)
async def test_what_is_no_answer_is_a_failure_with_a_sentence(reply, words):
    server = Server()
    server.reply = reply
    async with server.running() as url, asking() as platforms:
        said = await platforms.discover(at(url))
    assert said.value is None
    assert words in said.failure
    assert len(server.requests) == 1


async def test_an_answer_that_unpacks_to_more_than_may_be_read_is_not_unpacked():
    server = Server()
    server.reply = web.Response(body=b" " * (limits.AGENT_ANSWER_BYTES_MAX + 1))
    server.reply.enable_compression(web.ContentCoding.gzip)
    async with server.running() as url, asking() as platforms:
        assert "no JSON" in (await platforms.discover(at(url))).failure


async def test_nobody_there_is_a_failure_and_no_exception():
    async with asking() as platforms:
        for url in ("http://127.0.0.1:1", "http://[", "ftp://127.0.0.1", "nonsense"):
            assert (await platforms.discover(at(url))).failure


@pytest.mark.parametrize("is_path", [True, False])
async def test_a_platform_over_tls_is_verified_by_the_bundle_of_its_transport(tmp_path, is_path):
    context, authority = certified(tmp_path)
    bundle = str(authority) if is_path else authority.read_text()
    async with Server().running(context) as url, asking() as platforms:
        assert (await platforms.discover(at(url, tls_ca_bundle=bundle))).value == ANSWER


async def test_a_platform_that_strangers_certify_is_not_believed(tmp_path):
    context, _ = certified(tmp_path / "theirs")
    _, ours = certified(tmp_path / "ours")
    async with Server().running(context) as url, asking() as platforms:
        for platform in (at(url), at(url, tls_ca_bundle=str(ours))):
            assert "certificate verify failed" in (await platforms.discover(platform)).failure


async def test_a_platform_certified_for_another_host_is_not_believed(tmp_path):
    context, authority = certified(tmp_path, "10.9.9.9")
    async with Server().running(context) as url, asking() as platforms:
        said = await platforms.discover(at(url, tls_ca_bundle=str(authority)))
        assert "127.0.0.1" in said.failure


async def test_who_says_so_believes_anybody(tmp_path):
    context, _ = certified(tmp_path, "10.9.9.9")
    async with Server().running(context) as url, asking() as platforms:
        assert (await platforms.discover(at(url, is_tls_unverified=True))).value == ANSWER


async def test_a_bundle_that_cannot_be_used_is_a_failure(tmp_path):
    async with asking() as platforms:
        for bundle in (str(tmp_path / "missing"), "-----BEGIN nonsense"):
            said = await platforms.discover(at("https://127.0.0.1:1", tls_ca_bundle=bundle))
            assert said.failure


class Mutual:
    """A platform that speaks only to whom its authority signed for, and a peer of that one."""

    def __init__(self, root: Path) -> None:
        self.folder = PkiFolder(root, clock=SystemClock(), entropy=SystemEntropy())
        self.context, self.authority = certified(root)
        self.context.load_verify_locations(self.authority)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.folder.issue("p1", days=30)
        own = root / "peers" / "p1"
        self.peer = ClientIdentity(
            certificate=own / "peer.crt", key=own / "peer.key", authority=self.authority
        )


async def test_a_platform_that_wants_to_know_who_asks_is_shown_a_certificate(tmp_path):
    ours = Mutual(tmp_path / "ours")
    async with Server().running(ours.context) as url, asking(ours.peer) as platforms:
        assert (await platforms.carry_out(at(url), CALL)).value == ANSWER


async def test_a_platform_refuses_who_shows_nothing_or_what_a_stranger_signed(tmp_path):
    ours, theirs = Mutual(tmp_path / "ours"), Mutual(tmp_path / "theirs")
    stranger = replace(theirs.peer, authority=ours.authority)
    server = Server()
    async with server.running(ours.context) as url:
        for identity in (ClientIdentity(authority=ours.authority), stranger):
            async with asking(identity) as platforms:
                assert (await platforms.discover(at(url))).failure
    assert not server.requests


async def test_a_bundle_of_the_transport_is_the_only_authority_of_its_platform(tmp_path):
    ours, theirs = Mutual(tmp_path / "ours"), Mutual(tmp_path / "theirs")
    async with Server().running(ours.context) as url, asking(ours.peer) as platforms:
        said = await platforms.discover(at(url, tls_ca_bundle=str(theirs.authority)))
        assert "certificate verify failed" in said.failure


async def test_who_is_asked_unverified_is_shown_the_certificate_all_the_same(tmp_path):
    ours, theirs = Mutual(tmp_path / "ours"), Mutual(tmp_path / "theirs")
    identity = replace(ours.peer, authority=theirs.authority)
    async with Server().running(ours.context) as url, asking(identity) as platforms:
        assert (await platforms.discover(at(url))).failure
        assert (await platforms.discover(at(url, is_tls_unverified=True))).value == ANSWER


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path):
    ours = Mutual(tmp_path / "ours")
    other = Mutual(tmp_path / "other")
    copied = tmp_path / "files"
    copied.mkdir()
    identity = ClientIdentity(
        certificate=copied / "peer.crt", key=copied / "peer.key", authority=ours.authority
    )
    for name, file in (("peer.crt", other.peer.certificate), ("peer.key", other.peer.key)):
        (copied / name).write_bytes(file.read_bytes())
    async with Server().running(ours.context) as url, asking(identity) as platforms:
        assert (await platforms.discover(at(url))).failure
        for name, file in (("peer.crt", ours.peer.certificate), ("peer.key", ours.peer.key)):
            (copied / name).write_bytes(file.read_bytes())
        assert (await platforms.discover(at(url))).value == ANSWER


async def test_a_static_platform_says_what_its_object_says():
    async with asking() as platforms:
        platform = at(kind=TransportKind.STATIC, clusters=ANSWER["clusters"])
        assert (await platforms.discover(platform)).value == ANSWER
        assert "makes no nodes" in (await platforms.carry_out(platform, CALL)).failure


async def test_a_file_is_read_anew_each_time(tmp_path):
    path = tmp_path / "clusters.yaml"
    platform = at(kind=TransportKind.FILE, path=str(path))
    async with asking() as platforms:
        assert str(path) in (await platforms.discover(platform)).failure
        for text in ("clusters: [{cluster_id: c, nodes: []}]", "- {cluster_id: c, nodes: []}"):
            path.write_text(text)
            assert (await platforms.discover(platform)).value == ANSWER
        path.write_text("clusters: [")
        assert (await platforms.discover(platform)).failure
        path.write_bytes(b"\xff\xfe\x00")
        assert (await platforms.discover(platform)).failure
        path.write_text(" " * (limits.AGENT_ANSWER_BYTES_MAX + 1))
        assert "larger than" in (await platforms.discover(platform)).failure

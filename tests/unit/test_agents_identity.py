"""Workers and agents over real TLS: each shows who it is, and neither speaks to a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_harness import FixedStore
from work_bench import WorkBench

from replicante import limits
from replicante.agents import sdk
from replicante.agents.client import HttpAgents
from replicante.agents.protocol import Look, SendAnswer
from replicante.agents.sdk.catalogue import TEST_SUCCESS
from replicante.client_tls import ClientContexts, ClientIdentity
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import Conflict, Invalid, InvalidConfig, NotFound
from replicante.model.actions import NAction, NActionPhase, Requester
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import AgentAnswer
from replicante.pki import PkiFolder

ID = "00000000-0000-8000-8000-000000000001"


class Authority:
    """One authority with the peer p1; agents are made as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = PkiFolder(root, clock=SystemClock(), entropy=SystemEntropy())
        self.folder.init("demo", days=limits.AUTHORITY_DAYS_DEFAULT)
        self.folder.issue("p1", days=30)
        self.ca = root / "authority" / "ca.crt"

    def peer(self) -> ClientIdentity:
        own = self.root / "peers" / "p1"
        return ClientIdentity(certificate=own / "peer.crt", key=own / "peer.key", authority=self.ca)

    def agent(self, data: Path, *, host: str = "127.0.0.1", name: str = "n1") -> sdk.Agent:
        self.folder.issue_agent(name, [host], days=30)
        own = self.root / "agents" / name
        tls = sdk.AgentTls(certificate=own / "agent.crt", key=own / "agent.key", client_ca=self.ca)
        settings = sdk.AgentSettings(node_id="n1", data_dir=data, tls=tls)
        return sdk.Agent(settings, FixedStore())


def node(url: str) -> DiscoveredNode:
    return DiscoveredNode(agent_address=url, node_class="x", node_id="n1")


async def look(agents: HttpAgents, url: str, *, ca_bundle=None):
    cluster_id = (await FixedStore().store()).cluster_id
    ask = Look(cluster_id=cluster_id, node=node(url), epoch=7, at_ms=1, limit_ms=20_000)
    return await agents.look(ask, ca_bundle=ca_bundle)


@pytest.fixture
def ours(tmp_path):
    return Authority(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path):
    return Authority(tmp_path / "theirs")


async def asked(identity: ClientIdentity, url: str, *, ca_bundle=None):
    agents = HttpAgents(identity)
    try:
        return await look(agents, url, ca_bundle=ca_bundle)
    finally:
        await agents.close()


async def test_a_peer_is_known_to_the_agent_and_the_agent_to_the_peer(tmp_path, ours):
    async with ours.agent(tmp_path / "data") as running:
        agents = HttpAgents(ours.peer())
        found = await look(agents, running.url)
        assert found.answer is AgentAnswer.ANSWERED
        assert found.is_fenced
        action = NAction(
            ns_id="default",
            cluster_id="r",
            node_id="n1",
            action_id=ID,
            kind=TEST_SUCCESS,
            requester=Requester.CORE_API,
            phase=NActionPhase.PENDING_SCHEDULE,
            created_ms=1,
            created_wall_ms=1,
        )
        sent = await agents.submit(
            action, node(running.url), epoch=8, begin_within_ms=None, ca_bundle=None
        )
        assert sent.answer is SendAnswer.TAKEN
        await agents.close()


async def test_who_shows_nothing_is_not_answered(tmp_path, ours):
    async with ours.agent(tmp_path / "data") as running:
        found = await asked(ClientIdentity(authority=ours.ca), running.url)
        assert found.answer is AgentAnswer.UNREACHABLE


async def test_who_is_certified_by_others_is_not_answered(tmp_path, ours, theirs):
    async with ours.agent(tmp_path / "data") as running:
        stranger = theirs.peer()
        wrong = ClientIdentity(
            certificate=stranger.certificate, key=stranger.key, authority=ours.ca
        )
        assert (await asked(wrong, running.url)).answer is AgentAnswer.UNREACHABLE


async def test_an_agent_that_others_certify_is_told_nothing(tmp_path, ours, theirs):
    async with theirs.agent(tmp_path / "data") as running:
        found = await asked(ours.peer(), running.url)
        assert found.answer is AgentAnswer.UNREACHABLE
        assert "certificate verify failed" in found.message


async def test_an_agent_certified_for_another_host_is_told_nothing(tmp_path, ours):
    async with ours.agent(tmp_path / "data", host="10.9.9.9") as running:
        found = await asked(ours.peer(), running.url)
        assert found.answer is AgentAnswer.UNREACHABLE
        assert "127.0.0.1" in found.message


async def test_a_peer_is_no_agent(tmp_path, ours):
    """The certificate of a peer names no host."""
    own = ours.peer()
    tls = sdk.AgentTls(certificate=own.certificate, key=own.key, client_ca=ours.ca)
    settings = sdk.AgentSettings(node_id="n1", data_dir=tmp_path / "data", tls=tls)
    async with sdk.Agent(settings, FixedStore()) as running:
        assert (await asked(own, running.url)).answer is AgentAnswer.UNREACHABLE


async def test_an_agent_cannot_act_on_another_one(tmp_path, ours):
    async with ours.agent(tmp_path / "data") as running:
        other = ours.root / "agents" / "n1"
        disguised = ClientIdentity(
            certificate=other / "agent.crt", key=other / "agent.key", authority=ours.ca
        )
        assert (await asked(disguised, running.url)).answer is AgentAnswer.UNREACHABLE


@pytest.mark.parametrize("is_path", [True, False])
async def test_a_namespace_with_a_bundle_believes_that_one_alone(tmp_path, ours, theirs, is_path):
    def bundle(authority):
        return str(authority.ca) if is_path else authority.ca.read_text()

    own = ours.peer()
    identity = ClientIdentity(certificate=own.certificate, key=own.key, authority=theirs.ca)
    async with ours.agent(tmp_path / "data") as running:
        trusting = await asked(identity, running.url, ca_bundle=bundle(ours))
        assert trusting.answer is AgentAnswer.ANSWERED
        other = await asked(own, running.url, ca_bundle=bundle(theirs))
        assert other.answer is AgentAnswer.UNREACHABLE


async def test_a_bundle_that_cannot_be_used_is_a_fault_of_ours_and_says_so(ours):
    found = await asked(ours.peer(), "https://127.0.0.1:1", ca_bundle="/no/such/file")
    assert found.answer is AgentAnswer.BAD_ADDRESS
    assert "the TLS files for agents cannot be used" in found.message


async def test_plain_http_stays_on_this_machine(ours):
    for url in ("http://10.0.0.1:8001", "http://localhost.example.org:8001"):
        assert (await asked(ours.peer(), url)).answer is AgentAnswer.BAD_ADDRESS


async def test_workers_carry_out_an_action_over_tls(tmp_path, ours):
    """From declaration to the end of an action, with nothing faked but the platform."""
    async with ours.agent(tmp_path / "data") as running:
        bench = WorkBench()
        agents = HttpAgents(ours.peer())
        bench.use_agents(agents)
        cluster_id = (await FixedStore().store()).cluster_id
        bench.declare(cluster_id)
        bench.platform.names("n1", cluster=cluster_id, address=running.url)
        await bench.turns(2)
        bench.ask(ID, kind=TEST_SUCCESS, cluster=cluster_id)
        for _ in range(200):
            await bench.turn()
            found = bench.action(ID, cluster=cluster_id)
            if found.phase == "DONE":
                break
        assert found.phase == "DONE"
        await agents.close()


def test_renewed_files_are_taken_and_broken_ones_are_not(tmp_path, ours):
    own = ours.peer()
    contexts = ClientContexts(own, whom="agents")
    contexts.check()
    first = contexts.context(None)
    assert contexts.context(None) is first
    ours.folder.renew("p1", days=60)
    second = contexts.context(None)
    assert second is not first
    good = own.certificate.read_bytes()
    own.certificate.write_text("half a file")
    assert contexts.context(None) is second
    own.certificate.write_bytes(good)
    assert contexts.context(None) is not second


def test_contexts_of_many_bundles_are_bounded(ours):
    contexts = ClientContexts(ours.peer(), whom="agents")
    pem = ours.ca.read_text()
    for i in range(limits.TLS_CONTEXTS_KEPT_MAX + 5):
        contexts.context(pem + "\n" * i)
    assert len(contexts._kept) == limits.TLS_CONTEXTS_KEPT_MAX


@pytest.mark.parametrize("field", ["certificate", "key", "authority"])
def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path, ours, field):
    own = ours.peer()
    files = {"certificate": own.certificate, "key": own.key, "authority": own.authority}
    broken = ClientIdentity(**{**files, field: tmp_path / "missing"})
    with pytest.raises(InvalidConfig):
        ClientContexts(broken, whom="agents").check()


def test_agents_are_issued_once_renewed_and_listed(ours):
    ours.folder.issue_agent("n1", ["redis1.example.org", "10.0.0.1"], days=30)
    with pytest.raises(Conflict):
        ours.folder.issue_agent("n1", ["redis1.example.org"], days=30)
    renewed = ours.folder.renew_agent("n1", days=60)
    assert renewed.facts.hosts == ("redis1.example.org", "10.0.0.1")
    listed = ours.folder.show()[-1].facts
    assert (listed.hosts, listed.peer_id) == (renewed.facts.hosts, "")
    with pytest.raises(NotFound):
        ours.folder.renew_agent("n2", days=60)
    for hosts in ([], ["not a host"], ["https://redis1"]):
        with pytest.raises(Invalid):
            ours.folder.issue_agent("n3", hosts, days=30)
    assert not (ours.root / "agents" / "n3").exists()

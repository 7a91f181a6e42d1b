"""The client of agents against a real HTTP server that is honest, broken, foreign or overtaken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from replicante.agents import breath, protocol
from replicante.agents.client import HttpAgents
from replicante.agents.protocol import Look, SendAnswer
from replicante.limits import AGENT_ANSWER_BYTES_MAX, AGENT_MARK_CHARACTERS_MAX
from replicante.model.actions import NAction, NActionPhase
from replicante.model.discovery import DiscoveredNode
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole

NODE = {
    "node_id": "n1",
    "node_status": "HEALTHY",
    "store_id": "fake",
    "address": {"client": "c:1", "member": "m:1", "odd": 7},
    "agent_version": {"number": "1", "checkout": "x", "taint": "no"},
    "store_version": {"number": "6.2"},
    "attributes": {"a/b": True},
    "from_a_newer_version": 1,
}
SHARDS = [
    {"shard_id": "1", "role": {"OTHER": "arbiter"}, "commit_offset": None},
    {
        "shard_id": "0",
        "role": "PRIMARY",
        "commit_offset": {"value": 7, "unit": {"unit": "bytes"}},
        "upstream": {"address": "m:2", "sight": "up"},
    },
]
STORE = {"cluster_id": "r", "attributes": {"size": 1}, "readings": {"used": 2}}
ACTION = {
    "id": "a1",
    "kind": "a/b",
    "args": None,
    "metadata": {},
    "created_time": "2026-01-01T00:00:00Z",
    "state": {"phase": "RUNNING", "payload": {"x": 1}},
}


class Agent:
    """answers: path → status and body; text is sent as it is."""

    def __init__(self) -> None:
        self.answers = {
            protocol.INFO_NODE: (200, NODE),
            protocol.INFO_STORE: (200, STORE),
            protocol.INFO_SHARDS: (200, {"shards": SHARDS}),
            protocol.ACTIONS_QUEUE: (200, {"actions": [{"id": "a1"}]}),
            protocol.ACTIONS_FINISHED: (200, [{"id": "old"}]),
            f"{protocol.ACTION}/a1": (200, ACTION),
            protocol.ACTION: (200, {"id": "a1"}),
        }
        self.paths: list[str] = []
        self.bodies: list[object] = []
        self.is_fenced = True
        self.marks: list[tuple[str | None, str | None]] = []
        """Incarnation and boot of each answer, the last one again and again."""
        self.meant: list[str | None] = []
        """Whom each submission was for."""
        self.clusters: set[str | None] = set()
        """Those that calls were for."""
        self.is_hung = False
        self.slow_paths: set[str] = set()
        self.released = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        self.clusters.add(request.headers.get(protocol.CLUSTER_HEADER))
        if self.is_hung or request.path in self.slow_paths:
            await self.released.wait()
        if request.method == "POST":
            self.bodies.append(await request.json())
            self.meant.append(request.headers.get(protocol.INCARNATION_HEADER))
        status, body = self.answers.get(request.path, (404, None))
        headers = {}
        if self.is_fenced:
            headers[protocol.EPOCH_HEADER] = request.headers[protocol.EPOCH_HEADER]
        if self.marks:
            told = self.marks.pop(0) if len(self.marks) > 1 else self.marks[0]
            names = (protocol.INCARNATION_HEADER, protocol.BOOT_HEADER)
            headers |= {it: mark for it, mark in zip(names, told, strict=True) if mark is not None}
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        if body is None:
            return web.Response(status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def served(agent: Agent) -> AsyncIterator[tuple[HttpAgents, DiscoveredNode]]:
    server = web.Server(agent.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    agents = HttpAgents()
    try:
        yield agents, node_at(f"http://127.0.0.1:{port}/")
    finally:
        agent.released.set()
        await agents.close()
        await runner.cleanup()


def node_at(address: str) -> DiscoveredNode:
    return DiscoveredNode(agent_address=address, node_class="x", node_id="n1")


async def look(agents, node, **fields):
    wanted = {"cluster_id": "r", "node": node, "epoch": 9, "at_ms": 5, "limit_ms": 10_000}
    return await agents.look(Look(**{**wanted, **fields}), ca_bundle=None)


def naction() -> NAction:
    return NAction(
        ns_id="default",
        cluster_id="r",
        node_id="n1",
        action_id="a1",
        kind="a/b",
        created_ms=0,
        created_wall_ms=1_767_225_600_000,
        phase=NActionPhase.PENDING_SCHEDULE,
    )


async def test_one_look_asks_for_everything_and_reads_it():
    agent = Agent()
    async with served(agent) as (agents, node):
        found = await look(agents, node, wanted=("a1", "gone"), settled=frozenset({"old"}))
    assert (found.answer, found.at_ms, found.is_fenced) == (AgentAnswer.ANSWERED, 5, True)
    assert found.node.status is NodeStatus.HEALTHY
    assert found.node.details.addresses == {"client": "c:1", "member": "m:1"}
    assert found.store_attributes == {"size": 1}
    assert found.store_readings == {"used": 2}
    assert [shard.shard_id for shard in found.shards] == ["0", "1"]
    assert found.shards[0].commit_offset.unit == "bytes"
    assert (found.shards[1].role, found.shards[1].other_role) == (ShardRole.OTHER, "arbiter")
    assert (found.queue, found.finished) == (("a1",), ("old",))
    (seen,) = found.actions
    assert (seen.phase, seen.payload) == (SeenPhase.RUNNING, {"x": 1})
    assert found.unknown_actions == ("gone",)
    queue, finished = map(agent.paths.index, (protocol.ACTIONS_QUEUE, protocol.ACTIONS_FINISHED))
    assert queue < finished
    assert f"{protocol.ACTION}/old" not in agent.paths


async def test_a_look_tells_who_answered_and_in_which_order():
    agent = Agent()
    agent.marks = [("inc1", "boot1"), ("inc2", "boot2"), ("inc1", "boot1")]
    async with served(agent) as (agents, node):
        found = await look(agents, node)
    assert (found.incarnations, found.boots) == (("inc2", "inc1"), ("boot2", "boot1"))


@pytest.mark.parametrize("mark", [None, "", "a b", "é", "x" * (AGENT_MARK_CHARACTERS_MAX + 1)])
async def test_who_answers_with_what_cannot_be_kept_tells_nothing(mark):
    agent = Agent()
    agent.marks = [(mark, mark)]
    async with served(agent) as (agents, node):
        found = await look(agents, node)
    assert found.answer is AgentAnswer.ANSWERED
    assert (found.incarnations, found.boots, found.incarnation) == ((), (), None)


async def test_a_submission_says_for_whom_it_is():
    agent = Agent()
    async with served(agent) as (agents, node):
        for sent_to in (None, "inc1"):
            action = msgspec.structs.replace(naction(), sent_to=sent_to)
            await agents.submit(action, node, epoch=9, begin_within_ms=None, ca_bundle=None)
    assert agent.meant == [None, "inc1"]


async def test_each_call_says_for_which_cluster_it_is():
    agent = Agent()
    async with served(agent) as (agents, node):
        await look(agents, node)
        await agents.submit(naction(), node, epoch=9, begin_within_ms=None, ca_bundle=None)
        await agents.cancel(naction(), node, epoch=9, ca_bundle=None)
        assert agent.clusters == {"r"}
        await look(agents, node, cluster_id="é c")
    assert agent.clusters == {"r", "%C3%A9%20c"}


async def test_an_agent_that_knows_a_greater_epoch_is_quoted():
    agent = Agent()
    agent.answers[protocol.INFO_NODE] = (412, {"error_msg": "epoch 9 is older than 12"})
    async with served(agent) as (agents, node):
        assert "epoch 9 is older than 12" in (await look(agents, node)).message


async def test_an_agent_without_epochs_is_unfenced():
    agent = Agent()
    agent.is_fenced = False
    async with served(agent) as (agents, node):
        assert (await look(agents, node)).is_fenced is False


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        (protocol.INFO_NODE, (200, {**NODE, "node_id": "n2"}), AgentAnswer.WRONG_IDS),
        (protocol.INFO_STORE, (200, {"cluster_id": "other"}), AgentAnswer.WRONG_IDS),
        (protocol.INFO_NODE, (200, "<html>"), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (200, {"node_id": 7}), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (200, "[" * 100_000), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (404, None), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (500, {"error_msg": "x"}), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (302, None), AgentAnswer.GARBAGE),
        (protocol.INFO_NODE, (421, {"error_msg": "of c2"}), AgentAnswer.WRONG_IDS),
        (protocol.INFO_NODE, (412, None), AgentAnswer.STALE_EPOCH),
        (protocol.INFO_SHARDS, (412, None), AgentAnswer.STALE_EPOCH),
        (f"{protocol.ACTION}/a1", (412, None), AgentAnswer.STALE_EPOCH),
        (protocol.INFO_NODE, (200, " " * (AGENT_ANSWER_BYTES_MAX + 1)), AgentAnswer.GARBAGE),
    ],
)
async def test_what_is_no_answer_of_this_agent_is_told_apart(path, answer, expected):
    agent = Agent()
    agent.answers[path] = answer
    async with served(agent) as (agents, node):
        found = await look(agents, node)
    assert found.answer is expected
    assert found.message
    assert found.node is None


@pytest.mark.parametrize(
    ("path", "field"),
    [(protocol.INFO_STORE, "store_attributes"), (protocol.INFO_SHARDS, "shards")],
)
@pytest.mark.parametrize("answer", [(500, {"error_msg": "the store is down"}), (200, "no JSON")])
async def test_a_store_that_is_down_is_a_part_of_the_answer(path, field, answer):
    agent = Agent()
    agent.answers[path] = answer
    async with served(agent) as (agents, node):
        found = await look(agents, node)
    assert found.answer is AgentAnswer.ANSWERED
    assert getattr(found, field) is None


async def test_a_store_that_hangs_is_not_waited_for_again_in_the_same_look():
    agent = Agent()
    hung = {**NODE, "node_status": "UNAVAILABLE", "contact": "silent"}
    agent.answers[protocol.INFO_NODE] = (200, hung)
    async with served(agent) as (agents, node):
        found = await look(agents, node)
    assert found.answer is AgentAnswer.ANSWERED
    assert (found.store_attributes, found.shards) == (None, None)
    assert "does not answer" in found.store_error
    asked = {path.rpartition("/")[2] for path in agent.paths}
    assert not {"store", "shards"} & asked and "node" in asked


async def test_a_list_that_cannot_be_read_is_not_known_and_proves_nothing():
    agent = Agent()
    agent.answers[protocol.ACTIONS_QUEUE] = (500, None)
    agent.answers[f"{protocol.ACTION}/a1"] = (500, None)
    async with served(agent) as (agents, node):
        found = await look(agents, node, wanted=("a1",), settled=frozenset({"old"}))
    assert found.queue is None
    assert (found.actions, found.unknown_actions) == ((), ())


async def test_silence_refusal_and_bad_addresses_are_told_apart():
    agent = Agent()
    agent.is_hung = True
    async with served(agent) as (agents, node):
        assert (await look(agents, node, limit_ms=50)).answer is AgentAnswer.TIMEOUT
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nobody = node_at(f"http://127.0.0.1:{unused.getsockname()[1]}")
            assert (await look(agents, nobody)).answer is AgentAnswer.REFUSED
        for address in ("http://192.0.2.1:1", "ftp://127.0.0.1", "nonsense", "http://[::"):
            assert (await look(agents, node_at(address))).answer is AgentAnswer.BAD_ADDRESS


async def test_who_answers_nothing_at_all_is_silent_long_before_a_look_is_over(monkeypatch):
    monkeypatch.setattr(breath, "AGENT_BREATH_WAIT_MS", 10)
    monkeypatch.setattr(breath, "AGENT_BREATH_MS_MAX", 50)
    agent = Agent()
    agent.is_hung = True
    async with served(agent) as (agents, node), asyncio.timeout(20):
        found = await look(agents, node, limit_ms=60_000)
        assert found.answer is AgentAnswer.TIMEOUT
    assert sorted(agent.paths) == [protocol.ACTIONS_QUEUE, protocol.INFO_NODE]


@pytest.mark.parametrize("slow", [protocol.INFO_NODE, protocol.INFO_STORE])
async def test_an_agent_that_waits_for_its_store_is_waited_for(monkeypatch, slow):
    monkeypatch.setattr(breath, "AGENT_BREATH_WAIT_MS", 10)
    monkeypatch.setattr(breath, "AGENT_BREATH_MS_MAX", 50)
    agent = Agent()
    agent.slow_paths.add(slow)
    async with served(agent) as (agents, node), asyncio.timeout(20):
        looking = asyncio.create_task(look(agents, node, limit_ms=60_000))
        await asyncio.sleep(0.2)  # four times as long as it may be silent
        assert not looking.done()
        agent.released.set()
        assert (await looking).answer is AgentAnswer.ANSWERED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, SendAnswer.TAKEN),
        (409, SendAnswer.TAKEN),
        (400, SendAnswer.REFUSED),
        (412, SendAnswer.STALE_EPOCH),
        (500, SendAnswer.UNKNOWN),
    ],
)
async def test_a_submission_is_taken_refused_overtaken_or_unknown(status, expected):
    agent = Agent()
    agent.answers[protocol.ACTION] = (status, {"error_msg": "why"})
    async with served(agent) as (agents, node):
        sent = await agents.submit(naction(), node, epoch=9, begin_within_ms=45_000, ca_bundle=None)
    assert sent.answer is expected
    assert agent.bodies == [
        {
            "id": "a1",
            "kind": "a/b",
            "args": None,
            "metadata": {},
            "created_time": "2026-01-01T00:00:00Z",
            "begin_within_ms": 45_000,
        }
    ]


async def test_what_never_left_was_not_taken():
    agents = HttpAgents()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = node_at(f"http://127.0.0.1:{unused.getsockname()[1]}")
        sent = await agents.submit(naction(), nobody, epoch=9, begin_within_ms=None, ca_bundle=None)
    await agents.close()
    assert sent.answer is SendAnswer.REFUSED


async def test_a_cancel_never_fails():
    agent = Agent()
    async with served(agent) as (agents, node):
        await agents.cancel(naction(), node, epoch=9, ca_bundle=None)
        await agents.cancel(naction(), node_at("nonsense"), epoch=9, ca_bundle=None)
    assert agent.paths == [f"{protocol.ACTION}/a1/cancel"]

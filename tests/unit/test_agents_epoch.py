"""Whose epoch an agent remembers: of calls that could have acted there, and of no others."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from agent_harness import FixedStore, calling
from cli_harness import Terminal
from test_agents_tls import agent as tls_agent
from test_agents_tls import caller, certified

from replicante.agents.sdk.catalogue import TEST_LOOP, TEST_SUCCESS
from replicante.agents.sdk.server import CLUSTER_HEADER, EPOCH_HEADER, INCARNATION_HEADER

OURS = {"cluster_id": "c1"}


async def ask(agent, path: str, *, method: str = "GET", body=None, **headers) -> int:
    """The status.  path: from the root."""
    url = f"{agent.url}{path}"
    async with agent._session.request(method, url, json=body, headers=headers) as response:
        return response.status


GOOD = {"kind": TEST_SUCCESS, "id": "a"}
ACTION = "/api/unstable/action"
STRANGE = [
    ("/metrics", "GET", None, {}, 200),
    ("/api/unstable/nothing", "GET", None, {}, 404),
    ("/api/unstable/info/node", "POST", GOOD, {}, 405),
    ("/api/unstable/info/node", "GET", None, {CLUSTER_HEADER: "c2"}, 421),
    (ACTION, "POST", [], {}, 400),
    (ACTION, "POST", {"kind": "x.example.com/unknown"}, {}, 400),
    (ACTION, "POST", {"kind": TEST_LOOP, "args": {"target": "ten"}}, {}, 400),
    (ACTION, "POST", GOOD, {INCARNATION_HEADER: "another"}, 421),
    (ACTION, "POST", GOOD, {CLUSTER_HEADER: "c2"}, 421),
    (f"{ACTION}/a/cancel", "POST", {}, {CLUSTER_HEADER: "c2"}, 421),
]


@pytest.mark.parametrize(("path", "method", "body", "headers", "status"), STRANGE)
async def test_a_call_that_fails_a_check_locks_nobody_out(
    tmp_path, path, method, body, headers, status
):
    async with calling(tmp_path, FixedStore(), **OURS) as agent:
        strange = {EPOCH_HEADER: "99", **headers}
        assert await ask(agent, path, method=method, body=body, **strange) == status
        assert (await agent.get("info/node", epoch=1))[0] == 200


async def test_a_call_for_this_cluster_is_remembered_however_its_id_is_spelt(tmp_path):
    async with calling(tmp_path, FixedStore(), cluster_id="é/c 1") as agent:
        path = "/api/unstable/info/node"
        names = {EPOCH_HEADER: "9", CLUSTER_HEADER: "%C3%A9%2Fc%201"}
        assert await ask(agent, path, **names) == 200
        assert (await agent.get("info/node", epoch=8))[0] == 412


@pytest.mark.parametrize("path", ["action", "action/none/cancel"])
async def test_a_refusal_of_what_is_well_formed_is_under_the_newest_epoch_all_the_same(
    tmp_path, path
):
    """409 and 404 are answers of a worker's turn: who is older may not act behind it."""
    async with calling(tmp_path, FixedStore()) as agent:
        assert await agent.submit(TEST_SUCCESS, action_id="a", epoch=5) == 200
        assert (await agent.post(path, GOOD, epoch=7))[0] in (404, 409)
        assert await agent.submit(TEST_SUCCESS, action_id="b", epoch=6) == 412


async def test_an_agent_that_takes_no_action_keeps_no_epoch_and_says_so(tmp_path):
    place = certified(tmp_path / "ours", "a1")
    path = "/api/unstable/info/node"
    async with (
        tls_agent(tmp_path, place, is_mutual=False) as running,
        aiohttp.ClientSession() as session,
    ):
        for epoch in ("99", "1"):
            async with session.get(
                f"{running.url}{path}",
                headers={EPOCH_HEADER: epoch},
                ssl=caller(place, None),
            ) as response:
                assert response.status == 200
                assert EPOCH_HEADER not in response.headers


async def test_an_epoch_is_forgotten_by_hand_and_nothing_older_is_obeyed_then(tmp_path, capsys):
    terminal = Terminal(capsys)
    words = ("agent", "forget-epoch", "--data-dir", str(tmp_path))
    folder = tmp_path / "agent"
    async with calling(folder, FixedStore()) as agent:
        _, _, headers = await agent.get("info/node", epoch=99)
        running = await in_thread(terminal.run, *words)
        assert running.code != 0 and "another agent" in running.err
    assert (await in_thread(terminal.run, *words)).out == "epoch 99 is forgotten\n"
    async with calling(folder, FixedStore()) as agent:
        old = headers[INCARNATION_HEADER]
        assert await agent.submit(TEST_SUCCESS, action_id="late", epoch=98, to=old) == 421
        assert (await agent.get("info/node", epoch=1))[0] == 200
        assert await agent.submit(TEST_SUCCESS, action_id="a", epoch=1) == 200


async def test_what_is_no_folder_of_an_agent_has_no_epoch_to_forget(tmp_path, capsys):
    words = ("agent", "forget-epoch", "--data-dir", str(tmp_path))
    said = await in_thread(Terminal(capsys).run, *words)
    assert said.code != 0 and "No agent has kept anything" in said.err


async def in_thread(run, *words: str):
    """The command line has a loop of its own."""
    return await asyncio.to_thread(run, *words)

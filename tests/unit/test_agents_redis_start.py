"""How a Redis server begins, whoever starts it: by the configuration that its agent wrote down."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from test_agents_supervision import Scripted

from replicante.agents import sdk
from replicante.agents.stores.redis.actions import RedisActions, StartArgs
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.server import RedisServer, ServerSettings
from replicante.agents.stores.redis.settings import KeptSettings
from replicante.agents.stores.redis.talk import NoContact
from replicante.model.action_kinds import SERVICE_START


class Node:
    def __init__(self, folder: Path, *, supervisor: sdk.Supervisor | None = None) -> None:
        self.path = folder / "a folder" / "redis.conf"
        self.kept = KeptSettings(folder / "agent")
        settings = ServerSettings(
            program=None, folder=self.path.parent, host="127.0.0.1", port=7001, password='a"b\\c'
        )
        self.server = RedisServer(settings, self.kept, supervisor=supervisor)
        self.membership = Membership(folder / "agent", prepare=self.server.prepare)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


def test_a_server_begins_as_a_copy_whoever_starts_it_and_whenever(tmp_path):
    node = Node(tmp_path)
    assert "replicaof 127.0.0.1 1" in node.lines(), "of nobody, before anybody told it"
    node.membership.save(follows=("10.0.0.1", 7002))
    assert "replicaof 10.0.0.1 7002" in node.lines()
    node.kept.save({"maxmemory": "100"})
    node.server.prepare()
    assert {"replicaof 10.0.0.1 7002", "maxmemory 100"} <= set(node.lines())
    assert "replicaof 10.0.0.1 7002" in Node(tmp_path).lines(), "and after its agent came back"


def test_passwords_in_a_configuration_are_for_its_user_alone(tmp_path):
    node = Node(tmp_path)
    assert stat.S_IMODE(node.path.stat().st_mode) == 0o600
    assert 'requirepass "a\\"b\\\\c"' in node.lines()


@pytest.mark.parametrize("is_supervised", [True, False])
def test_only_a_server_without_a_supervisor_makes_itself_a_daemon(tmp_path, is_supervised):
    supervisor = Scripted(sdk.ServiceState.STOPPED) if is_supervised else None
    lines = Node(tmp_path, supervisor=supervisor).lines()
    assert f"daemonize {'no' if is_supervised else 'yes'}" in lines
    assert f'dir "{(tmp_path / "a folder").resolve()}"' in lines


async def test_a_supervisor_is_asked_to_start_and_to_stop_and_says_why_it_could_not(tmp_path):
    supervisor = Scripted(sdk.ServiceState.CHANGING, sdk.ServiceState.FAILED)
    server = Node(tmp_path, supervisor=supervisor).server
    await server.start()
    await server.shut_down()
    assert (supervisor.starts, supervisor.stops) == (1, 1)
    assert await server.failure() is None
    assert await server.failure() == "it is failed"


class Ending(RedisServer):
    """It ends while it is asked: it says nothing, then refuses."""

    contacts = (sdk.StoreContact.SILENT, *[sdk.StoreContact.REFUSED] * 3)
    asked_count = starts_count = 0

    async def facts(self):
        self.asked_count += 1
        raise NoContact(self.contacts[self.asked_count - 1], "gone")

    async def start(self):
        self.starts_count += 1


async def test_a_server_that_ends_while_it_is_asked_is_started_once_when_it_is_gone(tmp_path):
    settings = ServerSettings(program="x", folder=tmp_path, host="127.0.0.1", port=7001)
    server = Ending(settings, KeptSettings(tmp_path / "agent"))
    membership = Membership(tmp_path / "agent", prepare=server.prepare)
    kinds = RedisActions(server=server, membership=membership).kinds()
    (start,) = [it for it in kinds if it.kind == SERVICE_START]
    payload, starts = None, []
    for _ in Ending.contacts:
        step = await start.run(StartArgs(node="10.0.0.1:7002"), payload)
        payload = step.payload
        starts.append(server.starts_count)
    assert starts == [0, 1, 1, 1]
    assert membership.follows == ("10.0.0.1", 7002)

"""The feature level: shown, and raised only when every member says that it supports it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from api_harness import running
from cli_harness import Terminal, api_in_thread

from replicante import errors
from replicante.client import Client
from replicante.state import levels
from replicante.testing.fake_peer import FakePeer


@pytest.fixture
def next_version(monkeypatch):
    """This process knows one level more."""
    monkeypatch.setattr(levels, "LEVEL_MAX", 2)
    monkeypatch.setattr("replicante.state.envelope.LEVEL_MAX", 2)


def supported(peer: FakePeer, **by_peer: int | None) -> None:
    """The members, and the level that each of them said."""
    one = peer.base_status.peers[0]
    peers = tuple(
        replace(one, peer_id=peer_id, level_max=level, is_connected=True)
        for peer_id, level in by_peer.items()
    )
    peer.base_status = replace(peer.base_status, peers=peers)


def is_away(peer: FakePeer, peer_id: str) -> None:
    peers = peer.base_status.peers
    changed = (replace(it, is_connected=it.peer_id != peer_id) for it in peers)
    peer.base_status = replace(peer.base_status, peers=tuple(changed))


async def test_the_level_is_shown_with_what_each_member_supports():
    async with running() as api:
        supported(api.peer, p1=2, p2=1, p3=2)
        assert (await api.get("/raft/level")).json == {
            "level": 1,
            "supported": 1,
            "peers": [
                {"peer": "p1", "level_max": 2},
                {"peer": "p2", "level_max": 1},
                {"peer": "p3", "level_max": 2},
            ],
        }
        is_away(api.peer, "p2")
        found = (await api.get("/raft/level")).json
        assert found["supported"] is None
        assert found["peers"][1] == {"peer": "p2", "level_max": None}


@pytest.mark.usefixtures("next_version")
async def test_a_member_of_an_older_version_keeps_the_level():
    async with running() as api:
        supported(api.peer, p1=2, p2=1, p3=2)
        refused = await api.put("/raft/level", {"level": 2})
        problem = refused.problem("feature_level_unsupported", 409)
        assert problem["details"] == {"unsupported_by": ["p2"]}
        assert "p2 supports 1" in problem["detail"]
        assert api.peer.proposals_count == 0, "who does not know the level would stop at the entry"


@pytest.mark.usefixtures("next_version")
async def test_a_member_that_is_not_heard_keeps_the_level():
    async with running() as api:
        supported(api.peer, p1=2, p2=None)
        refused = (await api.put("/raft/level", {"level": 2})).problem(
            "feature_level_unsupported", 409
        )
        assert "p2 is not heard" in refused["detail"]
        supported(api.peer, p1=2, p2=2)
        is_away(api.peer, "p2")
        again = await api.put("/raft/level", {"level": 2})
        problem = again.problem("feature_level_unsupported", 409)
        assert problem["details"] == {"unsupported_by": ["p2"]}
        assert api.peer.proposals_count == 0


@pytest.mark.usefixtures("next_version")
async def test_a_level_that_all_support_is_raised_with_an_event_and_never_falls():
    async with running() as api:
        supported(api.peer, p1=2, p2=2)
        raised = await api.put("/raft/level", {"level": 2})
        assert (raised.status, raised.json["level"]) == (200, 2)
        assert (await api.get("/raft/level")).json["level"] == 2
        newest = (await api.get("/events?before=end&limit=1")).json["items"][0]
        assert (newest["code"], newest["payload"]) == (
            "FEATURE_LEVEL_RAISED",
            {"before": 1, "after": 2},
        )
        for level in (1, 2):
            again = await api.put("/raft/level", {"level": level})
            again.problem("feature_level_not_above", 409)


@pytest.mark.parametrize("level", [0, -1, "2", None])
async def test_a_level_is_a_number_from_1(level):
    async with running() as api:
        supported(api.peer, p1=1)
        (await api.put("/raft/level", {"level": level})).problem("invalid", 400)


@pytest.mark.usefixtures("next_version")
async def test_the_sdk_raises_it():
    async with running() as api, Client([api.server.url]) as client:
        supported(api.peer, p1=2, p2=1)
        with pytest.raises(errors.FeatureLevelUnsupported):
            await client.members.raise_level(2)
        supported(api.peer, p1=2, p2=2)
        assert (await client.members.raise_level(2)).level == 2
        assert (await client.members.level()).level == 2


def test_the_command_line_says_who_stands_in_the_way(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    peer = FakePeer()
    supported(peer, p1=1, p2=None)
    with api_in_thread(peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        terminal = Terminal(capsys)
        shown = terminal.run("raft", "level").out.splitlines()
        assert [line.split() for line in shown] == [
            ["level", "1"],
            ["supported", "by", "all", "-"],
            ["p1", "1"],
            ["p2", "not", "heard"],
        ]
        refused = terminal.run("raft", "raise-level", "2")
        assert refused.code != 0
        assert "p1 supports 1, p2 is not heard" in refused.err

"""Members over HTTP, the SDK and the command line, over a peer that only plays along."""

from __future__ import annotations

import json

import pytest
from api_harness import running
from cli_harness import Terminal, api_in_thread

from replicante import errors
from replicante.client import Client
from replicante.testing.fake_peer import FakePeer, Trouble

DISK = "a" * 32


async def test_members_are_shown_added_promoted_and_removed():
    async with running() as api:
        body = {"id": "p2", "incarnation": DISK, "address": "127.0.0.1:16117"}
        added = await api.post("/raft/peers", body)
        assert (added.status, added.json["id"]) == (200, "p2")
        shown = (await api.get("/raft/peers")).json
        assert shown["leader"] == "p1"
        assert [(it["peer"], it["is_voter"]) for it in shown["peers"]] == [
            ("p1", True),
            ("p2", False),
        ]
        assert (await api.post("/raft/peers/p2/promote", {})).status == 200
        assert (await api.get("/raft/peers")).json["peers"][1]["is_voter"]
        moved = await api.post("/raft/transfer", {"to": "p2"})
        assert moved.json == {"leader": "p2"}
        assert (await api.delete("/raft/peers/p2")).status == 200
        assert len((await api.get("/raft/peers")).json["peers"]) == 1


async def test_a_token_says_for_whom_and_for_how_long():
    async with running() as api:
        made = (await api.post("/raft/tokens", {"id": "p2", "valid": "90s"})).json
        assert made == {"id": "p2", "token": "token-of-p2-for-90000", "valid": "1m30s"}
        problem = (await api.post("/raft/tokens", {"id": "p2", "valid": "soon"})).problem(
            "invalid", 400
        )
        assert "30s" in problem["detail"]


async def test_what_cannot_be_done_is_a_problem_with_the_reason():
    async with running() as api:
        refused = (await api.delete("/raft/peers/p1")).problem("membership_refused", 409)
        assert refused["definite"] and "last voter" in refused["detail"]
        (await api.post("/raft/peers/p9/promote", {})).problem("not_found", 404)
        (await api.post("/raft/transfer", {"to": "p9"})).problem("not_found", 404)
        unknown = (await api.post("/raft/peers", {"id": "p2"})).problem("invalid", 400)
        assert unknown["definite"]


async def test_an_outcome_that_nobody_knows_is_called_unknown():
    async with running() as api:
        api.peer.trouble = Trouble.LOST_AFTER
        problem = (await api.delete("/raft/peers/p1")).problem("outcome_unknown", 504)
        assert not problem["definite"]


async def test_the_sdk_does_the_same():
    async with running() as api, Client([api.server.url]) as client:
        assert (await client.members.token("p2")).token == "token-of-p2-for-3600000"
        await client.members.add("p2", incarnation=DISK, address="127.0.0.1:16117")
        await client.members.promote("p2")
        assert (await client.members.transfer("p2")).leader == "p2"
        await client.members.remove("p1")
        assert [it.peer for it in (await client.members.list()).peers] == ["p2"]
        with pytest.raises(errors.MembershipRefused, match="last voter"):
            await client.members.remove("p2")


@pytest.fixture
def terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with api_in_thread(FakePeer()) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def test_the_command_line_does_the_same(terminal):
    made = terminal.run("raft", "token", "p2", "--valid", "10m")
    assert (made.code, made.out) == (0, "token-of-p2-for-600000\n")
    assert terminal.run("raft", "add", "p2", DISK, "127.0.0.1:16117").code == 0
    listed = terminal.run("raft", "peers").out.splitlines()
    assert listed[0].split()[:2] == ["PEER", "ROLE"]
    assert [line.split()[:2] for line in listed[1:]] == [["p1", "leader"], ["p2", "learner"]]
    assert terminal.run("raft", "promote", "p2").code == 0
    assert terminal.run("raft", "transfer", "p2").out.split() == ["leader", "p2"]
    assert terminal.run("raft", "remove", "p1").code == 0
    peers = json.loads(terminal.run("raft", "peers", "-o", "json").out)["peers"]
    assert [it["peer"] for it in peers] == ["p2"]
    refused = terminal.run("raft", "remove", "p2")
    assert refused.code != 0
    assert "last voter" in refused.err


async def test_a_backup_has_a_name_and_is_never_written_elsewhere():
    async with running() as api:
        made = (await api.post("/raft/backup", {"name": "today"})).json
        assert (made["peer"], made["folder"]) == ("p1", "backups/today")
        assert api.peer.barriers_count == 1, "what was acknowledged elsewhere is in it"
        (await api.post("/raft/backup", {"name": "today"})).problem("conflict", 409)
        for name in ("../x", "/tmp/x", "a/b", "", ".."):
            (await api.post("/raft/backup", {"name": name})).problem("invalid", 400)
        api.peer.trouble = Trouble.DISK_FULL
        (await api.post("/raft/backup", {"name": "more"})).problem("disk_full", 507)

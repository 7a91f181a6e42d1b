"""`replicante lease`, and transactions and bound keys of `replicante kv`."""

from __future__ import annotations

import json

import pytest
from cli_harness import Terminal, api_in_thread

from replicante.testing.fake_peer import FakePeer


@pytest.fixture
def terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with api_in_thread(FakePeer()) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def acquire(terminal, name="backup", *more):
    said = terminal.run("lease", "acquire", name, "--duration", "30s", "-o", "json", *more)
    assert said.code == 0
    return json.loads(said.out)["token"]


def test_a_lease_from_acquire_to_release(terminal):
    said = terminal.run("lease", "acquire", "backup", "--duration", "30s", "--owner", "host=db1")
    assert said.code == 0
    lease, token_line, expires = said.out.splitlines()
    assert (lease.split(), expires.split()) == (["lease", "backup"], ["expires", "in", "30s"])
    token = token_line.split()[1]
    listed = terminal.run("lease", "list")
    assert listed.out.splitlines()[0].split() == [
        *("LEASE", "OWNER", "EXPIRES", "IN", "HELD", "FOR", "TOKEN")
    ]
    assert '{"host":"db1"}' in listed.out
    assert token in listed.out
    assert terminal.run("lease", "renew", "backup", token, "--duration", "1m").code == 0
    assert "1m" in terminal.run("lease", "list", "back").out
    released = terminal.run("lease", "release", "backup", token)
    assert (released.code, released.out.split()[:2]) == (0, ["released", "backup"])
    assert json.loads(terminal.run("lease", "list", "-o", "json").out) == []


def test_a_held_lease_is_exit_code_5(terminal):
    acquire(terminal, "backup", "--owner", "host=db1")
    held = terminal.run("lease", "acquire", "backup", "--duration", "30s", "--wait", "10ms")
    assert (held.code, held.out) == (5, "")
    assert "is held" in held.err
    assert 'held by {"host":"db1"}, for ' in held.err
    assert '{"host":"db1"}' in terminal.run("lease", "get", "backup").out
    assert terminal.run("lease", "get", "other").code == 3


def test_an_old_token_is_exit_code_5(terminal):
    token = acquire(terminal)
    assert terminal.run("lease", "release", "backup", token).code == 0
    assert terminal.run("lease", "renew", "backup", token).code == 5
    assert terminal.run("lease", "release", "backup", token).code == 5


def test_a_lease_is_taken_away_with_a_reason(terminal):
    acquire(terminal)
    assert terminal.run("lease", "force-release", "backup").code == 2
    assert terminal.run("lease", "force-release", "backup", "--reason", "db1 is gone").code == 0
    again = terminal.run("lease", "force-release", "backup", "--reason", "again")
    assert (again.code, again.err) == (3, "error: There is no lease 'backup'.\n")
    events = terminal.run("events", "tail", "--code", "LEASE_FORCE", "-o", "json")
    assert json.loads(events.out)["payload"]["reason"] == "db1 is gone"


def test_a_bound_key_vanishes_with_its_lease(terminal):
    token = acquire(terminal)
    assert terminal.run("kv", "put", "member", '"db1"', "--lease", token).code == 0
    assert terminal.run("lease", "release", "backup", token).code == 0
    assert terminal.run("kv", "get", "member").code == 3
    assert terminal.run("kv", "put", "member", '"db1"', "--lease", token).code == 5


def test_a_transaction_says_which_branch_it_took(terminal, tmp_path):
    body = {
        "compares": [{"check": "absent", "key": "a"}],
        "then": [{"op": "put", "key": "a", "value": 1}],
        "otherwise": [{"op": "get", "key": "a"}],
    }
    done = terminal.run("kv", "txn", json.dumps(body))
    assert done.code == 0
    branch, header, row = done.out.splitlines()
    assert (branch, header.split()) == ("then", ["OP", "KEY", "VALUE", "REVISION"])
    assert row.split()[:2] == ["put", "a"]
    file = tmp_path / "change.json"
    file.write_text(json.dumps(body))
    again = terminal.run("kv", "txn", "--file", str(file), "-o", "json")
    assert again.code == 5
    answer = json.loads(again.out)
    assert (answer["is_success"], answer["results"][0]["value"]) == (False, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("lease", "acquire", "l"),
        ("lease", "acquire", "l", "--duration", "10"),
        ("lease", "acquire", "l", "--duration", "10ms"),
        ("lease", "acquire", "l", "--duration", "10s", "--wait", "11m"),
        ("lease", "acquire", "l", "--duration", "10s", "--owner", "db1"),
        ("lease", "acquire", "l", "--duration", "10s", "--owner", "=db1"),
        ("lease", "acquire", "", "--duration", "10s"),
        ("lease", "renew", "l", "x"),
        ("lease", "release", "l"),
        ("kv", "put", "a", "1", "--lease", "x"),
        ("kv", "txn"),
        ("kv", "txn", "[]"),
        ("kv", "txn", "{}"),
        ("kv", "txn", '{"then": [{"op": "move", "key": "a"}]}'),
    ],
)
def test_wrong_input_is_exit_code_2_and_says_nothing_on_stdout(terminal, arguments):
    said = terminal.run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err

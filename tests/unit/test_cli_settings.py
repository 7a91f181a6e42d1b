"""`config check|show`, contexts, and what becomes of errors."""

from __future__ import annotations

import json

import pytest
from cli_harness import Terminal

from replicante import errors
from replicante.cli import root
from replicante.cli.common import resolve_endpoints
from replicante.cli.exits import Exit, exit_of


@pytest.fixture
def terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("REPLICANTE_ENDPOINTS", "REPLICANTE_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    return Terminal(capsys)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "p1.toml"
    path.write_text('[peer]\nid = "p1"\ndata_dir = "data"\n[raft]\nheartbeat_ms = 90\n')
    return path


def test_config_check_says_whether_a_peer_would_start(terminal, file):
    assert terminal.run("config", "check", "--config", str(file)).code == 0
    said = terminal.run("config", "check", "--config", str(file), "--http-listen", "0.0.0.0:1")
    assert said.code == 1
    assert "http.listen" in said.err
    assert "flag --http-listen" in said.err
    assert "hint: " in said.err


def test_config_show_tells_values_and_origins(terminal, file, monkeypatch):
    monkeypatch.setenv("REPLICANTE_RAFT__ELECTION_MS_MIN", "700")
    said = terminal.run("config", "show", "--config", str(file), "--origin", "-o", "json")
    found = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(said.out)}
    assert found["raft.heartbeat_ms"] == (90, f"file {file}")
    assert found["raft.election_ms_min"] == (
        700,
        "environment REPLICANTE_RAFT__ELECTION_MS_MIN",
    )
    assert found["raft.peers"] == ([], "default")
    assert "ORIGIN" not in terminal.run("config", "show", "--config", str(file)).out


def test_a_server_with_wrong_settings_does_not_start(terminal):
    said = terminal.run("server", "--peer-id", "P 1", "--raft-listen", "10.0.0.1:1")
    assert said.code == 1
    assert said.err.count("\n  ") >= 3


def test_contexts_are_added_used_listed_and_removed(terminal):
    assert terminal.run("context", "add", "one", "--endpoints", "a:1,b:2").code == 0
    assert terminal.run("context", "add", "two", "--endpoints", "http://c:3").code == 0
    assert terminal.run("context", "add", "two", "--endpoints", "d:4").code == 5
    assert terminal.run("context", "use", "two").code == 0
    rows = [line.split() for line in terminal.run("context", "list").out.splitlines()[1:]]
    assert rows == [["one", "http://a:1,http://b:2"], ["*", "two", "http://c:3"]]
    assert terminal.run("context", "remove", "two").code == 0
    assert terminal.run("context", "use", "two").code == 3
    assert terminal.run("context", "add", "../x", "--endpoints", "d:4").code == 2
    assert terminal.run("context", "add", "x", "--endpoints", "ftp://d").code == 2


def test_a_broken_contexts_file_is_named(terminal, tmp_path):
    path = tmp_path / "config" / "replicante" / "contexts.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    said = terminal.run("context", "list")
    assert said.code == 2
    assert str(path) in said.err


def test_what_is_said_beats_the_environment_which_beats_the_current_context(terminal, tmp_path):
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config")}

    def chosen(endpoints=None, context=None, **more):
        return resolve_endpoints(endpoints, context=context, environment={**environment, **more})[0]

    assert chosen() == "http://127.0.0.1:16016"
    terminal.run("context", "add", "one", "--endpoints", "one:1")
    terminal.run("context", "add", "two", "--endpoints", "two:1")
    assert chosen() == "http://one:1"
    assert chosen(REPLICANTE_CONTEXT="two") == "http://two:1"
    assert chosen(REPLICANTE_CONTEXT="two", REPLICANTE_ENDPOINTS="env:1") == "env:1"
    assert chosen(context="two", REPLICANTE_ENDPOINTS="env:1") == "http://two:1"
    assert chosen(endpoints="said:1", context="two", REPLICANTE_ENDPOINTS="env:1") == "said:1"
    with pytest.raises(errors.NotFound):
        chosen(context="three")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Invalid(), Exit.USAGE),
        (errors.NotFound(), Exit.NOT_FOUND),
        (errors.Forbidden(), Exit.DENIED),
        (errors.Conflict(), Exit.CONFLICT),
        (errors.RevisionMismatch(), Exit.CONFLICT),
        (errors.OutcomeExpired(), Exit.CONFLICT),
        (errors.NoLeader(), Exit.UNREACHABLE),
        (errors.Unreachable(), Exit.UNREACHABLE),
        (errors.ReadTimeout(), Exit.UNREACHABLE),
        (errors.OutcomeUnknown(), Exit.OUTCOME_UNKNOWN),
        (errors.InvalidConfig(), Exit.FAILED),
        (errors.AddressInUse(), Exit.FAILED),
        (errors.BodyTooLarge(), Exit.FAILED),
        (errors.ReplicanteError(), Exit.FAILED),
    ],
)
def test_exit_codes_are_a_promise_to_scripts(error, code):
    assert exit_of(error) is code


@pytest.mark.parametrize(
    ("raised", "code", "word"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, ""),
        (ZeroDivisionError("boom"), 1, "defect"),
    ],
)
def test_no_end_of_a_command_is_a_traceback(terminal, monkeypatch, raised, code, word):
    def fail(*_args, **_kwargs):
        raise raised

    monkeypatch.setattr(root, "_let_go_of_stdout", lambda: None)
    monkeypatch.setattr(root.replicante, "invoke", fail)
    said = terminal.run("context", "list")
    assert said.code == code
    assert word in said.err

"""Every command that speaks to a cluster: what it prints where, and its exit code."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import yaml
from cli_harness import Terminal, api_in_thread

from replicante.raft.status import Quarantine
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import FakePeer, Trouble

NAMESPACE = "apiVersion: replicante.io/v0\nkind: Namespace\nmetadata: {name: %s}\n"


@pytest.fixture
def peer():
    return FakePeer()


@pytest.fixture
def terminal(peer, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with api_in_thread(peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def test_kv_from_put_to_delete(terminal):
    assert terminal.run("kv", "put", "colour", '{"red": 1}').code == 0
    got = terminal.run("kv", "get", "colour")
    assert (got.code, got.out, got.err) == (0, '{"red":1}\n', "")
    record = json.loads(terminal.run("kv", "get", "colour", "-o", "json").out)
    assert (record["key"], record["value"]) == ("colour", {"red": 1})
    assert yaml.safe_load(terminal.run("kv", "get", "colour", "-o", "yaml").out) == record
    assert terminal.run("kv", "delete", "colour", "--if-revision", "1").code == 5
    assert terminal.run("kv", "delete", "colour", "--if-revision", record["revision"]).code == 0
    gone = terminal.run("kv", "get", "colour")
    assert (gone.code, gone.out) == (3, "")
    assert gone.err.startswith("error: ")


def test_a_value_can_be_a_text_or_come_from_a_file(terminal, tmp_path):
    file = tmp_path / "value.json"
    file.write_text('[1, "ä"]')
    assert terminal.run("kv", "put", "a", "--file", str(file)).code == 0
    assert terminal.run("kv", "get", "a").out == '[1,"ä"]\n'
    assert terminal.run("kv", "put", "b", "plain text", "--text").code == 0
    assert terminal.run("kv", "get", "b").out == '"plain text"\n'
    assert terminal.run("kv", "get", "b", "--raw").out == "plain text\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("kv", "put", "a"),
        ("kv", "put", "a", "1", "--file", "-"),
        ("kv", "put", "a", "{bad"),
        ("kv", "put", "a", "NaN"),
        ("kv", "put", "a", "[" * 100_000),
        ("kv", "put", "a", "1" * 30),
        ("kv", "put", "a", "1", "--if-new", "--if-revision", "1"),
        ("kv", "get", "a", "--max-stale", "5s"),
        ("kv", "get", "a", "--timeout", "soon"),
        ("kv", "get", "a", "--endpoints", "ftp://x"),
        ("kv", "get", ""),
        ("kv", "nonsense"),
        ("nonsense",),
        ("events", "tail", "--after", "yesterday"),
        ("dev", "--peers", "0"),
        ("dev", "--http-port", "16016", "--raft-port", "16017"),
    ],
)
def test_wrong_input_is_exit_code_2_and_says_nothing_on_stdout(terminal, arguments):
    said = terminal.run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err


def test_conditions_are_exit_code_5_and_tell_the_present_revision(terminal):
    assert terminal.run("kv", "put", "a", "1", "--if-new").code == 0
    revision = json.loads(terminal.run("kv", "get", "a", "-o", "json").out)["revision"]
    said = terminal.run("kv", "put", "a", "2", "--if-new")
    assert said.code == 5
    assert revision in said.err
    said = terminal.run("kv", "put", "a", "2", "--if-new", "-o", "json")
    assert json.loads(said.err)["details"]["revision"] == revision


def test_a_refusal_names_the_thing(terminal):
    def said(*arguments):
        return terminal.run(*arguments).err.splitlines()[0].removeprefix("error: ")

    assert said("kv", "delete", "a") == "There is no key 'a'."
    assert said("kv", "put", "a", "1", "--if-revision", "5") == "There is no key 'a'."
    assert terminal.run("kv", "put", "a", "1").code == 0
    assert said("kv", "put", "a", "1", "--if-new") == "There is a key 'a' already."
    changed = "The key 'a' changed since the revision that the request names."
    assert said("kv", "delete", "a", "--if-revision", "5") == changed
    assert said("events", "consumer", "delete", "c") == "There is no consumer 'c'."
    assert said("queue", "redrive", "mail", "5").startswith("There is no dead letter")
    assert said("namespace", "delete", "n") == "namespace/n: There is no Namespace n."


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(Trouble.NO_LEADER, 8), (Trouble.STOPPING, 8), (Trouble.LOST_BEFORE, 9), (Trouble.DEFECT, 9)],
)
def test_what_a_failed_write_means_is_its_exit_code(terminal, peer, trouble, code):
    peer.trouble = trouble
    assert terminal.run("kv", "put", "a", "1", "--timeout", "1s").code == code


def test_nobody_there_is_exit_code_8(terminal):
    said = terminal.run("kv", "get", "a", "--endpoints", "127.0.0.1:1", "--timeout", "200ms")
    assert said.code == 8
    assert "connection refused" in said.err


def test_a_list_is_a_table_or_a_document(terminal):
    for key in ("x/2", "x/1", "y"):
        terminal.run("kv", "put", key, '"é"')
    between = terminal.run("kv", "list", "--from", "x/", "--to", "x0", "-o", "json")
    assert json.loads(between.out) == json.loads(terminal.run("kv", "list", "x/", "-o", "json").out)
    lines = terminal.run("kv", "list", "x/").out.splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", "x/1", "x/2"]
    listed = json.loads(terminal.run("kv", "list", "-o", "json", "--limit", "2").out)
    assert [item["key"] for item in listed] == ["x/1", "x/2"]
    keys = terminal.run("kv", "list", "x/", "--keys-only").out.splitlines()
    assert [line.split()[0] for line in keys] == ["KEY", "x/1", "x/2"]
    assert "é" not in "".join(keys)
    for consistency in ("linearizable", "stale", "bounded"):
        said = terminal.run("kv", "list", "--consistency", consistency, "-o", "json")
        assert len(json.loads(said.out)) == 3


def test_objects_from_apply_to_delete(terminal, tmp_path):
    file = tmp_path / "spaces.yaml"
    file.write_text(NAMESPACE % "a" + "---\n" + NAMESPACE % "b" + "---\n")
    checked = terminal.run("apply", "-f", str(file), "--dry-run")
    assert "created (dry run)" in checked.out
    assert terminal.run("get", "namespace", "a").code == 3
    applied = terminal.run("apply", "-f", str(file))
    assert applied.out.count("created") == 2
    assert terminal.run("apply", "-f", str(file)).out.count("unchanged") == 2
    assert yaml.safe_load(terminal.run("get", "namespace", "a").out)["metadata"]["name"] == "a"
    listed = json.loads(terminal.run("list", "namespace", "-o", "json").out)
    assert [item["id"] for item in listed] == ["a", "b"]
    assert terminal.run("delete", "namespace", "a").code == 0
    assert terminal.run("delete", "namespace", "a").code == 3


def test_a_kind_is_called_as_its_commands_are_and_a_wrong_one_is_told_the_kinds(terminal, tmp_path):
    file = tmp_path / "all.yaml"
    cluster = "apiVersion: replicante.io/v0\nkind: ClusterSpec\nmetadata: {name: c}\n"
    file.write_text(NAMESPACE % "a" + "---\n" + cluster + "spec: {ns_id: a}\n")
    assert terminal.run("apply", "-f", str(file)).code == 0
    for kind in ("cluster", "clusterspec", "ClusterSpec"):
        assert terminal.run("get", kind, "a", "c").code == 0
        assert "a/c" in terminal.run("list", kind).out
        assert "found by namespace" in terminal.run("get", kind, "c").err
    unknown = terminal.run("get", "nonsense", "a", "c")
    assert (unknown.code, unknown.out) == (3, "")
    assert "known: namespace NAME" in unknown.err
    assert terminal.run("delete", "cluster", "a", "c").code == 0


def test_a_refused_document_is_named_after_what_was_applied_before(terminal, tmp_path):
    file = tmp_path / "spaces.yaml"
    file.write_text(NAMESPACE % "a" + "---\n" + NAMESPACE % "b" + "spec: {nonsense: 1}\n")
    said = terminal.run("apply", "-f", str(file))
    assert said.code == 2
    assert "namespace/a" in said.out
    assert "spaces.yaml, document 2" in said.err


def test_nothing_is_applied_when_one_document_cannot_be_read(terminal, tmp_path):
    good, bad = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text(NAMESPACE % "a")
    bad.write_text("a: [1")
    said = terminal.run("apply", "-f", str(good), "-f", str(bad))
    assert said.code == 2
    assert "b.yaml, line 1" in said.err
    assert json.loads(terminal.run("list", "namespace", "-o", "json").out) == []


def test_events_are_tailed_from_the_end_from_an_id_and_by_filter(terminal):
    for number in range(30):
        terminal.run("kv", "put", f"k/{number:02d}", str(number))
    last = terminal.run("events", "tail").out.splitlines()
    assert len(last) == 10
    assert "k/29" in last[-1]
    every = terminal.run("events", "tail", "--after", "0", "-o", "json").out.splitlines()
    events = [json.loads(line) for line in every]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    rest = terminal.run("events", "tail", "--after", events[-3]["id"], "-o", "json")
    assert [json.loads(line)["id"] for line in rest.out.splitlines()] == [
        event["id"] for event in events[-2:]
    ]
    one = terminal.run("events", "tail", "--key", "k/07", "-n", "100").out.splitlines()
    assert len(one) == 1
    assert terminal.run("events", "tail", "--code", "NOTHING").out == ""
    assert terminal.run("events", "tail", "-n", "0").out == ""
    documents = list(
        yaml.safe_load_all(terminal.run("events", "tail", "-o", "yaml", "-n", "2").out)
    )
    assert len(documents) == 2


def test_events_are_listed_newest_first_and_page_by_page(terminal):
    for number in range(7):
        terminal.run("kv", "put", f"k/{number}", str(number))
    first = terminal.run("events", "list", "--code", "KV_", "-n", "5")
    assert [line.split("k/")[1][0] for line in first.out.splitlines()] == list("65432")
    assert first.err.startswith("older: --before ")
    before = first.err.split()[-1]
    second = terminal.run("events", "list", "--code", "KV_", "-n", "5", "--before", before)
    assert [line.split("k/")[1][0] for line in second.out.splitlines()] == list("10")
    assert second.err == ""
    page = json.loads(terminal.run("events", "list", "--after", "0", "-o", "json").out)
    assert [event["seq"] for event in page["items"]] == list(range(1, len(page["items"]) + 1))
    assert terminal.run("events", "list", "--after", "0", "--before", "9").code == 2


def test_the_retention_of_events_is_shown_and_changed_in_part(terminal):
    assert "age       30d" in terminal.run("events", "retention", "get").out
    done = terminal.run("events", "retention", "set", "--bytes", "512MiB", "-o", "json")
    changed = json.loads(done.out)
    assert (changed["bytes"], changed["age"]) == (512 << 20, "30d")
    assert terminal.run("events", "retention", "set").code == 2
    assert terminal.run("events", "retention", "set", "--bytes", "much").code == 2
    assert terminal.run("events", "retention", "set", "--count", "3").code == 2


def test_status_of_the_cluster_and_of_its_peers(terminal):
    terminal.run("kv", "put", "a", "1")
    assert "leader" in terminal.run("status").out
    assert json.loads(terminal.run("status", "-o", "json").out)["peer"] == "p1"
    said = terminal.run("raft", "status")
    assert said.code == 0
    assert "p1" in said.out
    assert "digests" in said.err


def test_verify_demands_equal_states_of_several_peers(terminal):
    terminal.run("kv", "put", "a", "1")
    alone = terminal.run("raft", "status", "--verify")
    assert alone.code == 1, "one peer agrees with nobody"
    assert "no common index" in alone.err
    twin, other = FakePeer(peer_id="p2"), FakePeer(peer_id="p3")
    with api_in_thread(twin) as twin_url, api_in_thread(other) as other_url:
        both = ("--endpoints", f"{other_url},{twin_url}")
        for peer in (twin, other):
            peer.do(kv_put("b", 1))
        equal = terminal.run("raft", "status", "--verify", *both)
        assert (equal.code, "are equal" in equal.err) == (0, True)
        other.do(kv_put("b", 2))
        twin.do(kv_put("b", 3))
        differing = terminal.run("raft", "status", "--verify", *both)
        assert (differing.code, "THE STATES DIFFER" in differing.err) == (1, True)
        assert terminal.run("raft", "status", *both).code == 0


def test_verify_fails_loudly_when_a_peer_knows_of_a_wrong_state(terminal):
    twin, other = FakePeer(peer_id="p2"), FakePeer(peer_id="p3")
    with api_in_thread(twin) as twin_url, api_in_thread(other) as other_url:
        both = ("--endpoints", f"{other_url},{twin_url}")
        wrong = Quarantine(index=2048, own_digest="a", digest="b")
        other.base_status = replace(other.base_status, quarantine=wrong)
        said = terminal.run("raft", "status", "--verify", *both)
        assert said.code == 1
        assert "p3: QUARANTINED since index 2048" in said.err
        assert "join again" in said.err
        shown = terminal.run("status", "--endpoints", other_url)
        assert "QUARANTINED since index 2048" in shown.out
        other.base_status = replace(other.base_status, quarantine=None, disputed_index=4096)
        assert "DISPUTED at index 4096" in terminal.run("raft", "status", *both).err
        (row,) = other.base_status.peers
        other.base_status = replace(
            other.base_status, disputed_index=None, peers=(replace(row, differs_at=7),)
        )
        assert "WRONG since 7" in terminal.run("status", "--endpoints", other_url).out


def test_a_peer_that_does_not_answer_is_a_line_not_a_failure(terminal):
    url = os.environ["REPLICANTE_ENDPOINTS"]
    said = terminal.run("raft", "status", "--endpoints", f"{url},127.0.0.1:1", "--timeout", "500ms")
    assert said.code == 0
    assert "no answer" in said.out
    assert "connection refused" in said.err
    assert terminal.run("raft", "status", "--endpoints", "127.0.0.1:1", "--timeout", "1s").code == 8


def test_a_stored_text_cannot_command_the_terminal(terminal):
    terminal.run("kv", "put", "bell", '"\\u001b[2J\\u009b\\u202e"')
    for arguments in (("kv", "get", "bell"), ("kv", "list"), ("kv", "get", "bell", "-o", "json"),
                      ("events", "tail"), ("events", "tail", "-o", "json")):  # fmt: skip
        out = terminal.run(*arguments).out
        assert out.replace("\n", "").isprintable(), arguments

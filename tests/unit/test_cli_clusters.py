"""Declared clusters and their actions at the command line: folders, diff, delete by file, verbs."""

from __future__ import annotations

import json

import pytest
from cli_harness import Terminal, api_in_thread
from test_api_clusters import hold_discovery

from replicante.testing.fake_peer import FakePeer

CLUSTER = """\
apiVersion: replicante.io/v0
kind: ClusterSpec
metadata: {name: %s, labels: {tier: cache}}
spec: {interval: 30s}
"""
NAMESPACE = """\
apiVersion: replicante.io/v0
kind: Namespace
metadata: {name: default}
"""
ACTION = """\
apiVersion: replicante.io/v0
kind: NAction
spec: {cluster_id: r1, node_id: n1, action: agent.replicante.io/test.success, approval: required}
"""


@pytest.fixture
def terminal(capsys, monkeypatch):
    with api_in_thread(FakePeer()) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "1-space.yaml").write_text(NAMESPACE)
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "2.yml").write_text(CLUSTER % "r1" + "---\n" + CLUSTER % "r2")
    (tmp_path / "notes.txt").write_text("no document")
    return tmp_path


def test_a_folder_is_applied_in_the_order_of_its_names_and_deleted_in_reverse(terminal, folder):
    said = terminal.run("apply", "-f", str(folder))
    assert said.code == 0, said.err
    lines = [line.split()[0] for line in said.out.splitlines()[1:]]
    assert lines == ["namespace/default", "clusterspec/r1", "clusterspec/r2"]
    assert "default/r1" in terminal.run("cluster", "list", "--labels", "tier=cache").out
    said = terminal.run("delete", "-f", str(folder))
    lines = [line.split()[:2] for line in said.out.splitlines()[1:]]
    assert lines == [
        ["clusterspec/default/r2", "gone"],
        ["clusterspec/default/r1", "gone"],
        ["namespace/default", "gone"],
    ]


def test_what_was_done_before_a_refusal_is_shown_and_the_refusal_names_its_document(
    terminal, folder
):
    terminal.run("apply", "-f", str(folder))
    assert terminal.run("delete", "clusterspec", "default", "r1").code == 0
    said = terminal.run("delete", "-f", str(folder))
    assert said.code == 3
    assert "clusterspec/default/r1: " in said.err
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "DELETED",
        "clusterspec/default/r2",
    ]
    broken = folder / "within" / "2.yml"
    broken.write_text(broken.read_text().replace("30s", "soon", 1))
    for verb in ("diff", "apply"):
        said = terminal.run(verb, "-f", str(folder))
        assert said.code != 0
        assert "2.yml, document 1: " in said.err


def test_diff_shows_what_apply_would_change_and_writes_nothing(terminal, folder):
    terminal.run("apply", "-f", str(folder))
    assert terminal.run("diff", "-f", str(folder), "--detailed-exitcode").code == 0
    changed = folder / "within" / "2.yml"
    changed.write_text(changed.read_text().replace("30s", "45s", 1))
    said = terminal.run("diff", "-f", str(folder), "--detailed-exitcode")
    assert said.code == 10
    assert "-  interval: 30s" in said.out and "+  interval: 45s" in said.out
    assert terminal.run("diff", "-f", str(folder)).code == 0
    assert "interval: 30s" in terminal.run("cluster", "get", "r1").out


def test_diff_of_something_new_is_all_of_it(terminal, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(NAMESPACE)
    said = terminal.run("diff", "-f", str(file))
    assert "--- namespace/default (now)" in said.out
    assert all(line[0] in "-+@" for line in said.out.splitlines())


def test_documents_that_need_each_other_are_previewed_before_any_is_there(terminal, folder):
    (folder / "z.yaml").write_text(ACTION)
    said = terminal.run("apply", "--dry-run", "-f", str(folder))
    assert said.code == 0, said.err
    rows = [line.split(maxsplit=1) for line in said.out.splitlines()[1:]]
    assert [name for name, _ in rows] == [
        "namespace/default",
        "clusterspec/r1",
        "clusterspec/r2",
        "naction/(new)",
    ]
    assert all(rest.startswith("created (dry run)") for _, rest in rows)
    foreseen = terminal.run("diff", "-f", str(folder), "--detailed-exitcode")
    assert foreseen.code == 10, foreseen.err
    assert "naction/(new) (z.yaml, document 1) would be started" in foreseen.out
    assert terminal.run("namespace", "list").out.split() == ["NAME", "STATUS", "REVISION"]
    # Object by object it is what the control plane says when the one before is there.
    (folder / "z.yaml").unlink()
    foreseen = terminal.run("diff", "-f", str(folder))
    terminal.run("apply", "-f", str(folder / "1-space.yaml"))
    judged = terminal.run("diff", "-f", str(folder))
    clusters = foreseen.out[foreseen.out.index("--- clusterspec/r1") :]
    assert clusters == judged.out


def test_what_no_earlier_document_declares_is_still_missed(terminal, tmp_path):
    file = tmp_path / "a.yaml"
    for documents in (
        [CLUSTER % "r1", NAMESPACE],
        [NAMESPACE.replace("default", "other"), CLUSTER % "r1"],
        [NAMESPACE, CLUSTER % "r2", ACTION],
        [NAMESPACE, (CLUSTER % "r1").replace("30s", "soon")],
    ):
        file.write_text("---\n".join(documents))
        for verb in (["diff"], ["apply", "--dry-run"]):
            said = terminal.run(*verb, "-f", str(file))
            assert said.code == 2, said
            assert "a.yaml, document " in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply"],
        ["diff"],
        ["delete"],
        ["delete", "namespace"],
        ["delete", "namespace", "a", "-f", "x.yaml"],
        ["apply", "-f", "/nowhere/at/all.yaml"],
    ],
)
def test_what_is_not_said_is_asked_for(terminal, arguments):
    assert terminal.run(*arguments).code == 2


def test_an_action_is_not_deleted_as_a_document(terminal, tmp_path):
    file = tmp_path / "action.yaml"
    file.write_text(ACTION)
    said = terminal.run("delete", "-f", str(file))
    assert said.code == 2
    assert "clusterspec" in said.err


def test_an_action_is_approved_shown_and_cancelled(terminal, folder, tmp_path):
    terminal.run("apply", "-f", str(folder))
    file = tmp_path / "action.txt"
    file.write_text(ACTION)
    applied = json.loads(terminal.run("apply", "-f", str(file), "-o", "json").out)
    action_id = applied[0]["metadata"]["name"]
    assert "PENDING_APPROVE" in terminal.run("n-action", "list", "-c", "r1").out
    approved = terminal.run("n-action", "approve", "-c", "r1", "n1", action_id)
    assert "PENDING_SCHEDULE" in approved.out
    assert terminal.run("n-action", "reject", "-c", "r1", "n1", action_id).code == 2
    assert terminal.run("n-action", "cancel", "-c", "r1", "n1", action_id).code == 0
    shown = terminal.run("n-action", "get", "-c", "r1", "n1", action_id).out
    assert shown.count("phase: CANCELLED") == 2
    assert action_id not in terminal.run("n-action", "list", "-c", "r1", "--no-all").out
    assert terminal.run("o-action", "get", "-c", "r1", action_id).code == 3


def test_what_is_not_known_yet_is_not_found(terminal, folder):
    terminal.run("apply", "-f", str(folder))
    assert terminal.run("cluster", "report", "r1").code == 3
    assert terminal.run("cluster", "discovery", "r1").code == 3
    assert terminal.run("platform", "list").out.split() == ["NAME", "STATUS", "REVISION"]
    assert terminal.run("platform", "get", "p").code == 3


def test_work_is_asked_for_at_the_command_line(terminal, folder):
    terminal.run("apply", "-f", str(folder))
    assert "asked for" in terminal.run("cluster", "orchestrate", "r1").out
    assert "already" in terminal.run("cluster", "orchestrate", "r1").out
    assert "cluster_id: r1" in terminal.run("cluster", "view", "r1").out
    assert terminal.run("platform", "discover", "p").code == 3
    assert terminal.run("platform", "discovery", "p").code == 3


def test_a_held_discovery_is_shown_with_what_would_approve_it(capsys, monkeypatch):
    peer = FakePeer()
    hold_discovery(peer.lone)
    with api_in_thread(peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        terminal = Terminal(capsys)
        shown = terminal.run("cluster", "discovery", "r").out
        assert "too many" in shown
        (line,) = [line for line in shown.splitlines() if "approve-discovery" in line]
        refused = terminal.run("cluster", "approve-discovery", "r", "--gone", "n2")
        assert refused.code != 0 and "record" in refused.err
        words = line[line.index("cluster approve-discovery") :].split()
        assert terminal.run(*words, "--reason", "burnt").code == 0
        after = terminal.run("cluster", "discovery", "r").out
        assert "n1" in after and "n2" not in after and "held" not in after

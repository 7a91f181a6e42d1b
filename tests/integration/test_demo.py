"""The demo over real processes: it ends well, and not well when the data of a peer was changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from docs_runner import free_ports
from local_processes import command, port_options

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


def test_the_demo_ends_well_and_its_report_says_why(tmp_path):
    with command("demo", *port_options(free_ports()), folder=tmp_path, DEMO_SECONDS="0") as demo:
        code = demo.end()
        assert (code, demo.out[-1]) == (0, "demo: ok"), demo.story()
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert report["verdict"] == "ok"
    assert report["kill"]["leader_before"] != report["kill"]["leader_after"]
    assert len(report["acknowledged"]) > 20
    assert len({(it["index"], it["value"]) for it in report["digests"]}) == 1
    assert {it["equal_count"] for it in report["read_backs"]} == {len(report["acknowledged"])}


def test_a_peer_whose_data_was_changed_fails_the_demo(tmp_path):
    with command("demo", *port_options(free_ports()), folder=tmp_path, DEMO_SECONDS="0") as demo:
        line = demo.wait_for(lambda line: "killed the leader" in line)
        peer = re.search(r"killed the leader (p\d)", line)[1]
        assert change_values(tmp_path / "demo-data" / peer / "state") > 0
        code = demo.end()
    assert code == 1, demo.story()
    assert demo.out[-1].startswith("demo: FAILED ("), demo.story()
    assert peer in demo.out[-1]
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert report["verdict"] == "failed"


def test_a_demo_that_is_interrupted_is_no_success(tmp_path):
    with command("demo", *port_options(free_ports()), folder=tmp_path) as demo:
        demo.wait_for(lambda line: "writing through" in line)
        assert demo.interrupt() == 130, demo.story()
    assert demo.out[-1] == "demo: FAILED (it was interrupted)"


def change_values(folder: Path) -> int:
    """Changes stored values of a peer that does not run; how many places."""
    changed = 0
    for path in folder.rglob("*.mdb"):
        data = path.read_bytes()
        changed += data.count(b"\xa6square")
        path.write_bytes(data.replace(b"\xa6square", b"\xa6sQuare"))
    return changed

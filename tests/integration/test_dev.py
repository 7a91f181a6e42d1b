"""`replicante dev` as a person uses it: start, stop, start again, lose a peer."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request

import pytest
from docs_runner import free_ports
from local_processes import Command, command, port_options

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


def ready(dev: Command) -> list[str]:
    return dev.wait_for(lambda line: line.startswith("ready: ")).split()[1:]


def put(url: str, value: object) -> None:
    request = urllib.request.Request(
        f"{url}/api/v0/kv/a",
        method="PUT",
        data=json.dumps({"value": value}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status in (200, 201)


def get(url: str) -> object:
    with urllib.request.urlopen(f"{url}/api/v0/kv/a", timeout=20) as answer:
        return json.load(answer)["value"]


@pytest.mark.parametrize("count", ["1", "3"])
def test_it_stops_cleanly_and_starts_again_with_everything_there(tmp_path, count):
    options = ["--peers", count, *port_options(free_ports())]
    with command("dev", *options, folder=tmp_path) as dev:
        urls = ready(dev)
        assert len(urls) == int(count)
        put(urls[0], "kept")
        assert dev.interrupt() == 0, dev.story()
        assert not (tmp_path / "dev-data" / "p1" / "peer.json").exists()
    assert dev.out == [f"ready: {' '.join(urls)}"]
    with command("dev", *options, folder=tmp_path) as dev:
        assert [get(url) for url in ready(dev)] == ["kept"] * int(count)
        assert dev.interrupt() == 0, dev.story()


def test_a_killed_peer_is_reported_and_the_others_go_on(tmp_path):
    with command("dev", *port_options(free_ports()), folder=tmp_path) as dev:
        urls = ready(dev)
        note = json.loads((tmp_path / "dev-data" / "p1" / "peer.json").read_text())
        os.kill(note["pid"], signal.SIGKILL)
        line = dev.wait_for(lambda line: "p1 ended by SIGKILL" in line)
        assert "replicante server --peer-id p1" in line
        put(urls[1], "without p1")
        assert get(urls[2]) == "without p1"
        assert dev.interrupt() == 0, dev.story()


def test_a_port_in_use_is_refused_by_name(tmp_path):
    ports = free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[16018]))
        taken.listen()
        with command("dev", *port_options(ports), folder=tmp_path) as dev:
            assert dev.end() == 1
    assert f"Port {ports[16018]}, wanted by p3" in dev.story()
    assert "--http-port" in dev.story()
    assert not (tmp_path / "dev-data" / "p1").exists()


def test_a_cluster_is_not_started_with_fewer_peers_than_it_has(tmp_path):
    (tmp_path / "dev-data" / "p5").mkdir(parents=True)
    with command("dev", *port_options(free_ports()), folder=tmp_path) as dev:
        assert dev.end() == 2
    assert "--peers 5" in dev.story()

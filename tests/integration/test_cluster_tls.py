"""Real peers with certificates of `replicante pki`: they serve, renew, and let nobody else in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import Cluster, running
from cluster_peer import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]


def pki(folder: Path, *arguments: str) -> str:
    """What the command said."""
    done = subprocess.run(
        [sys.executable, "-m", "replicante", "pki", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def tls_flags(folder: Path, peer_id: str) -> tuple[str, ...]:
    place = folder / "pki" / "peers" / peer_id
    return (
        *("--raft-tls-certificate-file", str(place / "peer.crt")),
        *("--raft-tls-key-file", str(place / "peer.key")),
        *("--raft-tls-ca-file", str(place / "ca.crt")),
    )


async def certificate_end(cluster: Cluster, peer_id: str) -> float:
    answer = await cluster.ask(peer_id, "GET", "/metrics")
    found = re.search(
        r"^replicante_certificate_end_seconds (\S+)$", answer.body.decode(), re.MULTILINE
    )
    assert found is not None
    return float(found[1])


async def test_three_peers_serve_over_tls_renew_and_refuse_a_plain_one(tmp_path):
    pki(tmp_path, "init", "default")
    pki(tmp_path, "issue", "p1", "p2", "p3", "--days", "20")
    (tmp_path / "pki" / "peers" / "p2" / "peer.key").chmod(0o640)
    async with running(tmp_path, is_started=False) as cluster:
        for peer_id in cluster.ids:
            cluster[peer_id].flags = tls_flags(tmp_path, peer_id)
        await cluster.start()
        for peer_id in cluster.ids:
            assert (await cluster.put(peer_id, f"from/{peer_id}", peer_id)).status == 201
        warnings = [line for line in cluster["p1"].lines() if line["event"] == "certificate_ends"]
        assert [line["days_left"] for line in warnings] == [19]
        risky = {peer_id: "setting_risky" in cluster[peer_id].text() for peer_id in cluster.ids}
        assert risky == {"p1": False, "p2": True, "p3": False}, "a key that others may read"

        # A renewed certificate counts from the next start on.
        before = await certificate_end(cluster, "p2")
        assert "renewed" in pki(tmp_path, "renew", "p2")
        assert await certificate_end(cluster, "p2") == before
        assert await cluster.terminate("p2") == 0
        await cluster.start("p2")
        assert await certificate_end(cluster, "p2") > before + 300 * 24 * 3_600
        assert (await cluster.get("p2", "from/p1")).json["value"] == "p1"

        # Without its certificate, p3 is not let in, both sides say why, and the others go on.
        assert await cluster.terminate("p3") == 0
        cluster["p3"].flags = ()
        cluster.spawn("p3")
        await eventually(
            lambda: "speaks TLS only" in cluster["p3"].text(), "p3 to hear why it is refused"
        )
        await eventually(
            lambda: "it speaks no TLS, and this peer TLS only" in cluster["p1"].text(),
            "p1 to say who it refused",
        )
        assert (await cluster.put("p1", "still", "served")).status == 201
        assert (await cluster.ask("p3", "GET", "/introspect/ready")).status == 503
        cluster["p3"].end_now()


async def test_a_peer_with_the_files_of_another_does_not_start(tmp_path):
    pki(tmp_path, "init", "default")
    pki(tmp_path, "issue", "p2")
    async with running(tmp_path, 1, is_started=False) as cluster:
        peer = cluster["p1"]
        peer.flags = tls_flags(tmp_path, "p2")
        peer.spawn()
        assert await peer.ended() == 1
        assert "names peer p2 of cluster default, and this is peer p1" in peer.text()
        assert "replicante pki issue p1" in peer.text()

"""Real peers that must not start: each says why and what to do, leaves nothing, harms nobody."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster, running
from cluster_load import check_history, load
from cluster_peer import HOST, PORTS, PeerProcess, eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

NEEDLE = "needle-in-the-log"


# --- addresses and settings --------------------------------------------------------------------


@pytest.mark.parametrize("which", ["http_port", "raft_port"])
async def test_a_port_in_use(tmp_path, which):
    async with running(tmp_path, 1, is_started=False) as cluster:
        peer = cluster["p1"]
        port = getattr(peer, which)
        with _listening(port):
            said = await _refused(peer)
        assert str(port) in said
        assert "listen" in said
        await cluster.start()


async def test_an_unknown_setting_names_the_nearest_one(tmp_path):
    async with running(tmp_path, 1, is_started=False) as cluster:
        file = tmp_path / "p1.toml"
        file.write_text("[raft]\nelection_ms_mim = 700\n[htp]\n")
        peer = cluster["p1"]
        peer.flags = ("--config", str(file))
        said = await _refused(peer)
        assert "election_ms_mim" in said
        assert "the nearest is raft.election_ms_min" in said
        assert "htp" in said
        assert str(file) in said
        peer.flags, peer.environment = (), {"REPLICANTE_RAFT__LISTN": "x"}
        said = await _refused(peer)
        assert "REPLICANTE_RAFT__LISTN" in said
        assert "REPLICANTE_RAFT__LISTEN" in said


async def test_addresses_that_others_can_reach_need_what_is_not_there_yet(tmp_path):
    async with running(tmp_path, 1, is_started=False) as cluster:
        peer = cluster["p1"]
        peer.flags = ("--http-listen", f"0.0.0.0:{peer.http_port}")
        assert "authentication" in await _refused(peer)
        peer.flags = ("--raft-listen", f"0.0.0.0:{peer.raft_port}")
        assert "TLS" in await _refused(peer)


async def test_peers_that_list_different_peers(tmp_path):
    async with running(tmp_path, is_started=False) as cluster:
        members = cluster["p1"].members.split(",")
        stranger = f"p4={HOST}:{PORTS.take()}"
        cluster["p1"].members = ",".join([*members, stranger])
        cluster.spawn("p1", "p2")
        ended = [peer for peer in ("p1", "p2") if await _ends(cluster[peer])]
        assert ended, "one of them says that the lists differ"
        for peer in ended:
            said = cluster[peer].text()
            assert "p4" in said
            assert "peers" in said
        # Nothing was born: with equal lists it goes on as if nothing had happened.
        for peer in ("p1", "p2"):
            cluster[peer].end_now()
        cluster["p1"].members = ",".join(members)
        await cluster.start()
        assert (await cluster.put("p1", "a", 1)).status == 201


# --- data directories --------------------------------------------------------------------------


async def test_a_data_directory_in_use(tmp_path):
    async with running(tmp_path, 1) as cluster:
        pid = cluster["p1"].process.pid
        second = cluster.extra(
            "p1", name="second", data_dir=cluster["p1"].data_dir, members="", raft_port=PORTS.take()
        )
        said = await _refused(second, has_lock=True)
        assert str(pid) in said
        assert (await cluster.put("p1", "a", 1)).status == 201


async def test_a_data_directory_of_another_peer_or_cluster(tmp_path):
    async with running(tmp_path) as cluster:
        p3 = cluster["p3"]
        assert await cluster.terminate("p3") == 0
        port = PORTS.take()
        members = f"p2={HOST}:{port}"
        intruder = cluster.extra(
            "p2", name="intruder", data_dir=p3.data_dir, raft_port=port, members=members
        )
        assert "belongs to peer p3, not to p2" in await _refused(intruder)
        p3.cluster_name = "other"
        assert "belongs to cluster default, not to other" in await _refused(p3)
        p3.cluster_name = "default"
        assert (await cluster.put("p1", "meanwhile", 1)).status == 201
        await cluster.start("p3")
        assert (await cluster.get("p3", "meanwhile")).json["value"] == 1
        await cluster.converged()


async def test_a_second_process_under_the_id_of_a_member(tmp_path):
    """With an empty directory and a port of its own, as a wrong line in a configuration does."""
    async with running(tmp_path) as cluster:
        double = _beside(cluster, "p2", name="double")
        async with load(cluster, writers=3, counters=1) as callers:
            await callers.acknowledged(30)
            said = await _refused(double)
            await callers.acknowledged(30)
        assert "p2" in said
        assert "incarnation" in said
        assert "learner" in said
        await check_history(cluster, callers.history)


async def test_a_peer_that_lost_its_disk(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster, through=["p1", "p2"], writers=3, counters=1) as callers:
            await callers.acknowledged(30)
            cluster.kill("p3")
            kept = tmp_path / "kept"
            cluster["p3"].data_dir.rename(kept)
            said = await _refused(cluster["p3"])
            assert "join it as a new learner" in said
            assert "lost" in said
            await callers.acknowledged(30)
            shutil.rmtree(cluster["p3"].data_dir)
            kept.rename(cluster["p3"].data_dir)
            await cluster.start("p3")
        await check_history(cluster, callers.history)


async def test_a_copied_data_directory_beside_its_original(tmp_path):
    """The copy neither votes nor acknowledges: with one member down, it is no replacement."""
    async with running(tmp_path) as cluster:
        assert (await cluster.put("p1", "a", 1)).status == 201
        assert await cluster.terminate("p3") == 0
        double = _beside(cluster, "p3", name="copy")
        shutil.copytree(cluster["p3"].data_dir, double.data_dir)
        await cluster.start("p3")
        async with load(cluster, writers=1, counters=1) as callers:
            await callers.acknowledged(30)
            term = (await cluster.status("p1"))["term"]
            double.spawn()
            await eventually(lambda: "another process speaks for p3" in double.text(), "a word")
            await callers.acknowledged(300)  # time for several elections, if it could cause any
            assert (await cluster.status("p1"))["term"] == term, "the copy moved the cluster"
            answer = await cluster.http.ask(double.url, "GET", "/introspect/ready")
            assert answer.status == 503, "a copy never serves"
            answer = await cluster.http.ask(
                double.url, "PUT", "/api/v0/kv/by-the-copy?timeout=1s", json={"value": 1}
            )
            assert (answer.status, answer.definite) == (503, True)
        await check_history(cluster, callers.history)


# --- damaged files -----------------------------------------------------------------------------


async def test_damaged_files_are_never_replayed(tmp_path):
    async with running(tmp_path) as cluster:
        for number in range(50):
            written = await cluster.put("p1", f"{NEEDLE}/{number}", "x" * 1_000)
            assert written.status == 201
        await cluster.converged()
        peer, whole = cluster["p3"], tmp_path / "whole"
        assert await cluster.terminate("p3") == 0
        shutil.copytree(peer.data_dir, whole)
        for room, damage in DAMAGES:
            damage(peer.data_dir / room / "data.mdb")
            said = await _refused(peer)
            assert str(peer.data_dir) in said
            assert "directory" in said.partition("hint: ")[2], said
            assert (await cluster.put("p1", "meanwhile", room)).status in (200, 201)
            shutil.rmtree(peer.data_dir)
            shutil.copytree(whole, peer.data_dir)
        await cluster.start("p3")
        await cluster.converged()


def _flip_log(file: Path) -> None:
    """One bit in each place that names a written key."""
    data = bytearray(file.read_bytes())
    place = data.find(NEEDLE.encode())
    assert place > 0
    while place >= 0:
        data[place] ^= 1
        place = data.find(NEEDLE.encode(), place + 1)
    file.write_bytes(bytes(data))


def _garble(file: Path) -> None:
    file.write_bytes(b"\x5a\xc3" * (file.stat().st_size // 2))


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _cut(file: Path) -> None:
    """Whole pages are missing at its end."""
    os.truncate(file, file.stat().st_size // 2 // 4_096 * 4_096)


DAMAGES = [
    ("log", _flip_log),
    ("log", _garble),
    ("log", _empty),
    ("log", _cut),
    ("state", _garble),
    ("state", _cut),
]


async def test_a_state_that_was_emptied_is_made_again_from_the_log(tmp_path):
    async with running(tmp_path) as cluster:
        for number in range(50):
            assert (await cluster.put("p1", f"some/{number}", number)).status == 201
        assert await cluster.terminate("p3") == 0
        (cluster["p3"].data_dir / "state" / "data.mdb").write_bytes(b"")
        await cluster.start("p3")
        await cluster.converged()


async def test_a_data_directory_that_is_a_file(tmp_path):
    async with running(tmp_path, 1, is_started=False) as cluster:
        peer = cluster["p1"]
        peer.data_dir.write_text("not a directory")
        said = await _refused(peer, has_lock=True)
        assert str(peer.data_dir) in said
        peer.data_dir.unlink()
        peer.data_dir.mkdir()
        for room in ("log", "state"):
            (peer.data_dir / room).write_text("not a directory either")
            said = await _refused(peer)
            assert str(peer.data_dir / room) in said
            (peer.data_dir / room).unlink()


async def test_a_data_directory_that_may_not_be_used(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may use every directory; a file in its place is tested instead")
    async with running(tmp_path, 1, is_started=False) as cluster:
        peer = cluster["p1"]
        peer.data_dir.mkdir(mode=0o500)
        assert str(peer.data_dir) in await _refused(peer, has_lock=True)


# --- below -------------------------------------------------------------------------------------


async def _refused(peer: PeerProcess, *, has_lock: bool = False) -> str:
    """Starts it, and returns what it said when it refused. has_lock: somebody else holds its data
    directory, or there is none."""
    peer.spawn()
    assert await _ends(peer, seconds=60), f"{peer.id} is to refuse; it said: {peer.text()}"
    return _check_refusal(peer, has_lock=has_lock)


async def _ends(peer: PeerProcess, *, seconds: float = 10) -> bool:
    try:
        code = await peer.ended(seconds=seconds)
    except AssertionError:
        return False
    assert code > 0, f"a refusal is an exit code, not {code}"
    return True


def _check_refusal(peer: PeerProcess, *, has_lock: bool = False) -> str:
    """A message for people, no trace of the program, nothing left behind."""
    said = peer.text()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert "hint: " in said, said
    assert "Traceback" not in said
    assert "defect" not in said
    if not has_lock:
        assert not (peer.data_dir / "peer.json").exists(), "it is not there, and does not say so"
        _check_unlocked(peer.data_dir)
    return said


def _check_unlocked(folder: Path) -> None:
    for lock in folder.rglob("LOCK"):
        with lock.open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _beside(cluster: Cluster, like: str, *, name: str) -> PeerProcess:
    """A process of the same id at another place, which it names as its own."""
    port = PORTS.take()
    members = [
        f"{like}={HOST}:{port}" if member.startswith(f"{like}=") else member
        for member in cluster[like].members.split(",")
    ]
    return cluster.extra(like, name=name, raft_port=port, members=",".join(members))


@contextmanager
def _listening(port: int):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        taken.listen()
        yield

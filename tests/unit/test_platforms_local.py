"""Local nodes of a toy store: whoever is cut off leaves what the next change mends, and nothing
waits without a limit."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_agents_redis_after_hang import until
from test_platforms_client import CALL, asking

from replicante.errors import Conflict, Invalid
from replicante.model.platform import Platform, Transport, TransportKind
from replicante.platforms import local, local_processes, threads
from replicante.platforms.local import LocalNode, LocalPlatform, Template

TOY = Template(
    command=("{python}", "-S", "-c", "import time; time.sleep(600)", "{data_dir}"),
    pid_file="data/toy/toy.pid",
)
CLUSTER = {"cluster_id": "c", "store": "toy", "nodes": {"g": {}}}
SHORT_MS = 50


@pytest.fixture
def platform(tmp_path, monkeypatch) -> Iterator[LocalPlatform]:
    monkeypatch.setattr(local, "TEMPLATES", {"toy": TOY})
    found = LocalPlatform(tmp_path / "nodes")
    try:
        yield found
    finally:
        found.stop()


def make(platform: LocalPlatform, *, request_id: str = "r1") -> LocalNode:
    request = {"cluster": CLUSTER, "provision": {"node_group_id": "g", "count": 1}}
    (node_id,) = platform.provision(request, request_id=request_id)["node_ids"]
    return next(it for it in platform.nodes() if it.node_id == node_id)


def folder(platform: LocalPlatform, node_id: str) -> Path:
    return platform.directory / "c" / node_id


def agents(platform: LocalPlatform, node: LocalNode) -> list[int]:
    return local_processes.with_words(platform._command(node)[1:])


def remove(platform: LocalPlatform, node_id: str) -> None:
    platform.deprovision({"cluster_id": "c", "node_id": node_id})


def test_an_agent_that_nobody_wrote_down_is_the_agent_of_its_node(platform):
    node = make(platform)
    file = folder(platform, node.node_id) / "agent.pid"
    before, written = agents(platform, node), file.read_bytes()
    file.unlink()
    platform.revive()
    assert agents(platform, node) == before, "no second one"
    assert file.read_bytes() == written
    file.unlink()
    remove(platform, node.node_id)
    assert agents(platform, node) == []


def test_a_folder_that_was_being_made_or_removed_is_swept(platform):
    node = make(platform)
    half = folder(platform, "c-2")
    half.mkdir()
    (platform.directory / "c" / "counter").write_text("2")
    (half / "agent.log").touch()
    strange = [folder(platform, "c-mine"), platform.directory / "other" / "other-1"]
    for it in strange:
        it.mkdir(parents=True)
    assert make(platform, request_id="r2").node_id == "c-3"
    assert not half.exists()
    # Between the record and the rest.
    (folder(platform, node.node_id) / "node.json").unlink()
    remove(platform, "c-3")
    assert not folder(platform, node.node_id).exists()
    assert all(it.is_dir() for it in strange), "of somebody else"


def test_all_is_removed_beside_half_a_folder(platform):
    make(platform)
    folder(platform, "c-9").mkdir()
    platform.clean()
    assert not (platform.directory / "c").exists()


def test_a_change_waits_for_another_one_with_a_limit(platform, monkeypatch):
    node = make(platform)
    monkeypatch.setattr(local, "LOCAL_LOCK_MS_MAX", SHORT_MS)
    with (platform.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for change in (platform.stop, platform.revive, lambda: remove(platform, node.node_id)):
            with pytest.raises(Conflict, match="Somebody else is changing"):
                change()
    remove(platform, node.node_id)


def test_a_process_that_does_not_die_is_not_waited_for_for_ever(platform, monkeypatch):
    node = make(platform)
    monkeypatch.setattr(local_processes, "LOCAL_DEATH_MS_MAX", SHORT_MS)
    with monkeypatch.context() as patched:
        patched.setattr(local_processes, "process_birth", lambda _: "now")
        with pytest.raises(TimeoutError, match="was killed and is not gone"):
            local_processes.end(agents(platform, node))
    assert folder(platform, node.node_id).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cluster_id": 7}'])
async def test_a_record_that_cannot_be_read_is_no_shorter_list(platform, content):
    node = make(platform)
    record = folder(platform, node.node_id) / "node.json"
    whole = record.read_text()
    record.write_text(content)
    with pytest.raises(Invalid, match=r"node\.json is no record"):
        platform.nodes()
    async with asking() as platforms:
        found = await platforms.discover(declared(TransportKind.LOCAL, platform.directory))
        assert found.value is None and "no record of a node" in found.failure
    record.write_text(whole)


def declared(kind: TransportKind, path: Path) -> Platform:
    return Platform(ns_id="default", name="p", transport=Transport(kind=kind, path=str(path)))


async def test_a_platform_that_hangs_waits_for_itself_alone(platform, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "PLATFORM_CALL_MS_MAX", SHORT_MS)
    monkeypatch.setattr(threads, "PLATFORM_THREADS_MAX", 2)
    hung, fine = tmp_path / "hung", tmp_path / "fine.json"
    os.mkfifo(hung)  # it is opened when somebody writes into it
    fine.write_text("[]")
    async with asking() as platforms:
        try:
            for _ in range(3):
                found = await platforms.discover(declared(TransportKind.FILE, hung))
                assert "no answer within" in found.failure
            monkeypatch.setattr(threads, "PLATFORM_CALL_MS_MAX", 30_000)
            found = await platforms.discover(declared(TransportKind.FILE, fine))
            assert found.value == {"clusters": []}
        finally:
            with contextlib.suppress(OSError):
                os.close(os.open(hung, os.O_WRONLY | os.O_NONBLOCK))


async def test_calls_of_one_path_follow_each_other_and_what_nobody_waits_for_does_not_begin(
    monkeypatch,
):
    monkeypatch.setattr(threads, "PLATFORM_THREADS_MAX", 1)
    found = threads.PathThreads()
    begun, goes_on = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(name: str) -> str:
        begun.append(name)
        if name == "first":
            asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()
        return name

    try:
        first = asyncio.create_task(found.run("a", lambda: work("first")))
        await until(lambda: begun)
        with monkeypatch.context() as patched:
            patched.setattr(threads, "PLATFORM_CALL_MS_MAX", SHORT_MS)
            for path in ("a", "b"):
                with pytest.raises(TimeoutError, match="no answer within"):
                    await found.run(path, lambda: work("late"))
        second = asyncio.create_task(found.run("a", lambda: work("second")))
        goes_on.set()
        assert await asyncio.gather(first, second) == ["first", "second"]
        assert begun == ["first", "second"]
    finally:
        goes_on.set()
        found.close()


async def test_a_call_that_changes_nodes_is_told_when_somebody_else_is_changing_them(
    platform, monkeypatch
):
    make(platform)
    monkeypatch.setattr(local, "LOCAL_LOCK_MS_MAX", SHORT_MS)
    with (platform.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with asking() as platforms:
            call = local_call()
            where = declared(TransportKind.LOCAL, platform.directory)
            found = await platforms.carry_out(where, call)
    assert "Somebody else is changing" in found.failure


def local_call():
    provision = {"node_group_id": "g", "count": 1}
    return type(CALL)(
        verb=CALL.verb,
        action_id=CALL.action_id,
        platform_ns_id="default",
        platform_name="p",
        body={"cluster": CLUSTER, "provision": provision},
    )

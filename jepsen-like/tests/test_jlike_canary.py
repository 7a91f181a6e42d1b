"""Stock PySyncObj is a fair subject, and a suite that does not find it out says so."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from jlike import canary_servers, canary_stock, cli, store
from jlike.history import Kind
from jlike.http import Http
from jlike.runner import Options
from jlike.subjects.stock_raft import Registers, Server, opened
from jlike.verdict import Finding, Verdict
from jlike.workload.register import Register

LIMIT_S = 60


def _free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def _registers(folder: Path, *, others: int) -> Registers:
    """Opened as a peer of so many others, who are not there."""
    places = {f"p{number + 1}": f"127.0.0.1:{_free_port()}" for number in range(others + 1)}
    return opened(
        {
            "peer_id": "p1",
            "peer_data_dir": str(folder / "data"),
            "raft_listen": places["p1"],
            "raft_advertise": places["p1"],
            "raft_peers": ",".join(f"{name}={place}" for name, place in places.items()),
        }
    )


async def test_it_keeps_its_promises_while_nothing_fails(tmp_path):
    registers = _registers(tmp_path, others=0)
    server = await asyncio.start_server(Server(registers).serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http, workload = Http(timeout_s=LIMIT_S), Register()
    try:
        async with asyncio.timeout(LIMIT_S):
            while (await http.ask(url, "GET", "/introspect/ready")).kind is not Kind.OK:
                pass
        told = [
            await workload.perform(http, url, f, value)
            for f, value in (
                ("read", ["k", None]),
                ("write", ["k", 1]),
                ("cas", ["k", [1, 2]]),
                ("cas", ["k", [1, 3]]),
                ("read", ["k", None]),
            )
        ]
        assert [it.kind for it in told] == [Kind.OK] * 3 + [Kind.FAIL, Kind.OK]
        assert told[0].value == ["k", None]
        assert told[3].error == "differs"
        assert told[4].value == ["k", 2]
        status = (await http.ask(url, "GET", "/api/v0/raft/status")).body
        assert (status["role"], status["digests"]) == ("leader", [])
        assert status["digest"]["value"] == registers.digest()
    finally:
        server.close()
        registers.destroy()


async def test_without_a_leader_it_refuses_and_says_that_nothing_happened(tmp_path):
    registers = _registers(tmp_path, others=2)
    server = await asyncio.start_server(Server(registers).serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http = Http(timeout_s=LIMIT_S)
    try:
        answer = await http.ask(url, "PUT", "/api/v0/kv/k", {"value": 1})
        assert (answer.kind, answer.status) == (Kind.FAIL, 503)
        assert (await http.ask(url, "GET", "/introspect/ready")).kind is Kind.FAIL
        assert (await http.ask(url, "DELETE", "/api/v0/kv/k")).status == 404
    finally:
        server.close()
        registers.destroy()


@pytest.fixture(autouse=True)
def _servers_sing(monkeypatch):
    monkeypatch.setattr(canary_servers, "must_sing", lambda: ["a server in memory"])


class Runs:
    def __init__(self, *verdicts: Verdict, by: str = "register") -> None:
        self.made: list[Options] = []
        self._verdicts = iter(verdicts)
        self._by = by

    def __call__(self, options: Options, at) -> store.Run:
        self.made.append(options)
        finding = Finding(checker="c", verdict=next(self._verdicts), reason="it broke")
        return store.Run(folder=at, options=options, findings=[(self._by, finding)])


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setattr(canary_stock, "why_not", lambda: "")


def test_it_meets_power_cuts_seed_after_seed_until_a_register_is_wrong(
    allowed, monkeypatch, tmp_path, capsys
):
    runs = Runs(Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID)
    monkeypatch.setattr(store, "conduct", runs)
    assert cli.main(["--store", str(tmp_path), "canary"]) == 0
    assert "stock PySyncObj under power cuts: it broke" in capsys.readouterr().out
    assert [it.seed for it in runs.made] == [1, 2, 3]
    assert {(*it.workloads, *it.nemeses) for it in runs.made} == {("register", "power")}
    assert all(it.program == canary_stock.PROGRAM for it in runs.made)


@pytest.mark.parametrize("runs", [Runs(Verdict.VALID), Runs(Verdict.INVALID, by="harness")])
def test_a_suite_that_finds_nothing_wrong_with_it_is_broken(allowed, monkeypatch, tmp_path, runs):
    monkeypatch.setattr(canary_stock, "LIMIT_S", 0.0)
    monkeypatch.setattr(store, "conduct", runs)
    assert cli.main(["--store", str(tmp_path), "canary"]) == cli.HARNESS_BROKE


def test_where_power_cannot_be_cut_nothing_is_claimed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(canary_stock, "why_not", lambda: "no loop devices")
    monkeypatch.setattr(store, "conduct", Runs())
    assert cli.main(["--store", str(tmp_path), "canary"]) == Verdict.UNKNOWN.exit_code
    assert "not tried: " in capsys.readouterr().out

"""A run is made smaller as long as it stays invalid, and not beyond."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from jlike import cli, replay, store
from jlike.runner import HarnessBroken, Options
from jlike.verdict import Finding, Verdict

BIG = Options(
    workloads=["register", "queue", "lock"],
    nemeses=["kill", "pause", "partition", "slow"],
    peers=5,
    time_s=60,
    clients=12,
    seed=7,
)


def _needs(**needed):
    """Invalid as long as all of this is there."""

    def trial(options: Options) -> list[str]:
        is_invalid = (
            "queue" in options.workloads
            and set(needed.get("nemeses", ())) <= set(options.nemeses)
            and options.time_s >= needed.get("time_s", 0)
            and options.clients >= needed.get("clients", 0)
            and options.peers >= needed.get("peers", 0)
        )
        return ["queue"] if is_invalid else []

    return trial


def _shrunk(trials_max: int = 100, **needed) -> Options:
    return replay.shrunk(BIG, ["queue"], trial=_needs(**needed), trials_max=trials_max)


def test_what_does_not_matter_goes():
    found = _shrunk(nemeses=["pause", "slow"], time_s=13, clients=3)
    assert found.workloads == ["queue"]
    assert sorted(found.nemeses) == ["pause", "slow"]
    assert 13 <= found.time_s < 26
    assert 3 <= found.clients < 6
    assert found.peers == 3
    assert found.seed == BIG.seed


def test_what_is_needed_stays():
    assert _shrunk(peers=5).peers == 5
    assert _shrunk().nemeses == []
    assert _shrunk().time_s == replay.TIME_S_MIN


def test_the_search_ends_when_its_trials_are_spent():
    assert _shrunk(trials_max=0) == BIG
    assert _shrunk(trials_max=1).workloads == ["queue"]
    assert _shrunk(trials_max=1).peers == 5


def test_everything_smaller_is_smaller():
    def size(options: Options) -> float:
        lists = len(options.workloads) + len(options.nemeses)
        return lists + options.time_s + options.clients + options.peers

    assert all(size(it) < size(BIG) for it in replay.smaller(BIG, ["queue", "lock"]))
    assert list(replay.smaller(_shrunk(), ["queue"])) == []


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    text = json.dumps({**asdict(BIG), "from_a_later_version": 1})
    (tmp_path / "test.json").write_text(text, encoding="utf-8")
    return tmp_path


def _conductor(monkeypatch, *verdicts: Verdict) -> list[Options]:
    made: list[Options] = []

    def conduct(options: Options, at):
        made.append(options)
        verdict = verdicts[min(len(made), len(verdicts)) - 1]
        finding = Finding(checker="c", verdict=verdict, reason="r")
        return store.Run(folder=at, options=options, findings=[("queue", finding)])

    monkeypatch.setattr(store, "conduct", conduct)
    return made


def test_the_same_seed_and_options_come_again(monkeypatch, folder):
    made = _conductor(monkeypatch, Verdict.INVALID)
    assert cli.main(["replay", str(folder)]) == 1
    assert list(map(asdict, made)) == [{**asdict(BIG), "urls": [], "program": []}]


def test_a_run_is_innocent_only_after_several_tries(monkeypatch, folder, capsys):
    made = _conductor(monkeypatch, Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID)
    assert cli.main(["replay", str(folder)]) == 1
    assert len(made) == 3
    assert cli.main(["replay", str(folder), "--tries", "1"]) == 1
    made = _conductor(monkeypatch, Verdict.VALID)
    assert cli.main(["replay", str(folder), "--tries", "2"]) == 0
    assert len(made) == 2
    assert "not invalid in 2 runs" in capsys.readouterr().out


def test_the_smallest_is_told_as_a_command(monkeypatch, folder, capsys):
    _conductor(monkeypatch, Verdict.INVALID)
    assert cli.main(["replay", str(folder), "--shrink", "--trials", "40"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(
        "jlike run -w queue -n none --peers 3 --time 5 --clients 2 --rate 150 --seed 7"
    )


def test_a_folder_without_a_run_cannot_be_replayed(tmp_path):
    assert cli.main(["replay", str(tmp_path)]) == cli.HARNESS_BROKE
    with pytest.raises(HarnessBroken):
        store.options_of(tmp_path)

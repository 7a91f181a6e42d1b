"""A campaign meets every pair, keeps what failed, and never calls a broken harness green."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from jlike import campaign, judge, store
from jlike.campaign import Matrix, Tally, plans
from jlike.runner import HARNESS, HarnessBroken, Options
from jlike.verdict import Finding, Verdict, invalid, unknown, valid
from jlike.workload.catalogue import WORKLOADS

MATRIX = Matrix(workloads=("register", "queue", "lock"), nemeses=("kill", "pause"), seed=7)
RUNS = 12


def _first(count: int, matrix: Matrix = MATRIX) -> list[Options]:
    return list(itertools.islice(plans(matrix), count))


def test_every_pair_comes_once_before_any_comes_twice():
    pairs = [(it.workloads[0], it.nemeses[0]) for it in _first(12)]
    assert len(set(pairs[:6])) == len(set(pairs[6:])) == 6


def test_a_seed_draws_the_same_runs_and_another_one_others():
    other = Matrix(workloads=MATRIX.workloads, nemeses=MATRIX.nemeses, seed=8)
    assert _first(20) == _first(20)
    assert _first(20) != _first(20, other)


def test_runs_differ_in_everything_that_may_matter():
    found = _first(60)
    for name in ("peers", "time_s", "clients", "rate"):
        assert len({getattr(it, name) for it in found}) > 1, name
    assert {len(it.workloads) for it in found} == {len(it.nemeses) + 1 for it in found} | {1}
    assert len({it.seed for it in found}) == 60
    assert all(len(set(it.workloads)) == len(it.workloads) for it in found)


class Conductor:
    """Makes folders in place of runs; the verdicts come in turn."""

    def __init__(self, *verdicts: Verdict | None) -> None:
        self.turn = itertools.cycle(verdicts)

    def __call__(self, options: Options, at: Path) -> store.Run:
        verdict = next(self.turn)
        if verdict is None:
            raise HarnessBroken("no peer came up")
        folder = at / str(options.seed)
        folder.mkdir()
        finding = Finding(checker="c", verdict=verdict, reason="r")
        return store.Run(folder=folder, options=options, findings=[("register", finding)])


def _campaign(at: Path, *verdicts: Verdict | None, keep: int = 2) -> Tally:
    count = iter(range(RUNS))
    return campaign.campaign(
        MATRIX,
        at,
        conduct=Conductor(*verdicts),
        has_time=lambda: next(count, None) is not None,
        tell=lambda _: None,
        keep=keep,
    )


def test_it_ends_with_its_time_and_keeps_the_newest_valid_runs_only(tmp_path):
    tally = _campaign(tmp_path, Verdict.VALID)
    assert tally.verdicts == {Verdict.VALID: RUNS}
    assert tally.exit_code == 0
    kept = {it.name for it in tmp_path.iterdir()}
    assert kept == {str(it.seed) for it in _first(RUNS)[-2:]}


def test_whatever_was_not_valid_is_kept(tmp_path):
    tally = _campaign(tmp_path, Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID, keep=0)
    assert len(list(tmp_path.iterdir())) == 8
    assert tally.exit_code == 1


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((Verdict.VALID, Verdict.UNKNOWN), 2),
        ((Verdict.VALID, Verdict.UNKNOWN, None), 3),
        ((Verdict.INVALID, None), 1),
    ],
)
def test_the_worst_run_decides(tmp_path, verdicts, code):
    assert _campaign(tmp_path, *verdicts).exit_code == code


def test_no_run_at_all_is_not_green():
    assert Tally().exit_code == 2


def test_a_harness_that_only_breaks_ends_the_campaign(tmp_path):
    with pytest.raises(HarnessBroken):
        _campaign(tmp_path, None)


def test_the_index_never_leads_to_a_folder_that_is_gone(monkeypatch, tmp_path):
    told: list[set[str]] = []
    monkeypatch.setattr(
        campaign.report, "write_index", lambda at: told.append({it.name for it in at.iterdir()})
    )
    (tmp_path / "index.html").touch()
    _campaign(tmp_path, Verdict.VALID, keep=1)
    assert told[-1] == {it.name for it in tmp_path.iterdir()}


def test_what_cannot_be_judged_together_is_not_drawn_together():
    names = ("redis", "register"), ("kill", "clock", "slowsync")
    matrix = Matrix(workloads=names[0], nemeses=names[1], seed=1)
    unfit = WORKLOADS["redis"]().unfit
    assert {"clock", "slowsync"} <= unfit
    assert len(campaign.pairs_of(matrix)) == 4
    for it in _first(60, matrix):
        assert "redis" not in it.workloads or not unfit & set(it.nemeses)
        assert (it.workloads[0], it.nemeses[0]) in campaign.pairs_of(matrix)


def test_pairs_that_met_are_counted(tmp_path):
    assert len(_campaign(tmp_path, Verdict.VALID).pairs) == 6


# --- the store ---------------------------------------------------------------------------------

OPTIONS = Options(workloads=["register"], nemeses=["kill"], time_s=5, seed=3)
FINDINGS = [
    ("register", valid("stats", "fine", **{"read ok": 5, "write ok": 3, "write info": 2})),
    (HARNESS, valid("faults", "fine", kill=4, terms=2)),
]


def _conducted(monkeypatch, at: Path, *findings) -> store.Run:
    async def run(options: Options, folder: Path):
        (folder / "peers" / "p1" / "data").mkdir(parents=True)
        (folder / "test.json").write_text(json.dumps(asdict(options) | {"commit": "c0ffee"}))
        (folder / "results.json").write_text(judge.as_json(list(findings)))
        return findings

    monkeypatch.setattr(store.runner, "run", run)
    return store.conduct(OPTIONS, at)


def _rows(at: Path) -> list[dict[str, str]]:
    with (at / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_a_line_with_all_that_makes_it_again(monkeypatch, tmp_path):
    first = _conducted(monkeypatch, tmp_path, *FINDINGS)
    second = _conducted(monkeypatch, tmp_path, *FINDINGS, ("register", invalid("c", "twice")))
    assert first.folder != second.folder
    one, other = _rows(tmp_path)
    assert one["verdict"] == "valid"
    assert one["reason"] == ""
    counts = [one[it] for it in ("operations", "unanswered", "faults", "terms")]
    assert counts == ["10", "2", "4", "2"]
    assert (other["verdict"], other["reason"], other["seed"]) == ("invalid", "twice", "3")
    assert (one["commit"], one["command"]) == ("c0ffee", store.command_of(OPTIONS))
    assert second.guilty == ["register"]
    assert (tmp_path / "index.html").exists()


def test_data_is_kept_unless_the_run_was_valid(monkeypatch, tmp_path):
    good = _conducted(monkeypatch, tmp_path, *FINDINGS)
    open_ = _conducted(monkeypatch, tmp_path, *FINDINGS, ("register", unknown("c", "maybe")))
    assert not (good.folder / "peers/p1/data").exists()
    assert (open_.folder / "peers/p1/data").exists()


def test_a_broken_run_has_its_line_too(monkeypatch, tmp_path):
    async def run(options: Options, folder: Path):
        raise HarnessBroken("no peer came up")

    monkeypatch.setattr(store.runner, "run", run)
    with pytest.raises(HarnessBroken):
        store.conduct(OPTIONS, tmp_path)
    assert [(it["verdict"], it["reason"]) for it in _rows(tmp_path)] == [
        ("broken", "no peer came up")
    ]


def test_a_summary_of_an_older_version_gets_the_columns_that_it_lacks(monkeypatch, tmp_path):
    old = dict.fromkeys(store.COLUMNS_BEFORE, "x") | {"reason": 'a "b", c\nd'}
    with (tmp_path / "summary.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, store.COLUMNS_BEFORE)
        rows.writeheader()
        rows.writerow(old)
    _conducted(monkeypatch, tmp_path, *FINDINGS)
    first, second = _rows(tmp_path)
    assert first == old | {"commit": "", "command": ""}
    assert second["commit"] == "c0ffee"
    assert sorted(it.name for it in tmp_path.glob("summary*")) == ["summary.csv"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", ""])
def test_lines_are_never_written_below_other_columns(monkeypatch, tmp_path, text):
    (tmp_path / "summary.csv").write_text(text)
    with pytest.raises(HarnessBroken, match="columns"):
        _conducted(monkeypatch, tmp_path, *FINDINGS)


def test_a_folder_has_a_name_that_a_file_system_takes(monkeypatch, tmp_path):
    many = [f"workload-number-{number}" for number in range(30)]
    folder = store._new_folder(Options(workloads=many, nemeses=many), tmp_path)
    assert folder.is_dir()
    assert "30-workloads-under-30-faults" in folder.name

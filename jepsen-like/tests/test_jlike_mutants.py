"""Defects fit today's code, and no defect counts as found that was not."""

from __future__ import annotations

import json

import pytest

from jlike import cli, mutants, product, store
from jlike.defects import DEFECTS, Edit, put_in
from jlike.nemesis import KINDS
from jlike.runner import HarnessBroken, Options
from jlike.verdict import Finding, Verdict
from jlike.workload.catalogue import WORKLOADS

DEFECT = DEFECTS[0]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda it: it.name)
def test_a_defect_fits_the_code_of_today(defect, tmp_path):
    put_in(defect.edits, mutants._package(), tmp_path)
    for edit in defect.edits:
        path = tmp_path / "replicante" / edit.path
        compile(path.read_text("utf-8"), edit.path, "exec")
        assert edit.after in path.read_text("utf-8")
    assert defect.workload in WORKLOADS
    assert set(defect.nemeses) <= set(KINDS)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("one.py", "x = 2", "x = 3"),
        Edit("one.py", "x", "y"),
        Edit("gone.py", "x = 1", "x = 2"),
    ],
)
def test_an_edit_that_does_not_fit_once_breaks_the_harness(edit, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "one.py").write_text("x = 1\nx == 1\n")
    with pytest.raises(HarnessBroken, match=r"has \d times"):
        put_in((edit,), tmp_path / "package", tmp_path / "copy")


def test_peers_get_the_copy_and_not_the_product(tmp_path):
    place = mutants._made("it", DEFECT.edits, tmp_path)
    assert product.package_of(place) == place / "replicante"
    assert product.package_of(tmp_path) == mutants._package()


class Runs:
    """Verdicts of runs on copies, and of those on the product; no process is started."""

    def __init__(self, *copies: Verdict, true: Verdict = Verdict.VALID, workload: str = "") -> None:
        self.made: list[Options] = []
        self._copies = iter(copies)
        self._true = true
        self._workload = workload or DEFECT.workload

    def conduct(self, options: Options, place) -> store.Run:
        self.made.append(options)
        is_true = options.package.endswith("true")
        verdict = self._true if is_true else next(self._copies)
        finding = Finding(checker="c", verdict=verdict, reason="it broke")
        return store.Run(folder=place, options=options, findings=[(self._workload, finding)])


def _hunt(runs: Runs, tmp_path) -> bool:
    return mutants.hunt([DEFECT], tmp_path, conduct=runs.conduct, tell=lambda _: None)


def test_a_defect_meets_seed_after_seed_until_its_workload_finds_it(tmp_path):
    runs = Runs(Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID)
    assert _hunt(runs, tmp_path)
    seeds = [DEFECT.seed + number for number in (0, 1, 2, 2)]
    assert [it.seed for it in runs.made] == seeds
    assert len({it.package for it in runs.made[:3]}) == 1
    assert runs.made[3].package.endswith("true"), "the last run is the product's own"
    (line,) = map(json.loads, (tmp_path / mutants.LINES).read_text().splitlines())
    assert (line["name"], line["seed"], line["reason"]) == (DEFECT.name, seeds[-1], "it broke")


def test_a_defect_that_nobody_finds_in_time_survived(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "LIMIT_S", 0.0)
    assert not _hunt(Runs(Verdict.VALID), tmp_path)
    with pytest.raises(HarnessBroken, match="survived"):
        mutants.page(tmp_path)


def test_another_workload_s_word_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "LIMIT_S", 0.0)
    assert not _hunt(Runs(Verdict.INVALID, workload="harness"), tmp_path)


def test_a_product_that_is_found_guilty_proves_nothing(tmp_path):
    with pytest.raises(HarnessBroken, match="invalid too"):
        _hunt(Runs(Verdict.INVALID, true=Verdict.INVALID), tmp_path)


def test_the_page_has_the_newest_result_of_every_defect(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.canary, "must_sing", list)
    with pytest.raises(HarnessBroken, match="no defect was tried"):
        mutants.page(tmp_path)
    fate = {"day": "2026-01-02", "reason": f"it{tmp_path}/ broke", "seconds": 7.4}
    lines = [{"name": it.name, "seed": 3, **fate} for it in DEFECTS]
    lines += [{**lines[0], "seed": 4}]
    (tmp_path / mutants.LINES).write_text("".join(json.dumps(it) + "\n" for it in lines))
    page = tmp_path / "page.md"
    words = ["--store", str(tmp_path), "mutants", "--no-run", "--page", str(page)]
    assert cli.main(words) == 0
    rows = page.read_text().splitlines()[-len(DEFECTS) :]
    assert [it.split(" | ")[3] for it in rows] == ["4", *["3"] * (len(DEFECTS) - 1)]
    assert all("it broke | 7 s |" in it for it in rows)
    (tmp_path / mutants.LINES).write_text(json.dumps(lines[0]) + "\n")
    rows = mutants.page(tmp_path).splitlines()[-len(DEFECTS) :]
    assert [it.split(" | ")[4] for it in rows] == [
        "it broke",
        *["not tried yet"] * (len(DEFECTS) - 1),
    ]

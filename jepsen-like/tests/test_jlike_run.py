"""From files to verdict and page, and the canaries; without peers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from histories import INFO, History

from jlike import canary, cli, report
from jlike.check import register
from jlike.runner import HarnessBroken
from jlike.verdict import valid


def _store(folder: Path, history: History) -> None:
    lines = "".join(op.line() + "\n" for op in history.ops)
    (folder / "history-register.jsonl").write_text(lines, encoding="utf-8")
    options = {"workloads": ["register"], "nemeses": [], "peers": 3, "time_s": 1, "seed": 7}
    (folder / "test.json").write_text(json.dumps(options), encoding="utf-8")


def _good() -> History:
    history = History()
    history.did("write", ["a", 1])
    history.did("cas", ["a", [1, 2]])
    history.did("read", ["a", None], ["a", 2])
    return history


def test_a_good_history_is_valid_and_a_page_says_so(tmp_path, capsys):
    _store(tmp_path, _good())
    assert cli.main(["check", str(tmp_path)]) == 0
    assert "VALID" in capsys.readouterr().out
    page = report.write(tmp_path).read_text("utf-8")
    assert "<b>VALID</b>" in page
    assert "http://" not in page
    assert "<script" not in page


def test_a_bad_history_is_invalid_and_the_page_shows_the_smallest_part_of_it(tmp_path):
    history = _good()
    history.did("read", ["a", None], ["a", 1], peer="p3")
    _store(tmp_path, history)
    assert cli.main(["check", str(tmp_path)]) == 1
    page = report.write(tmp_path).read_text("utf-8")
    assert "<b>INVALID</b>" in page
    assert "Counterexample" in page


def test_a_history_in_which_something_never_succeeded_is_unknown(tmp_path):
    history = History()
    history.did("write", ["a", 1], kind=INFO)
    history.did("read", ["a", None], ["a", None])
    _store(tmp_path, history)
    assert cli.main(["check", str(tmp_path)]) == 2


def test_what_the_harness_saw_is_kept_when_a_history_is_judged_anew(tmp_path):
    _store(tmp_path, _good())
    seen = [{"workload": "harness", "checker": "faults", "verdict": "unknown", "reason": "none"}]
    (tmp_path / "results.json").write_text(json.dumps(seen), encoding="utf-8")
    assert cli.main(["check", str(tmp_path)]) == 2


def test_a_history_that_cannot_be_is_the_harness_s_fault(tmp_path):
    (tmp_path / "history-register.jsonl").write_text("{}\n", encoding="utf-8")
    assert cli.main(["check", str(tmp_path)]) == 3
    assert cli.main(["check", str(tmp_path / "nothing")]) == 3


def test_every_canary_sings():
    assert len(canary.must_sing()) == len(canary.CANARIES)


def test_a_checker_that_calls_everything_valid_makes_no_run(monkeypatch):
    name, make, _ = canary.CANARIES[0]
    monkeypatch.setattr(canary, "CANARIES", [(name, make, lambda _: valid("asleep", "fine"))])
    with pytest.raises(HarnessBroken, match="broken register"):
        canary.must_sing()


def test_a_checker_that_calls_everything_invalid_makes_no_run(monkeypatch):
    name, make, _ = canary.CANARIES[0]
    history = _good()
    history.did("read", ["a", None], ["a", 1])
    bad = register.check(history.operations)
    monkeypatch.setattr(canary, "CANARIES", [(name, make, lambda _: bad)])
    with pytest.raises(HarnessBroken, match="sound register"):
        canary.must_sing()

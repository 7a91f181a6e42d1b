"""From files to verdict and page, and the canaries; without peers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from histories import INFO, History

from jlike import canary, cli, report, report_charts
from jlike.check import register
from jlike.nemesis import KINDS
from jlike.runner import HarnessBroken
from jlike.verdict import valid


def _store(folder: Path, history: History) -> None:
    lines = "".join(op.line() + "\n" for op in history.ops)
    (folder / "history-register.jsonl").write_text(lines, encoding="utf-8")
    options = {"workloads": ["register"], "nemeses": [], "peers": 3, "time_s": 1, "seed": 7}
    (folder / "test.json").write_text(json.dumps(options), encoding="utf-8")
    seen = [{"workload": "harness", "checker": "convergence", "verdict": "valid", "reason": "well"}]
    (folder / "results.json").write_text(json.dumps(seen), encoding="utf-8")


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


def test_a_run_that_did_not_end_is_unknown_however_good_its_history(tmp_path, capsys):
    _store(tmp_path, _good())
    (tmp_path / "results.json").unlink()
    for _ in range(2):
        assert cli.main(["check", str(tmp_path)]) == 2
        assert "the run did not end" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "reason"), [("queue", "no history"), ("gone", "no checker")])
def test_a_workload_that_was_asked_for_and_cannot_be_judged_is_unknown(
    tmp_path, capsys, name, reason
):
    _store(tmp_path, _good())
    (tmp_path / "history-gone.jsonl").touch()
    options = json.loads((tmp_path / "test.json").read_text("utf-8"))
    options["workloads"].append(name)
    (tmp_path / "test.json").write_text(json.dumps(options), encoding="utf-8")
    assert cli.main(["check", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert f"{name:13} history       {reason}" in said
    assert "UNKNOWN" in said
    assert reason in report.write(tmp_path).read_text("utf-8")


def test_a_run_that_left_no_history_at_all_cannot_be_judged(tmp_path, capsys):
    _store(tmp_path, _good())
    (tmp_path / "history-register.jsonl").unlink()
    assert cli.main(["check", str(tmp_path)]) == 3
    assert "no history" in capsys.readouterr().err


def test_a_history_of_somebody_else_is_judged_by_itself(tmp_path):
    _store(tmp_path, _good())
    for name in ("results.json", "test.json"):
        (tmp_path / name).unlink()
    assert cli.main(["check", str(tmp_path)]) == 0


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


def test_a_page_tells_who_led_which_faults_there_were_and_where_it_broke(tmp_path):
    history = _good()
    history.did("read", ["a", None], ["a", 1], peer="p3")
    history.answer(history.call("write", ["a", 9], peer="p<2>"), kind=INFO)
    _store(tmp_path, history)
    statuses = [
        {"time": at * 1_000_000, "peer": "p1", "role": role, "term": term}
        for at, role, term in ((1, "leader", 4), (3, "leader", 4), (5, "follower", 5))
    ]
    faults = [
        {
            "fault": it,
            "target": "one: p1",
            "began": 2_000_000,
            "time": 4_000_000,
            "took_effect": has,
        }
        for it, has in (("kill", True), ("clock", False))
    ]
    for name, rows in (("status", statuses), ("nemesis", faults)):
        text = "".join(json.dumps(it) + "\n" for it in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    cli.main(["check", str(tmp_path)])
    page = report.write(tmp_path).read_text("utf-8")
    for words in (
        "<title>p1: leader, term 4</title>",
        "<title>p1: follower, term 5</title>",
        "<title>clock: one: p1, without effect</title>",
        "<title>contradicts a promise</title>",
        "read [&quot;a&quot;, null] → [&quot;a&quot;, 1]",
        "of 1 nobody knows whether they happened",
        "Faults that took effect: 1 × kill",
        "jlike replay",
    ):
        assert words in page, words
    assert "p<2>" not in page


def test_a_picture_of_a_moment_begins_and_ends_around_it():
    op = {"process": 1, "f": "write", "value": 1, "result": 1, "peer": "p1", "kind": "ok"}
    answered = {**op, "called_ns": 50_000_000_000, "returned_ns": 50_100_000_000}
    silent = {**op, "called_ns": 50_050_000_000, "returned_ns": None, "kind": "info"}
    fault = {"fault": "kill", "target": "p1", "began": 0, "time": 9, "took_effect": True}
    picture = report_charts.moment([silent, answered], [fault])
    assert "kill" not in picture, "it was over long before"
    assert picture.index(">write 1<") < picture.index(">write 1 → no answer<")
    assert "stroke-dasharray" in picture
    assert ">50.05 s<" in picture
    assert ">0 s<" not in picture


def test_what_was_answered_is_told_where_it_says_more_than_what_was_asked():
    op = {"returned_ns": 1, "kind": "ok", "f": "write", "value": ["a", 1], "result": ["a", 1]}
    assert report_charts.sentence(op) == 'write ["a", 1]'
    empty = {**op, "f": "read", "value": ["a", None], "result": ["a", None]}
    assert report_charts.sentence(empty) == 'read ["a", null] → ["a", null]'
    assert report_charts.sentence({**op, "kind": "fail"}) == 'write ["a", 1] → refused'
    assert len(report_charts.sentence(op, length_max=5)) == 5


def test_every_kind_of_fault_has_a_colour_of_its_family():
    assert set(report_charts.COLOURS) == set(KINDS)

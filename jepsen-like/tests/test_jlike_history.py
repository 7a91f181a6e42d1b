"""A history in the notation of Jepsen says what its lines say, in words that others read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jlike import cli, history_edn
from jlike.history import Kind, Op, Value, parse
from jlike.workload.catalogue import WORKLOADS

FORMAT = Path(__file__).resolve().parents[1] / "HISTORY.md"


def _op(kind: Kind, f: str, value: Value, **more: Value) -> Op:
    return Op(process=3, type=kind, f=f, value=value, time=7, **more)


def _edn(workload: str, *ops: Op) -> list[str]:
    return list(history_edn.lines(workload, ops))


def test_a_line_is_a_map_of_jepsen_with_its_index():
    ops = [
        _op(Kind.INVOKE, "write", ["k", 1], peer="p1"),
        _op(Kind.INFO, "write", ["k", 1], error="late"),
    ]
    assert _edn("register", *ops) == [
        '{:index 0, :process 3, :type :invoke, :f :write, :value ["k" 1], :time 7, :peer "p1"}',
        '{:index 1, :process 3, :type :info, :f :write, :value ["k" 1], :time 7, :error "late"}',
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nil"),
        (True, "true"),
        (0, "0"),
        (1.5, "1.5"),
        ('a"b\\\n', '"a\\"b\\\\\\n"'),
        ("é", '"\\u00e9"'),
        ([["k", None], []], '[["k" nil] []]'),
        ({"a": 1, "b": [False]}, '{"a" 1, "b" [false]}'),
    ],
)
def test_every_value_of_json_has_a_notation(value, text):
    assert history_edn.edn(value) == text


def test_transactions_and_their_last_reads_are_what_elle_reads():
    asked = [["append", "x", 1], ["r", "x", None]]
    answered = [["append", "x", 1], ["r", "x", [1]]]
    found = _edn(
        "append",
        _op(Kind.INVOKE, "txn", asked),
        _op(Kind.OK, "txn", answered),
        _op(Kind.INVOKE, "final", "x"),
        _op(Kind.OK, "final", [["r", "x", [1]]]),
    )
    values = [re.search(r":f :txn, :value (.*), :time", it)[1] for it in found]
    assert values == [
        '[[:append "x" 1] [:r "x" nil]]',
        '[[:append "x" 1] [:r "x" [1]]]',
        '[[:r "x" nil]]',
        '[[:r "x" [1]]]',
    ]


def test_a_line_that_was_written_is_read_as_it_was():
    op = _op(Kind.OK, "cas", ["k", [1, 2]], peer="p2", error="")
    assert list(parse([op.line(), "", op.line()])) == [op, op]


def test_a_folder_gets_a_file_beside_each_history(tmp_path, capsys):
    op = _op(Kind.INVOKE, "read", ["k", None])
    (tmp_path / "history-register.jsonl").write_text(op.line() + "\n", encoding="utf-8")
    assert cli.main(["edn", str(tmp_path)]) == 0
    path = tmp_path / "history-register.edn"
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_text("utf-8") == _edn("register", op)[0] + "\n"
    assert cli.main(["edn", str(tmp_path / "nothing")]) == cli.HARNESS_BROKE


def test_what_jepsen_has_is_in_every_line():
    line = json.loads(_op(Kind.INVOKE, "read", ["k", None]).line())
    assert set(line) == {"process", "type", "f", "value", "time"}


def _rows() -> dict[str, str]:
    """Workload → the cells in which its operations are named."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in FORMAT.read_text("utf-8").splitlines():
        cells = [it.strip() for it in line.split("|")]
        if len(cells) != 5:
            continue
        names = re.findall(r"`(\w+)`", cells[1]) or names
        only = re.findall(r"\(`(\w+)`\)", cells[2]) or names
        for name in only:
            found[name] = f"{found.get(name, '')} {cells[2]}"
    return found


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_format_names_every_operation_of_every_workload(name):
    told = set(re.findall(r"`(\w+)`", _rows()[name]))
    assert set(WORKLOADS[name]().kinds) <= told

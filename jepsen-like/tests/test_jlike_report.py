"""The page of a run: whole, by itself, in order, and proof against whatever was written."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from histories import INFO, History

from jlike import cli, report, report_charts, report_page

HOSTILE = "</title></style></td><script src=http://evil.example/x.js>alert(1)</script>\"'&<p1>"
SECTIONS = ["What was judged", "What happened when", "Faults"]
FIGURES = ["Stages", "Faults", "Who led", "What became of it", "Rate", "Latency"]
VOID = {"meta"}


class Reader(HTMLParser):
    """Tags in order, attributes, texts; fails when what is opened is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open in ([], ["html"], ["html", "body"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open[-2:]:
            self.texts.setdefault(tag, []).append(data)


def _lines(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(it) + "\n" for it in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _run(folder: Path, *, word: str = "x", is_broken: bool = False) -> str:
    """A run with everything in it: faults, stages, leaders, last words. word: stands wherever
    somebody else's text may stand. Result: its page."""
    history = History()
    history.did("write", [word, word], peer=word)
    history.did("cas", [word, [word, 2]], peer=word)
    history.did("read", [word, None], [word, word if is_broken else 2], peer=word)
    history.answer(history.call("write", [word, 9], peer=word), kind=INFO)
    lines = "".join(op.line() + "\n" for op in history.ops)
    folder.mkdir(exist_ok=True)
    (folder / "history-register.jsonl").write_text(lines, encoding="utf-8")
    options = {"workloads": ["register"], "nemeses": [word], "peers": 3, "time_s": 1, "seed": 7}
    (folder / "test.json").write_text(json.dumps(options), encoding="utf-8")
    ms = 1_000_000
    fault = {"fault": word, "target": word, "began": 2 * ms, "time": 4 * ms, "occasion": word}
    _lines(folder, "nemesis", [{**fault, "took_effect": it} for it in (True, False)])
    roles = [(1, "leader", 4), (3, "leader", 4), (5, "follower", 5)]
    _lines(
        folder,
        "status",
        [{"time": at * ms, "peer": word, "role": role, "term": term} for at, role, term in roles],
    )
    _lines(folder, "stages", [{"time": 1, "stage": "load"}, {"time": 3 * ms, "stage": word}])
    home = folder / "peers" / "p1"
    home.mkdir(parents=True, exist_ok=True)
    (home / "log").write_text(f"{{}}\nerror: {word}\n  hint: {word}\n", encoding="utf-8")
    seen = [{"workload": "harness", "checker": word, "verdict": "valid", "reason": word}]
    (folder / "results.json").write_text(json.dumps(seen), encoding="utf-8")
    cli.main(["check", str(folder)])
    return report.write(folder).read_text("utf-8")


@pytest.mark.parametrize("is_broken", [False, True])
def test_the_verdict_comes_first_and_everything_after_it(tmp_path, is_broken):
    page = _run(tmp_path / "r", is_broken=is_broken)
    found = Reader(page)
    heads = [it for it in found.texts["h2"] if not it.startswith("Counterexample")]
    assert heads == [*SECTIONS, "Last words of peers"]
    captions = [it for it in found.texts["figcaption"] if it.strip(" ") in FIGURES]
    assert [it.strip() for it in captions] == FIGURES
    verdict = "INVALID" if is_broken else "VALID"
    assert page.index(f"<b>{verdict}</b>") < page.index("<p>") < page.index("<h2>")
    assert ("Counterexample: register" in page) is is_broken
    assert "jlike replay" in page


def test_a_broken_promise_is_told_in_a_sentence_before_the_picture_of_its_moment(tmp_path):
    page = _run(tmp_path / "r", is_broken=True)
    counterexample = page[page.index("Counterexample") :]
    assert re.search(r"<p><b>[^<]{20,}</b></p>", counterexample)
    assert counterexample.index("<b>") < counterexample.index("<svg")
    rows = counterexample[: counterexample.index("</details>")].count("<tr>") - 1
    assert rows == 3, "of four operations three contradict each other"


def test_the_worst_checker_stands_on_top(tmp_path):
    page = _run(tmp_path / "r", is_broken=True)
    words = re.findall(r'<span class="tag (\w+)"', page)
    assert words == sorted(words, key=report.VERDICTS.index)
    assert set(words) == {"invalid", "valid"}


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_page_asks_nobody_for_anything_and_runs_nothing(tmp_path, is_broken):
    page = _run(tmp_path / "r", is_broken=is_broken)
    assert "://" not in page
    found = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(found.tags)
    assert not {"src", "srcset", "href", "onload", "onclick"} & {it for it, _ in found.attributes}
    assert "url(" not in page and "@import" not in page


@pytest.mark.parametrize("is_broken", [False, True])
def test_whatever_was_written_stays_text(tmp_path, is_broken):
    page = _run(tmp_path / "r", word=HOSTILE, is_broken=is_broken)
    assert "<script" not in page
    found, tame = (
        Reader(page),
        Reader(_run(tmp_path / "tame", word="x" * len(HOSTILE), is_broken=is_broken)),
    )
    assert found.tags == tame.tags, "the same page, but for the words"
    assert [name for name, _ in found.attributes] == [name for name, _ in tame.attributes]


def test_an_index_lists_the_newest_first_and_counts_verdicts(tmp_path):
    _run(tmp_path / "20260101-000000-a")
    _run(tmp_path / "20260102-000000-b", is_broken=True)
    hostile = "20260103-000000-<b>&'\""
    _run(tmp_path / hostile, word=HOSTILE)
    page = report.write_index(tmp_path).read_text("utf-8")
    found = Reader(page)
    assert "3 runs: 1 invalid, 2 valid." in found.texts["p"]
    assert [it[:8] for it in found.texts["a"]] == ["20260103", "20260102", "20260101"]
    places = [value for name, value in found.attributes if name == "href"]
    assert places[0].startswith("20260103-000000-%3Cb%3E")
    assert "<b>" not in page and "<script" not in page
    assert not any(":" in it or it.startswith("/") for it in places), "all within the store"


def test_a_store_without_runs_has_an_index(tmp_path):
    assert "0 runs: none yet" in report.write_index(tmp_path).read_text("utf-8")


def test_a_page_is_for_dark_and_narrow_screens_too():
    page = report_page.page("t", report_page.figure("f", "", "<svg></svg>"))
    assert 'name="viewport"' in page
    assert "prefers-color-scheme:dark" in page
    assert '<div class="scroll"><svg>' in page, "a picture is scrolled, not shrunk"


def test_pictures_take_their_ink_from_the_page():
    span = report_charts.Span(start_ns=0, end_ns=10**9)
    picture = report_charts.stages([{"time": 0, "stage": "load"}], [], span)
    picture += report_charts.latency([], [], span)
    assert not re.search(r'<text[^>]*(fill|font-size)="', picture)


def test_a_stage_lasts_until_the_next_begins():
    span = report_charts.Span(start_ns=0, end_ns=4)
    picture = report_charts.stages(
        [{"time": 0, "stage": "load"}, {"time": 1, "stage": "healing"}], [], span
    )
    widths = [float(it) for it in re.findall(r'<rect [^>]*width="([0-9.]+)"', picture)]
    assert widths == [report_charts.WIDTH / 4, report_charts.WIDTH * 3 / 4]

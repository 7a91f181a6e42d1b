"""One page that tells a run: verdict, what broke and when, who led, faults. No network, no scripts.

Written from the files of a run only, so that it can be made again at any time. The pictures are
drawn by `report_charts`, the frame is `report_page`. Whatever a run's files hold is text: a value
that a client wrote, or a server answered, never becomes markup.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from jlike import judge
from jlike import report_charts as charts
from jlike import report_page as pages
from jlike.history import Kind, Operation, Value
from jlike.report_charts import Span

VERDICTS = ("invalid", "unknown", "valid")
"""The worst first."""
WORDS_BYTES = 2_000
KIND_WORDS = (("answered", Kind.OK), ("refused", Kind.FAIL), ("unknown", Kind.INFO))


def write(folder: Path) -> Path:
    """Result: the page."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    options = json.loads((folder / "test.json").read_text("utf-8"))
    faults = _lines(folder / "nemesis.jsonl")
    operations = {it: judge.operations_of(folder, it) for it in judge.histories(folder)}
    every = [op for found in operations.values() for op in found]
    end_ns = max([1, *(op.returned_ns or op.called_ns for op in every)])
    start_ns = min([end_ns - 1, *(op.called_ns for op in every)])
    span = Span(start_ns=max(0, start_ns), end_ns=end_ns)
    parts = [
        _banner(folder, results, options),
        _told(every, faults, span),
        *_counterexamples(results, faults),
        "<h2>What was judged</h2>",
        _checkers(results),
        "<h2>What happened when</h2>",
        _legend(faults),
        *_pictures(
            operations,
            results,
            faults,
            statuses=_lines(folder / "status.jsonl"),
            stages=_lines(folder / "stages.jsonl"),
            span=span,
        ),
        "<h2>Faults</h2>",
        _faults(faults),
        *_ends(folder),
    ]
    page = folder / "index.html"
    page.write_text(pages.page(folder.name, "".join(parts)), encoding="utf-8")
    return page


def write_index(store: Path) -> Path:
    """All runs of a store, newest first."""
    rows = []
    counts: Counter[str] = Counter()
    for folder in sorted(store.iterdir(), reverse=True):
        if (folder / "results.json").exists() and not folder.is_symlink():
            results = json.loads((folder / "results.json").read_text("utf-8"))
            options = json.loads((folder / "test.json").read_text("utf-8"))
            counts[_worst(results)] += 1
            rows.append(_run_row(folder.name, results, options))
    said = ", ".join(f"{counts[it]} {it}" for it in VERDICTS if counts[it]) or "none yet"
    heads = ("verdict", "run", "workloads", "faults", "peers", "seconds", "seed", "asked", "why")
    body = (
        f"<h1>Runs of jlike</h1><p>{len(rows)} runs: {said}.</p>"
        '<p class="note">Newest first. Each name leads to the page of its run; runs that were valid'
        " may have been tidied up, summary.csv has them all.</p>"
        f"{pages.table(heads, rows)}"
    )
    page = store / "index.html"
    page.write_text(pages.page("Runs of jlike", body), encoding="utf-8")
    return page


def _run_row(name: str, results: Sequence[Value], options: Value) -> str:
    asked = sum(
        sum(it["figures"].values()) for it in results if it["checker"] == "stats" and it["figures"]
    )
    place = html.escape(quote(name))
    return "".join(
        (
            f"<td>{pages.tag(_worst(results))}</td>",
            f'<td class="short"><a href="{place}/index.html">{html.escape(name[:15])}</a></td>',
            pages.cell(", ".join(options["workloads"])),
            pages.cell(", ".join(options["nemeses"]) or "none"),
            pages.cell(options["peers"], look="number"),
            pages.cell(f"{options['time_s']:g}", look="number"),
            pages.cell(options["seed"], look="number"),
            pages.cell(f"{asked:,}", look="number"),
            pages.cell(_reason(results), look="wide"),
        )
    )


def _lines(path: Path) -> list[Value]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _worst(results: Iterable[Value]) -> str:
    found = {it["verdict"] for it in results}
    return next((it for it in VERDICTS if it in found), "unknown")


def _reason(results: Sequence[Value]) -> str:
    """Of the verdict; empty when all is well."""
    verdict = _worst(results)
    reasons = [f"{it['workload']}: {it['reason']}" for it in results if it["verdict"] == verdict]
    if verdict == "valid" or not reasons:
        return ""
    more = f" (and {len(reasons) - 1} more below)" if len(reasons) > 1 else ""
    return reasons[0] + more


def _banner(folder: Path, results: Sequence[Value], options: Value) -> str:
    verdict = _worst(results)
    reason = _reason(results) or "Nothing that any client saw breaks a promise."
    what = (
        f"{', '.join(options['workloads'])} under {', '.join(options['nemeses']) or 'no faults'},"
        f" {options['peers']} peers, {options['time_s']:.0f} s, seed {options['seed']}"
    )
    again = f"jlike replay {folder.parent.name}/{folder.name}"
    return (
        f'<div class="banner {verdict}"><b>{verdict.upper()}</b> – {html.escape(reason)}'
        f"<small>{html.escape(what)}</small>"
        f"<small>Make it again: <code>{html.escape(again)}</code></small></div>"
    )


def _told(operations: Sequence[Operation], faults: Sequence[Value], span: Span) -> str:
    """The run in three sentences."""
    counts = Counter(op.kind for op in operations)
    effects = Counter(it["fault"] for it in faults if it["took_effect"])
    seconds = (span.end_ns - span.start_ns) / 1e9
    made = ", ".join(f"{count} × {kind}" for kind, count in effects.items()) or "none"
    is_open = "of every one it is known whether it happened"
    if counts[Kind.INFO]:
        is_open = f"of {counts[Kind.INFO]:,} nobody knows whether they happened"
    return (
        f"<p>{len(operations):,} operations in {seconds:.0f} s: {counts[Kind.OK]:,} were answered,"
        f" {counts[Kind.FAIL]:,} refused; {is_open}. {_times(operations)}Faults that took effect:"
        f" {html.escape(made)}.</p>"
    )


def _times(operations: Iterable[Operation]) -> str:
    took = sorted(
        op.returned_ns - op.called_ns
        for op in operations
        if op.is_ok and op.returned_ns is not None and op.returned_ns > op.called_ns
    )
    if not took:
        return ""
    half, most = (took[len(took) * share // 100] / 1e6 for share in (50, 99))
    return f"Half of the answers came within {half:,.0f} ms, 99 % within {most:,.0f} ms. "


def _checkers(results: Iterable[Value]) -> str:
    """The worst first, so that nobody has to look for it."""
    rows = (
        f"<td>{pages.tag(it['verdict'])}</td>{pages.cell(it['workload'])}"
        f"{pages.cell(it['checker'])}{pages.cell(it['reason'], look='wide')}"
        for it in sorted(results, key=lambda it: VERDICTS.index(it["verdict"]))
    )
    return pages.table(("", "workload", "checker", "reason"), rows)


def _counterexamples(results: Iterable[Value], faults: Sequence[Value]) -> list[str]:
    """Around each violation: the operations that cannot all be true."""
    parts = []
    for it in results:
        if it["verdict"] != "invalid" or not it["operations"]:
            continue
        count = len(it["operations"])
        note = (
            f"The {count} operations that show it" if count > 1 else "The operation that shows it"
        )
        if count > charts.OPERATIONS_MAX:
            note += f"; the first {charts.OPERATIONS_MAX} are drawn"
        rows = [
            "".join(
                (
                    pages.cell(f"{op['called_ns'] / 1e9:.4f}", look="number"),
                    pages.cell(_seconds(op["returned_ns"]), look="number"),
                    pages.cell(op["peer"], look="short"),
                    pages.cell(op["process"], look="number"),
                    f"<td><code>{html.escape(charts.sentence(op))}</code></td>",
                )
            )
            for op in it["operations"][: 2 * charts.OPERATIONS_MAX]
        ]
        heads = ("asked, s", "answered, s", "peer", "process", "what")
        parts.append(
            f"<h2>Counterexample: {html.escape(it['workload'])}</h2>"
            f"<p><b>{html.escape(it['reason'])}.</b></p>"
            f'<p class="note">{note}, each from question to answer; dashed: no answer came. On the'
            " left the peer that was asked, and the process that asked. Shaded: faults.</p>"
            f'<div class="scroll">{charts.moment(it["operations"], faults)}</div>'
            "<details><summary>The same as a table</summary>"
            f"{pages.table(heads, rows)}</details>"
        )
    return parts


def _seconds(time_ns: int | None) -> str:
    return "–" if time_ns is None else f"{time_ns / 1e9:.4f}"


def _pictures(
    operations: Mapping[str, Sequence[Operation]],
    results: Sequence[Value],
    faults: Sequence[Value],
    *,
    statuses: Sequence[Value],
    stages: Sequence[Value],
    span: Span,
) -> list[str]:
    every = [op for found in operations.values() for op in found]
    guilty: dict[str, list[int]] = {}
    for it in results:
        if it["verdict"] == "invalid":
            guilty.setdefault(it["workload"], []).extend(op["called_ns"] for op in it["operations"])
    stage = "seconds since the run began; overtime: for what had not happened yet"
    return [
        *([pages.figure("Stages", stage, charts.stages(stages, faults, span))] if stages else []),
        pages.figure("Faults", "hollow: took no effect", charts.windows(faults, span)),
        pages.figure(
            "Who led",
            "as the peers said; the number is the term; a gap: no word from it",
            charts.leaders(statuses, faults, span),
        ),
        pages.figure(
            "What became of it", "by workload", charts.strips(operations, guilty, faults, span)
        ),
        pages.figure("Rate", "questions a second", charts.rate(every, faults, span)),
        pages.figure("Latency", "top edge: never answered", charts.latency(every, faults, span)),
    ]


def _legend(faults: Sequence[Value]) -> str:
    marks = [(charts.KIND_COLOURS[kind], "●", word) for word, kind in KIND_WORDS]
    marks += [(charts.GUILTY, "▲", "contradicts a promise")]
    marks += [(colour, "■", role) for role, colour in charts.ROLES.items()]
    kinds = dict.fromkeys(it["fault"] for it in faults)
    marks += [(charts.COLOURS.get(it, charts.OTHER_FAULT), "▮", it) for it in kinds]
    texts = [
        f'<span><i style="color:{colour};font-style:normal">{mark}</i> {html.escape(word)}</span>'
        for colour, mark, word in marks
    ]
    return f'<p class="note">{" ".join(texts)}</p>'


def _faults(faults: Sequence[Value]) -> str:
    if not faults:
        return "<p>None were made.</p>"
    rows = []
    for it in faults:
        colour = charts.COLOURS.get(it["fault"], charts.OTHER_FAULT)
        rows.append(
            f'<td class="short"><i style="color:{colour};font-style:normal">▮</i>'
            f" {html.escape(it['fault'])}</td>"
            + pages.cell(f"{it['began'] / 1e9:.2f} s", look="number")
            + pages.cell(f"{it['time'] / 1e9:.2f} s", look="number")
            + pages.cell(it["target"], look="wide")
            + pages.cell(it.get("occasion", ""))
            + pages.cell("yes" if it["took_effect"] else "no")
        )
    return pages.table(("fault", "from", "to", "whom", "occasion", "took effect"), rows)


def _ends(folder: Path) -> list[str]:
    """The last words of peers that said something is wrong with them."""
    parts = []
    for log in sorted(folder.glob("peers/*/log")):
        text = log.read_bytes()[-WORDS_BYTES:].decode("utf-8", "replace")
        at = max(text.rfind("\nerror:"), text.rfind("\nTraceback"))
        if at >= 0:
            parts.append(
                f"<p>{html.escape(log.parent.name)} ended with:</p>"
                f'<div class="scroll"><pre>{html.escape(text[at + 1 :])}</pre></div>'
            )
    return ["<h2>Last words of peers</h2>", *parts] if parts else []

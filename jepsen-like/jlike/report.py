"""One page that tells a run: verdict, what broke and when, who led, faults. No network, no scripts.

Written from the files of a run only, so that it can be made again at any time. The pictures are
drawn by `report_charts`.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jlike import judge
from jlike import report_charts as charts
from jlike.history import Kind, Operation, Value
from jlike.report_charts import Span

STYLE = """
body{font:15px/1.55 system-ui,sans-serif;margin:2rem auto;max-width:1120px;padding:0 1rem}
body{color:#1c2833;background:#fff}
.banner{padding:1.1rem 1.5rem;border-radius:10px;color:#fff;font-size:1.25rem}
.valid{background:#1f7a4d}.invalid{background:#b3261e}.unknown{background:#8a6d00}
.banner b{letter-spacing:.04em}.banner small{display:block;font-size:.95rem;opacity:.94}
.banner small+small{opacity:.85}
table{border-collapse:collapse;width:100%;margin:.6rem 0 1.2rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e5e8e8;vertical-align:top}
th{font-weight:600;color:#566573;font-size:.88rem}
.tag{padding:.1rem .5rem;border-radius:4px;color:#fff;font-size:.85rem}
svg{width:100%;height:auto;background:#fbfcfc;border:1px solid #e5e8e8;border-radius:6px}
h2{margin:2rem 0 .5rem;font-size:1.15rem}h3{margin:1.2rem 0 .3rem;font-size:1rem}
p.note{margin:.3rem 0 .6rem;color:#566573;font-size:.9rem}code{font-size:.88rem}
summary{cursor:pointer;color:#2874a6;margin:.4rem 0}figure{margin:0 0 .9rem}
figcaption{font-weight:600;font-size:.95rem;margin:.7rem 0 .25rem}
figcaption span{font-weight:400;color:#566573}
"""
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
        *_pictures(operations, results, faults, _lines(folder / "status.jsonl"), span),
        "<h2>Faults</h2>",
        _faults(faults),
    ]
    page = folder / "index.html"
    page.write_text(_page(folder.name, "".join(parts)), encoding="utf-8")
    return page


def write_index(store: Path) -> Path:
    """All runs of a store, newest first."""
    rows = []
    for folder in sorted(store.iterdir(), reverse=True):
        if (folder / "results.json").exists() and not folder.is_symlink():
            results = json.loads((folder / "results.json").read_text("utf-8"))
            name = html.escape(folder.name)
            rows.append(
                f'<tr><td>{_tag(_worst(results))}</td><td><a href="{name}/index.html">{name}</a>'
                f"</td><td>{html.escape(_reason(results))}</td></tr>"
            )
    page = store / "index.html"
    table = f"<h1>Runs</h1><table>{''.join(rows)}</table>"
    page.write_text(_page("Runs", table), encoding="utf-8")
    return page


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body>{body}</body></html>"
    )


def _lines(path: Path) -> list[Value]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _worst(results: Iterable[Value]) -> str:
    found = {it["verdict"] for it in results}
    return next((it for it in ("invalid", "unknown", "valid") if it in found), "unknown")


def _reason(results: Sequence[Value]) -> str:
    """Of the verdict; empty when all is well."""
    verdict = _worst(results)
    reasons = [f"{it['workload']}: {it['reason']}" for it in results if it["verdict"] == verdict]
    return "" if verdict == "valid" or not reasons else reasons[0]


def _tag(verdict: str) -> str:
    return f'<span class="tag {verdict}">{verdict}</span>'


def _banner(folder: Path, results: Sequence[Value], options: Value) -> str:
    verdict = _worst(results)
    reason = _reason(results) or "Nothing that any client saw breaks a promise."
    what = (
        f"{', '.join(options['workloads'])} under {', '.join(options['nemeses']) or 'no faults'},"
        f" {options['peers']} peers, {options['time_s']:.0f} s, seed {options['seed']}"
    )
    again = f"Make it again: jlike replay {folder.parent.name}/{folder.name}"
    return (
        f'<div class="banner {verdict}"><b>{verdict.upper()}</b> – {html.escape(reason)}'
        f"<small>{html.escape(what)}</small><small>{html.escape(again)}</small></div>"
    )


def _told(operations: Sequence[Operation], faults: Sequence[Value], span: Span) -> str:
    """The run in two sentences."""
    counts = Counter(op.kind for op in operations)
    effects = Counter(it["fault"] for it in faults if it["took_effect"])
    seconds = (span.end_ns - span.start_ns) / 1e9
    made = ", ".join(f"{count} × {kind}" for kind, count in effects.items()) or "none"
    is_open = "of every one it is known whether it happened"
    if counts[Kind.INFO]:
        is_open = f"of {counts[Kind.INFO]:,} nobody knows whether they happened"
    return (
        f"<p>{len(operations):,} operations in {seconds:.0f} s: {counts[Kind.OK]:,} were answered,"
        f" {counts[Kind.FAIL]:,} refused; {is_open}. Faults that took effect:"
        f" {html.escape(made)}.</p>"
    )


def _checkers(results: Iterable[Value]) -> str:
    rows = "".join(
        f"<tr><td>{_tag(it['verdict'])}</td><td>{it['workload']}</td><td>{it['checker']}</td>"
        f"<td>{html.escape(it['reason'])}</td></tr>"
        for it in results
    )
    return (
        f"<table><tr><th></th><th>workload</th><th>checker</th><th>reason</th></tr>{rows}</table>"
    )


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
        rows = "".join(
            f"<tr><td>{op['called_ns'] / 1e9:.4f}</td><td>{_seconds(op['returned_ns'])}</td>"
            f"<td>{op['peer']}</td><td>{op['process']}</td>"
            f"<td><code>{html.escape(charts.sentence(op))}</code></td></tr>"
            for op in it["operations"][: 2 * charts.OPERATIONS_MAX]
        )
        parts.append(
            f"<h2>Counterexample: {html.escape(it['workload'])}</h2>"
            f"<p>{html.escape(it['reason'])}.</p>"
            f'<p class="note">{note}, each from question to answer; dashed: no answer came. On the'
            " left the peer that was asked, and the process that asked.</p>"
            f"{charts.moment(it['operations'], faults)}"
            "<details><summary>The same as a table</summary><table><tr><th>asked, s</th>"
            "<th>answered, s</th><th>peer</th><th>process</th><th>what</th></tr>"
            f"{rows}</table></details>"
        )
    return parts


def _seconds(time_ns: int | None) -> str:
    return "–" if time_ns is None else f"{time_ns / 1e9:.4f}"


def _pictures(
    operations: Mapping[str, Sequence[Operation]],
    results: Sequence[Value],
    faults: Sequence[Value],
    statuses: Sequence[Value],
    span: Span,
) -> list[str]:
    every = [op for found in operations.values() for op in found]
    guilty: dict[str, list[int]] = {}
    for it in results:
        if it["verdict"] == "invalid":
            guilty.setdefault(it["workload"], []).extend(op["called_ns"] for op in it["operations"])
    return [
        _figure("Faults", "hollow: took no effect", charts.windows(faults, span)),
        _figure(
            "Who led",
            "as the peers said; the number is the term",
            charts.leaders(statuses, faults, span),
        ),
        _figure(
            "What became of it", "by workload", charts.strips(operations, guilty, faults, span)
        ),
        _figure("Rate", "questions a second", charts.rate(every, faults, span)),
        _figure("Latency", "top edge: never answered", charts.latency(every, faults, span)),
    ]


def _figure(title: str, note: str, picture: str) -> str:
    caption = f"<figcaption>{title} <span>– {note}</span></figcaption>"
    return f"<figure>{caption}{picture}</figure>"


def _legend(faults: Sequence[Value]) -> str:
    marks = [(charts.KIND_COLOURS[kind], "●", word) for word, kind in KIND_WORDS]
    marks += [(charts.GUILTY, "▲", "contradicts a promise")]
    marks += [(colour, "■", role) for role, colour in charts.ROLES.items()]
    kinds = dict.fromkeys(it["fault"] for it in faults)
    marks += [(charts.COLOURS.get(it, charts.OTHER_FAULT), "▮", it) for it in kinds]
    texts = [
        f'<span style="color:{colour}">{mark}</span> {html.escape(word)}'
        for colour, mark, word in marks
    ]
    return f'<p class="note">{" &nbsp; ".join(texts)}</p>'


def _faults(faults: Sequence[Value]) -> str:
    rows = "".join(
        f'<tr><td style="color:{charts.COLOURS.get(it["fault"], charts.OTHER_FAULT)}">'
        f"{html.escape(it['fault'])}</td>"
        f"<td>{it['began'] / 1e9:.2f} s</td><td>{it['time'] / 1e9:.2f} s</td>"
        f"<td>{html.escape(it['target'])}</td><td>{'yes' if it['took_effect'] else 'no'}</td></tr>"
        for it in faults
    )
    head = "<tr><th>fault</th><th>from</th><th>to</th><th>whom</th><th>took effect</th></tr>"
    return f"<table>{head}{rows}</table>"

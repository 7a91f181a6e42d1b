"""One page that tells a run: verdict, checkers, faults, latency, who led. No network, no scripts.

Written from the files of a run only, so that it can be made again at any time.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from jlike import judge
from jlike.history import Kind, Operation, Value

WIDTH, HEIGHT, LANE = 1_080, 220, 22
COLOURS = {
    "partition": "#7b4fb5",
    "flapping": "#a569bd",
    "kill": "#c0392b",
    "pause": "#d68910",
    "restart": "#2874a6",
    "slow": "#5d6d7e",
    "lossy": "#85929e",
    "crashloop": "#e74c3c",
    "starve": "#b7950b",
}
KIND_COLOURS = {Kind.OK: "#1e8449", Kind.FAIL: "#909497", Kind.INFO: "#c0392b"}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1120px;padding:0 1rem}
body{color:#1c2833}
.banner{padding:1rem 1.4rem;border-radius:8px;color:#fff;font-size:1.3rem}
.valid{background:#1e8449}.invalid{background:#b03a2e}.unknown{background:#9a7d0a}
.banner small{display:block;font-size:.95rem;opacity:.92}
table{border-collapse:collapse;width:100%;margin:.6rem 0 1.6rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e5e8e8;vertical-align:top}
.tag{padding:.1rem .5rem;border-radius:4px;color:#fff;font-size:.85rem}
svg{width:100%;height:auto;background:#fbfcfc;border:1px solid #e5e8e8;border-radius:6px}
h2{margin-top:2rem;font-size:1.15rem}code{font-size:.88rem}
"""


def write(folder: Path) -> Path:
    """Result: the page."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    options = json.loads((folder / "test.json").read_text("utf-8"))
    faults = _lines(folder / "nemesis.jsonl")
    operations = {it: judge.operations_of(folder, it) for it in judge.histories(folder)}
    every = [op for found in operations.values() for op in found]
    end_ns = max([1, *(op.returned_ns or op.called_ns for op in every)])
    parts = [
        _banner(results, options),
        "<h2>What was judged</h2>",
        _checkers(results),
        *_counterexamples(results),
        "<h2>Latency: every answer, by when it was asked</h2>",
        _latency(every, faults, end_ns=end_ns),
        _legend(),
        "<h2>Who led, as the peers themselves said</h2>",
        _lanes(_lines(folder / "status.jsonl"), end_ns=end_ns),
        "<h2>Faults</h2>",
        _faults(faults),
    ]
    page = folder / "index.html"
    page.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(folder.name)}'
        f"</title><style>{STYLE}</style><body>{''.join(parts)}</body></html>",
        encoding="utf-8",
    )
    return page


def write_index(store: Path) -> Path:
    """All runs of a store, newest first."""
    rows = []
    for folder in sorted(store.iterdir(), reverse=True):
        if (folder / "results.json").exists() and not folder.is_symlink():
            verdict = _worst(json.loads((folder / "results.json").read_text("utf-8")))
            name = html.escape(folder.name)
            rows.append(
                f'<tr><td>{_tag(verdict)}</td><td><a href="{name}/index.html">{name}</a></td></tr>'
            )
    page = store / "index.html"
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Runs</title>'
        f"<style>{STYLE}</style><body><h1>Runs</h1><table>{''.join(rows)}</table></body></html>",
        encoding="utf-8",
    )
    return page


def _lines(path: Path) -> list[Value]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _worst(results: Iterable[Value]) -> str:
    found = {it["verdict"] for it in results}
    return next((it for it in ("invalid", "unknown", "valid") if it in found), "unknown")


def _tag(verdict: str) -> str:
    return f'<span class="tag {verdict}">{verdict}</span>'


def _banner(results: Sequence[Value], options: Value) -> str:
    verdict = _worst(results)
    reasons = [f"{it['workload']}: {it['reason']}" for it in results if it["verdict"] == verdict]
    reason = reasons[0] if verdict != "valid" else "Nothing that any client saw breaks a promise."
    what = (
        f"{', '.join(options['workloads'])} under {', '.join(options['nemeses']) or 'no faults'},"
        f" {options['peers']} peers, {options['time_s']:.0f} s, seed {options['seed']}"
    )
    return (
        f'<div class="banner {verdict}"><b>{verdict.upper()}</b> – {html.escape(reason)}'
        f"<small>{html.escape(what)}</small></div>"
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


def _counterexamples(results: Iterable[Value]) -> list[str]:
    parts = []
    for it in results:
        if it["verdict"] == "invalid" and it["operations"]:
            rows = "".join(
                f"<tr><td>{op['called_ns'] / 1e6:.1f}</td>"
                f"<td>{_ms(op['returned_ns'])}</td><td>{op['peer']}</td><td>{op['process']}</td><td>{op['f']}</td>"
                f"<td><code>{html.escape(json.dumps(op['value'])[:300])}</code></td>"
                f"<td><code>{html.escape(json.dumps(op['result'])[:300])}</code></td></tr>"
                for op in it["operations"][:40]
            )
            parts.append(
                f"<h2>Counterexample: {html.escape(it['reason'])}</h2><table><tr><th>asked, ms</th>"
                "<th>answered, ms</th><th>peer</th><th>process</th><th>operation</th>"
                f"<th>asked</th><th>answered</th></tr>{rows}</table>"
            )
    return parts


def _ms(time_ns: int | None) -> str:
    return "–" if time_ns is None else f"{time_ns / 1e6:.1f}"


def _latency(operations: Sequence[Operation], faults: Sequence[Value], *, end_ns: int) -> str:
    """Log scale from 1 ms to 10 s; unanswered ones on the upper edge."""
    shades = "".join(
        f'<rect x="{_x(it["began"], end_ns)}" y="0" height="{HEIGHT}"'
        f' width="{max(2.0, _x(it["time"], end_ns) - _x(it["began"], end_ns)):.1f}"'
        f' fill="{COLOURS.get(it["fault"], "#888")}" opacity="0.16">'
        f"<title>{html.escape(it['fault'] + ': ' + it['target'])}</title></rect>"
        for it in faults
    )
    dots = "".join(
        f'<circle cx="{_x(op.called_ns, end_ns)}" cy="{_y(op):.1f}" r="1.6"'
        f' fill="{KIND_COLOURS[op.kind]}" opacity="0.6"/>'
        for op in operations
    )
    lines = "".join(
        f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#d5d8dc"/>'
        f'<text x="4" y="{y - 3}" font-size="11" fill="#566573">{label}</text>'
        for label, y in (("10 s", 15), ("1 s", 65), ("100 ms", 115), ("10 ms", 165), ("1 ms", 215))
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{shades}{lines}{dots}</svg>'


def _x(time_ns: int, end_ns: int) -> float:
    return round(min(1.0, time_ns / end_ns) * WIDTH, 1)


def _y(operation: Operation) -> float:
    if operation.returned_ns is None:
        return 8.0
    digits = len(str((operation.returned_ns - operation.called_ns) // 1_000))
    micros = max(1, (operation.returned_ns - operation.called_ns) // 1_000)
    decades = digits - 1 + (micros / float(10 ** (digits - 1)) - 1) / 9
    height: float = 215 - 50 * (decades - 3)
    return max(10.0, min(HEIGHT - 4.0, height))


def _legend() -> str:
    kinds = (("answered", Kind.OK), ("refused", Kind.FAIL), ("unknown", Kind.INFO))
    dots = [f'<span style="color:{KIND_COLOURS[kind]}">● {word}</span>' for word, kind in kinds]
    shades = [f'<span style="color:{colour}">▮ {kind}</span>' for kind, colour in COLOURS.items()]
    return f"<p>{' &nbsp; '.join(dots + shades)}</p>"


def _lanes(statuses: Sequence[Value], *, end_ns: int) -> str:
    peers = sorted({it["peer"] for it in statuses})
    colours = {"leader": "#1e8449", "candidate": "#d68910", "follower": "#d5dbdb"}
    width = max(1.5, 0.3e9 / end_ns * WIDTH)
    parts = []
    for number, peer in enumerate(peers):
        y = 4 + number * LANE
        parts.append(f'<text x="4" y="{y + 12}" font-size="12">{html.escape(peer)}</text>')
        parts += [
            f'<rect x="{_x(it["time"], end_ns)}" y="{y}" width="{width:.1f}" height="{LANE - 6}"'
            f' fill="{colours.get(it["role"], "#ffffff")}"><title>{it["role"]}, term {it["term"]}'
            "</title></rect>"
            for it in statuses
            if it["peer"] == peer and it["role"] in colours
        ]
    height = 8 + LANE * max(1, len(peers))
    note = "<p>Green leads, grey follows, amber asks for votes, white does not answer.</p>"
    return f'<svg viewBox="0 0 {WIDTH} {height}">{"".join(parts)}</svg>{note}'


def _faults(faults: Sequence[Value]) -> str:
    rows = "".join(
        f'<tr><td style="color:{COLOURS.get(it["fault"], "#888")}">{it["fault"]}</td>'
        f"<td>{it['began'] / 1e9:.2f} s</td><td>{it['time'] / 1e9:.2f} s</td>"
        f"<td>{html.escape(it['target'])}</td><td>{'yes' if it['took_effect'] else 'no'}</td></tr>"
        for it in faults
    )
    head = "<tr><th>fault</th><th>from</th><th>to</th><th>whom</th><th>took effect</th></tr>"
    return f"<table>{head}{rows}</table>"

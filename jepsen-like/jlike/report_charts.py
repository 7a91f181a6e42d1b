"""The pictures of a run's page: all over one axis of time, all with the faults shaded. Pure.

Called by `jlike.report`. SVG as text, without scripts; what a mark means stands in its title. A
`Span` maps time to width, so that the whole run and a moment of it are drawn by the same hands.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jlike.history import Kind, Operation, Value

GUTTER, WIDTH = 96, 984
"""Names on the left, time on the right of them."""
LANE, AXIS = 22, 22
RATE_HEIGHT, LATENCY_HEIGHT = 110, 220
COLUMNS = 164
OPERATIONS_MAX = 40
LABEL_MAX = 46
KIND_COLOURS = {Kind.OK: "#2e8b57", Kind.FAIL: "#9aa3a8", Kind.INFO: "#e08a00"}
GUILTY = "#b3261e"
ROLES = {"leader": "#2e8b57", "candidate": "#e0a100", "follower": "var(--lane)"}
STAGES = {"load": "#2e8b57", "overtime": "#7b4fb5", "healing": "#2874a6", "last reads": "#6b705c"}
SEEN_NS = 600_000_000
"""A peer that said nothing for longer was not there: it is asked every 250 ms."""
FAMILIES = {
    "#7b4fb5": ("partition", "flapping"),
    "#4a6fa5": ("slow", "lossy"),
    "#c0392b": ("kill", "crashloop", "power"),
    "#c77700": ("pause", "starve"),
    "#2874a6": ("restart", "transfer"),
    "#6b705c": ("diskfull", "slowsync", "failsync", "corrupt"),
    "#00838f": ("clock",),
    "#a8437a": ("clients",),
}
COLOURS = {kind: colour for colour, kinds in FAMILIES.items() for kind in kinds}
OTHER_FAULT = "#555555"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the run, in nanoseconds since its beginning."""

    start_ns: int
    end_ns: int

    def x(self, time_ns: float) -> float:
        """Held within the picture."""
        share = (time_ns - self.start_ns) / max(1, self.end_ns - self.start_ns)
        return round(GUTTER + min(1.0, max(0.0, share)) * WIDTH, 1)

    def holds(self, *, start_ns: float, end_ns: float) -> bool:
        return end_ns >= self.start_ns and start_ns <= self.end_ns


def strips(
    operations: Mapping[str, Sequence[Operation]],
    guilty: Mapping[str, Sequence[int]],
    faults: Sequence[Value],
    span: Span,
) -> str:
    """One lane a workload: what became of what was asked in each moment, the worst on top. guilty:
    by workload, when operations were asked that contradict the promise."""
    parts = []
    for number, (name, found) in enumerate(operations.items()):
        y = number * LANE + 3
        counts = _columns(found, span)
        parts.append(_label(name, y))
        for column, kinds in counts.items():
            x, width = GUTTER + column * WIDTH / COLUMNS, WIDTH / COLUMNS
            top = float(y)
            for kind in (Kind.INFO, Kind.FAIL, Kind.OK):
                if not kinds[kind]:
                    continue
                # A single one must be seen among a hundred.
                height = max(3.0, kinds[kind] / kinds.total() * (LANE - 6))
                height = min(height, y + LANE - 6 - top)
                parts.append(_box(x, top, width, height, KIND_COLOURS[kind], title=_counted(kinds)))
                top += height
        parts += [
            f'<path d="M{span.x(at):.1f} {y + LANE - 8} l-5 9 h10 z" fill="{GUILTY}">'
            "<title>contradicts a promise</title></path>"
            for at in guilty.get(name, ())
        ]
    return _picture(parts, faults, span, height=max(1, len(operations)) * LANE + 6)


def rate(operations: Sequence[Operation], faults: Sequence[Value], span: Span) -> str:
    """Questions a second by when they were asked, stacked by what became of them. The last reads,
    which come all at once, may reach beyond the scale."""
    counts = _columns(operations, span)
    totals = sorted(it.total() for it in counts.values()) or [1]
    most = totals[len(totals) * 97 // 100]
    column_s = (span.end_ns - span.start_ns) / 1e9 / COLUMNS
    parts = _ruled([(RATE_HEIGHT * 0.08, f"{most / column_s:.0f}/s"), (RATE_HEIGHT, "0")])
    for column, kinds in counts.items():
        x, y = GUTTER + column * WIDTH / COLUMNS, float(RATE_HEIGHT)
        for kind in (Kind.OK, Kind.FAIL, Kind.INFO):
            height = min(y, kinds[kind] / most * RATE_HEIGHT * 0.92)
            y -= height
            if height:
                parts.append(_box(x, y, WIDTH / COLUMNS, height, KIND_COLOURS[kind]))
    return _picture(parts, faults, span, height=RATE_HEIGHT)


def latency(operations: Sequence[Operation], faults: Sequence[Value], span: Span) -> str:
    """Log scale from 1 ms to 10 s; unanswered ones on the upper edge."""
    parts = _ruled(
        [(15, "10 s"), (65, "1 s"), (115, "100 ms"), (165, "10 ms"), (215, "1 ms")],
    )
    parts += [
        f'<circle cx="{span.x(op.called_ns)}" cy="{_height(op):.1f}" r="1.7"'
        f' fill="{KIND_COLOURS[op.kind]}" opacity="0.6"/>'
        for op in operations
    ]
    return _picture(parts, faults, span, height=LATENCY_HEIGHT)


def leaders(statuses: Sequence[Value], faults: Sequence[Value], span: Span) -> str:
    """One lane a peer: what it said that it is, with the term of each leadership."""
    peers = sorted({it["peer"] for it in statuses})
    parts = []
    for number, peer in enumerate(peers):
        y = number * LANE + 3
        parts.append(_label(peer, y))
        for role, term, start_ns, end_ns in _reigns(statuses, peer):
            if role not in ROLES:
                continue
            x = span.x(start_ns)
            width = max(1.5, span.x(end_ns) - x)
            title = f"{peer}: {role}, term {term}"
            parts.append(_box(x, y, width, LANE - 6, ROLES[role], title=title))
            if role == "leader" and width > 14:
                parts.append(f'<text x="{x + 3}" y="{y + 12}" class="on">{term}</text>')
    return _picture(parts, faults, span, height=max(1, len(peers)) * LANE + 6)


def stages(told: Sequence[Value], faults: Sequence[Value], span: Span) -> str:
    """What the suite itself was at. told: when each stage began, in order."""
    parts = [_label("stage", 3)]
    ends = [*(it["time"] for it in told[1:]), span.end_ns]
    for it, end_ns in zip(told, ends, strict=True):
        x, name = span.x(it["time"]), it["stage"]
        width = max(1.5, span.x(end_ns) - x)
        parts.append(_box(x, 3, width, LANE - 6, STAGES.get(name, OTHER_FAULT), title=name))
        if width > 8 * len(name):
            parts.append(f'<text x="{x + 4}" y="15" class="on">{html.escape(name)}</text>')
    return _picture(parts, faults, span, height=LANE + 6)


def windows(faults: Sequence[Value], span: Span) -> str:
    """One lane a kind of fault; hollow where it took no effect."""
    kinds = list(dict.fromkeys(it["fault"] for it in faults))
    parts = [_label(kind, number * LANE + 3) for number, kind in enumerate(kinds)]
    for it in faults:
        y = kinds.index(it["fault"]) * LANE + 3
        x = span.x(it["began"])
        width = max(2.5, span.x(it["time"]) - x)
        colour = COLOURS.get(it["fault"], OTHER_FAULT)
        fill = colour if it["took_effect"] else "none"
        word = "" if it["took_effect"] else ", without effect"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{LANE - 6}" rx="2" fill="{fill}"'
            f' stroke="{colour}"><title>{html.escape(it["fault"] + ": " + it["target"] + word)}'
            "</title></rect>"
        )
    return _picture(parts, (), span, height=max(1, len(kinds)) * LANE + 6)


def moment(operations: Sequence[Value], faults: Sequence[Value]) -> str:
    """The operations of a counterexample, one lane each, in the order in which they were asked.
    What was not answered has no end. operations: as in results.json."""
    shown = sorted(operations, key=lambda it: it["called_ns"])[:OPERATIONS_MAX]
    span = _around(shown)
    parts = []
    for number, op in enumerate(shown):
        y = number * LANE + 3
        x = span.x(op["called_ns"])
        is_open = op["returned_ns"] is None
        width = max(4.0, (GUTTER + WIDTH if is_open else span.x(op["returned_ns"])) - x)
        dashes = ' stroke-dasharray="4 3"' if is_open else ""
        colour = KIND_COLOURS[Kind(op["kind"])]
        parts.append(_label(f"{op['peer'] or '–'} · {op['process']}", y))
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{LANE - 6}" rx="3" fill="{colour}"'
            f' fill-opacity="{0.25 if is_open else 0.85}" stroke="{colour}"{dashes}><title>'
            f"{html.escape(sentence(op))}</title></rect>"
        )
        is_left = x + width < GUTTER + WIDTH * 0.6
        place = f'x="{x + width + 6:.1f}"' if is_left else f'x="{x - 6:.1f}" text-anchor="end"'
        text = html.escape(sentence(op, length_max=LABEL_MAX))
        parts.append(f'<text {place} y="{y + 12}" class="name">{text}</text>')
    return _picture(parts, faults, span, height=max(1, len(shown)) * LANE + 6)


def sentence(op: Value, *, length_max: int = 300) -> str:
    """What was asked and what was answered."""
    asked = json.dumps(op["value"], ensure_ascii=False)
    if op["returned_ns"] is None:
        answered = " → no answer"
    elif op["kind"] == Kind.FAIL:
        answered = " → refused"
    else:
        is_echo = op["result"] is None or (op["f"] != "read" and op["result"] == op["value"])
        answered = "" if is_echo else f" → {json.dumps(op['result'], ensure_ascii=False)}"
    text = f"{op['f']} {'' if op['value'] is None else asked}{answered}"
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def _around(shown: Sequence[Value]) -> Span:
    times = [it["called_ns"] for it in shown] + [it["returned_ns"] or 0 for it in shown]
    start_ns, end_ns = min(it for it in times if it), max(times)
    margin_ns = max(5_000_000, (end_ns - start_ns) // 20)
    return Span(start_ns=max(0, start_ns - margin_ns), end_ns=end_ns + margin_ns)


def _reigns(statuses: Sequence[Value], peer: str) -> Iterator[tuple[str, int, int, int]]:
    """(role, term, from, to) while a peer went on to say the same."""
    current: tuple[str, int] | None = None
    start_ns = last_ns = 0
    for it in statuses:
        if it["peer"] != peer:
            continue
        said = (it["role"], it["term"])
        if current is not None and (said != current or it["time"] - last_ns > SEEN_NS):
            yield *current, start_ns, min(it["time"], last_ns + SEEN_NS)
            current = None
        if current is None:
            current, start_ns = said, it["time"]
        last_ns = it["time"]
    if current is not None:
        yield *current, start_ns, last_ns


def _columns(operations: Iterable[Operation], span: Span) -> dict[int, Counter[Kind]]:
    found: dict[int, Counter[Kind]] = {}
    for op in operations:
        share = (op.called_ns - span.start_ns) / max(1, span.end_ns - span.start_ns)
        column = min(COLUMNS - 1, max(0, int(share * COLUMNS)))
        found.setdefault(column, Counter())[op.kind] += 1
    return found


def _counted(kinds: Counter[Kind]) -> str:
    words = ((Kind.OK, "answered"), (Kind.FAIL, "refused"), (Kind.INFO, "unknown"))
    return ", ".join(f"{kinds[kind]} {word}" for kind, word in words if kinds[kind])


def _height(operation: Operation) -> float:
    if operation.returned_ns is None:
        return 8.0
    micros = max(1, (operation.returned_ns - operation.called_ns) // 1_000)
    digits = len(str(micros))
    decades = digits - 1 + (micros / float(10 ** (digits - 1)) - 1) / 9
    return max(10.0, min(LATENCY_HEIGHT - 4.0, 215 - 50 * (decades - 3)))


def _picture(parts: Iterable[str], faults: Sequence[Value], span: Span, *, height: float) -> str:
    """With the faults behind, and the axis of time below."""
    shades = "".join(
        _box(
            span.x(it["began"]),
            0,
            max(2.0, span.x(it["time"]) - span.x(it["began"])),
            height,
            COLOURS.get(it["fault"], OTHER_FAULT),
            opacity=0.15,
            title=f"{it['fault']}: {it['target']}",
        )
        for it in faults
        if it["took_effect"] and span.holds(start_ns=it["began"], end_ns=it["time"])
    )
    return (
        f'<svg viewBox="0 0 {GUTTER + WIDTH + 16} {height + AXIS:.0f}" role="img">{shades}'
        f"{''.join(parts)}{_axis(span, y=height)}</svg>"
    )


def _axis(span: Span, *, y: float) -> str:
    parts = [
        f'<line x1="{GUTTER}" x2="{GUTTER + WIDTH}" y1="{y}" y2="{y}" class="axis"/>',
    ]
    step_ns = _step_ns(span.end_ns - span.start_ns)
    for number in range(-(-span.start_ns // step_ns), span.end_ns // step_ns + 1):
        x = span.x(number * step_ns)
        label = f"{number * step_ns / 1e9:g} s"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{y}" y2="{y + 4}" class="axis"/>')
        parts.append(f'<text x="{x}" y="{y + 16}" class="mark" text-anchor="middle">{label}</text>')
    return "".join(parts)


def _step_ns(length_ns: int) -> int:
    """1, 2 or 5 of a decade, so that there are at most a dozen."""
    step_ns = 1_000
    while True:
        for factor in (1, 2, 5):
            if length_ns <= 12 * factor * step_ns:
                return factor * step_ns
        step_ns *= 10


def _ruled(lines: Iterable[tuple[float, str]]) -> list[str]:
    return [
        f'<line x1="{GUTTER}" x2="{GUTTER + WIDTH}" y1="{y}" y2="{y}" class="rule"/>'
        f'<text x="{GUTTER - 8}" y="{y + 4}" class="mark" text-anchor="end">{label}</text>'
        for y, label in lines
    ]


def _label(text: str, y: float) -> str:
    return (
        f'<text x="{GUTTER - 8}" y="{y + 12}" class="name" text-anchor="end">'
        f"{html.escape(text)}</text>"
    )


def _box(
    x: float,
    y: float,
    width: float,
    height: float,
    colour: str,
    *,
    opacity: float = 1.0,
    title: str = "",
) -> str:
    said = f"<title>{html.escape(title)}</title>" if title else ""
    faint = f' opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' fill="{colour}"{faint}>{said}</rect>'
    )

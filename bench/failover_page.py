"""Makes the table of docs/explanation/failovers.md of what bench/failover.py measured.

    python bench/failover_page.py [--results FILE]

A row a case and system. Times and counts as median and worst of the trials.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "failovers.md"
RESULTS = ROOT / "docs" / "explanation" / "failovers.json"
MARKS = ("<!-- measured -->\n", "<!-- end -->\n")
CASES = ("kill", "stop", "machine", "planned")
_HEAD = (
    "| case | system | trials | ms to writable | longest pause, ms | lost"
    " | lost by the pinned client | accepted by the old primary | explained |"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    case: str
    system: str
    is_protecting: bool
    to_writable_ms: int | None
    """From the fault to the first write that another server acknowledged; None: none came."""
    pause_ms: int
    """The longest time without an acknowledged write of the client that looks up."""
    lost: int
    lost_pinned: int
    accepted_by_old: int
    """Writes that the old address acknowledged after another one had taken over."""
    explained: list[str] | None
    """The reason of each change of roles, from the event log. None: nothing is written to look
    at."""
    load: float
    """Of the machine, over a minute, at the end."""
    wall_ms: int
    """When it was hurt."""
    run: str = ""
    """Under which circumstances: trials of different ones are not mixed."""

    @property
    def is_explained(self) -> bool:
        return bool(self.explained) and all(self.explained or ())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    trials = read(parser.parse_args().results)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    runs = dict.fromkeys(it.run for it in trials)
    parts = [_run(name, [it for it in trials if it.run == name]) for name in runs]
    text = "\n\n".join([*parts, _reasons(trials), ""])
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}", encoding="utf-8")


def _run(name: str, trials: Sequence[Trial]) -> str:
    title = f"**{_first_upper(name)}.** " if name else ""
    return f"{title}{_facts(trials)}\n\n{table(trials)}"


def read(path: Path) -> list[Trial]:
    return [Trial(**it) for it in json.loads(path.read_text())] if path.exists() else []


def table(trials: Sequence[Trial]) -> str:
    """In Markdown."""
    lines = [_HEAD, "|---|---|---|---|---|---|---|---|---|"]
    groups: dict[tuple[str, bool, str], list[Trial]] = {}
    for it in trials:
        groups.setdefault((it.case, it.is_protecting, it.system), []).append(it)
    for (case, is_protecting, system), found in sorted(groups.items(), key=_row_order):
        times = [it.to_writable_ms for it in found if it.to_writable_ms is not None]
        missing = len(found) - len(times)
        cells = [
            case,
            f"{system}, protected" if is_protecting else system,
            str(len(found)),
            _times(times) + (f", never {missing}" if missing else ""),
            _times([it.pause_ms for it in found]),
            _counts([it.lost for it in found]),
            _counts([it.lost_pinned for it in found]),
            _counts([it.accepted_by_old for it in found]),
            _explained(found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _row_order(item: tuple[tuple[str, bool, str], list[Trial]]) -> tuple[int, bool, str]:
    (case, is_protecting, system), _ = item
    return CASES.index(case), is_protecting, system


def _facts(trials: Sequence[Trial]) -> str:
    days = sorted({datetime.fromtimestamp(it.wall_ms / 1_000, UTC).date() for it in trials})
    loads = sorted(it.load for it in trials)
    return (
        f"Trials of {' and '.join(map(str, days))} on two shared cores; load average at the end"
        f" of a trial {loads[0]:.1f} to {loads[-1]:.1f}, median {statistics.median(loads):.1f}."
        " Median of the trials, in parentheses the worst."
    )


def _reasons(trials: Sequence[Trial]) -> str:
    """The recorded words of the last trial of each case."""
    last = {it.case: it.explained for it in trials if it.explained}
    lines = [
        f"- *{case}*: {'. Then '.join(_first_upper(it) for it in last[case] or ())}."
        for case in CASES
        if case in last
    ]
    return "\n".join(["What the event log says of the last trial of each case:", "", *lines])


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _times(found: Sequence[int]) -> str:
    return f"{round(statistics.median(found)):,} ({max(found):,})" if found else "–"


def _counts(found: Sequence[int]) -> str:
    return f"{round(statistics.median(found)):,} ({max(found):,})" if any(found) else "0"


def _explained(found: Sequence[Trial]) -> str:
    told = [it.is_explained for it in found if it.explained is not None]
    return f"{sum(told)} of {len(told)}" if told else "–"


if __name__ == "__main__":
    main()

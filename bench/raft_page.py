"""Puts the last run of bench/raft.py into docs/explanation/performance.md, between its marks.

python bench/raft_page.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "raft.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
MARKS = ("<!-- measured -->\n", "<!-- end -->\n")


def main() -> None:
    report = json.loads(RESULTS.read_text())
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    lines = [*_facts(report), *_tables(report), *_ratios(report), *_failover(report), ""]
    PAGE.write_text(before + MARKS[0] + "\n".join(lines) + MARKS[1] + after, encoding="utf-8")


def _facts(report: dict[str, Any]) -> list[str]:
    machine = report["machine"]
    loads = sorted(run["load_1_minute"] for run in report["runs"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        "",
        (
            f"Run of {machine['date'][:10]}: {machine['cores']} shared cores of a virtual machine"
            f" ({machine['cpu']}), {machine['memory_mib'] / 1024:.0f} GiB,"
            f" {machine['system'].split('-')[0]},"
            f" Python {machine['python']}, {versions}."
        ),
        (
            f"{report['rounds']} rounds of {report['seconds']:g} s for each cell. Load average"
            f" while it ran: {loads[0]:.1f} to {loads[-1]:.1f}, median"
            f" {statistics.median(loads):.1f}. One fdatasync of 4 KiB before it"
            f" began: p50 {machine['fdatasync_4kib_p50_ms']:.2f} ms,"
            f" p99 {machine['fdatasync_4kib_p99_ms']:.1f} ms."
        ),
    ]


def _tables(report: dict[str, Any]) -> list[str]:
    lines = []
    kinds = dict.fromkeys(cell["machine"] for cell in report["cells"])
    for kind in kinds:
        for size in sorted({cell["command_bytes"] for cell in report["cells"]}):
            cells = [
                cell
                for cell in report["cells"]
                if cell["machine"] == kind and cell["command_bytes"] == size
            ]
            lines += _table(kind, size, cells)
    return lines


def _table(kind: str, size: int, cells: list[dict[str, Any]]) -> list[str]:
    callers = sorted({cell["callers"] for cell in cells})
    lines = [
        "",
        (
            f"**{kind} machine, commands of {size:,} bytes**: writes/s, p50 and p99 in ms, by"
            " callers; of the greatest number of callers also processor time and commits"
        ),
        "",
        "| system | " + " | ".join(map(str, callers)) + " | leader µs/write | commits/write |",
        "|---" * (len(callers) + 3) + "|",
    ]
    for system in dict.fromkeys(cell["system"] for cell in cells):
        row = {cell["callers"]: cell for cell in cells if cell["system"] == system}
        last = row[callers[-1]]
        commits = f"{last['commits_per_write']:.4f}" if last["commits_per_write"] else "–"
        texts = [_cell(row[count]) for count in callers]
        cpu = f"{last['leader_cpu_us_per_write']:.0f}"
        lines.append(f"| {system} | " + " | ".join([*texts, cpu, commits]) + " |")
    return lines


def _cell(cell: dict[str, Any]) -> str:
    return f"{cell['writes_per_s']:,.0f} · {cell['p50_ms']:.2f} · {cell['p99_ms']:.0f}"


def _ratios(report: dict[str, Any]) -> list[str]:
    """Throughput and latency of ours over each rival."""
    lines = [
        "",
        (
            "**Ours, durable, over stock in memory**: writes/s ÷ writes/s (p50 ÷ p50), by callers;"
            " our own machine is set against stock's kv machine"
        ),
        "",
    ]
    callers = sorted({ratio["callers"] for ratio in report["ratios"]})
    lines.append("| stock | machine, bytes | " + " | ".join(map(str, callers)) + " |")
    lines.append("|---" * (len(callers) + 2) + "|")
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for ratio in report["ratios"]:
        name = (ratio["rival"], f"{ratio['machine']}, {ratio['command_bytes']:,}")
        text = f"{ratio['writes_per_s']:.2f} ({ratio['p50']:.2f})"
        rows.setdefault(name, {})[ratio["callers"]] = text
    for (rival, what), row in rows.items():
        cells = " | ".join(row.get(count, "–") for count in callers)
        lines.append(f"| {rival.removeprefix('stock, ')} | {what} | {cells} |")
    return lines


def _failover(report: dict[str, Any]) -> list[str]:
    took = sorted(report["failover_ms"])
    if not took:
        return []
    cuts = {
        (run["system"], run["machine"], run["cuts_in_group"])
        for run in report["runs"]
        if run["cuts_in_group"]
    }
    return [
        "",
        (
            "kill -9 of our leader → first accepted write, proposed at once to another peer:"
            f" median {statistics.median(took):.0f} ms of"
            f" {', '.join(f'{one:.0f}' for one in took)}."
        ),
        "",
        (
            f"Stock's followers said {sum(count for _, _, count in cuts):,} times that they cut"
            f" entries which they had applied, in {len(cuts)} of the groups that send at once;"
            " nobody was killed or cut off."
        ),
    ]


if __name__ == "__main__":
    main()

"""Compares replicated writes of unchanged PySyncObj and of our durable peer, in one run.

    python bench/raft.py [--short] [--seconds S] [--rounds N] [--failovers N] [--only TEXT]
                         [--folder DIR]

Every system is measured once a round, so that a noisy minute hits all alike; the tables at the
end hold medians over the rounds. Three processes on loopback for each row; the callers run inside
the leader's process. The tables and the facts of the machine go to bench/results/raft.json too.
Absolute figures depend on disk, cores and neighbours: compare the rows of one run.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raft_group import Group, fsync_ms, make_certificates, running

RESULTS = Path(__file__).parent / "results" / "raft.json"
OWN = "own"
"""Replicante's own state machine with its store; PySyncObj's counterpart is its kv machine."""
CALLERS = (1, 16, 64, 256)
SIZES = (100, 10_240)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    name: str
    program: str
    given: dict[str, Any] = field(default_factory=dict)
    machines: tuple[str, ...] = ("null", "kv")
    has_tls: bool = False


def _stock(name: str, *, is_batching: bool, has_journal: bool, is_awaited: bool = True) -> System:
    given = {"is_batching": is_batching, "has_journal": has_journal, "is_awaited": is_awaited}
    return System(name=f"stock, {name}", program="raft_stock.py", given=given)


SYSTEMS = (
    _stock("in memory, batching", is_batching=True, has_journal=False),
    _stock("in memory, at once", is_batching=False, has_journal=False),
    _stock("in memory, at once, callbacks", is_batching=False, has_journal=False, is_awaited=False),
    _stock("journal, batching", is_batching=True, has_journal=True),
    _stock("journal, at once", is_batching=False, has_journal=True),
    System(name="ours, durable", program="raft_ours.py", machines=("null", "kv", OWN)),
    System(name="ours, durable, TLS", program="raft_ours.py", machines=("null",), has_tls=True),
)
"""Callers await their answers, except where the name says callbacks."""
OURS = SYSTEMS[5]
RIVALS = SYSTEMS[:3]
"""What stock offers without any durability."""


def main() -> None:
    options = _options()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-raft-") as name:
        folder = Path(name)
        machine = machine_facts(folder)
        print(_facts_line(machine))
        runs = [
            cell
            for number in range(options.rounds)
            for kind in options.machines
            for system in SYSTEMS
            if options.only in system.name and kind in system.machines
            for cell in measure(system, kind, folder / f"round-{number}", options)
        ]
        failovers = measure_failovers(folder, options.failovers) if options.failovers else []
    cells = medians_of(runs)
    ratios = ratios_of(cells)
    _print_medians(cells)
    _print_ratios(ratios, failovers)
    RESULTS.parent.mkdir(exist_ok=True)
    report = {
        "machine": machine,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "cells": cells,
        "runs": runs,
        "ratios": ratios,
        "failover_ms": failovers,
        "took_s": round(time.monotonic() - began_s, 1),
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{report['took_s']} s; written to {RESULTS.relative_to(Path.cwd())}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="measured for each cell and round"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--failovers", type=int, default=20)
    parser.add_argument("--only", default="", help="systems whose name holds this text")
    parser.add_argument("--folder", type=Path, help="where data directories go; a real disk")
    parser.add_argument("--short", action="store_true", help="fewer cells, about a minute")
    options = parser.parse_args()
    options.machines, options.callers, options.sizes = ("null", "kv", OWN), CALLERS, SIZES
    if options.short:
        options.machines, options.callers, options.sizes = ("null",), (1, 256), (100,)
        options.seconds, options.rounds = min(options.seconds, 2.0), 1
        options.failovers = min(options.failovers, 3)
    return options


# --- throughput and latency --------------------------------------------------------------------


_HEAD = "   bytes  callers   writes/s    p50 ms    p99 ms  commits/write  leader CPU µs/write"
_SAME = ("system", "machine", "command_bytes", "callers")


def measure(
    system: System, kind: str, folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    print(f"\n{system.name}, {kind} machine")
    print(_HEAD)
    place = folder / f"{system.name}-{kind}".replace(" ", "_").replace(",", "")
    cells = []
    given = dict(system.given)
    if system.has_tls:
        given["certificates"] = str(make_certificates(folder / "certificates"))
    with running(system.program, place, machine=kind, **given) as group:
        leader = group.ready_leader()
        for size in options.sizes:
            for callers in options.callers:
                result = leader.ask(
                    do="load",
                    callers=callers,
                    command_bytes=size,
                    seconds=options.seconds,
                    warmup_seconds=min(0.5, options.seconds / 4),
                )
                cells.append(
                    {
                        "system": system.name,
                        "machine": kind,
                        **result,
                        "load_1_minute": round(os.getloadavg()[0], 2),
                    }
                )
                _print_cell(result)
        cuts = sum(member.ask(do="status").get("cuts", 0) for member in group.members)
    for cell in cells:
        cell["cuts_in_group"] = cuts
    if cuts:
        print(f"  a follower cut entries that it had applied, {cuts} times in this group")
    return cells


def _print_cell(cell: dict[str, Any]) -> None:
    commits = f"{cell['commits_per_write']:.4f}" if cell["commits_per_write"] else "none"
    notes = f"  {cell['errors']} errors" if cell["errors"] else ""
    if "writes_per_s_range" in cell:
        low, high = cell["writes_per_s_range"]
        notes = f"  {low:>10,.0f} – {high:,.0f}{notes}"
    print(
        f"{cell['command_bytes']:>8,} {cell['callers']:>8} {cell['writes_per_s']:>10,.0f}"
        f" {_ms(cell['p50_ms'])} {_ms(cell['p99_ms'])} {commits:>14}"
        f" {cell['leader_cpu_us_per_write']:>20.1f}{notes}",
        flush=True,
    )


def _ms(value: float | None) -> str:
    return f"{value:>9.2f}" if value is not None else f"{'–':>9}"


def medians_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cell as in the round whose throughput is the median (the lower one of two), with the
    range over all rounds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in runs:
        groups.setdefault(tuple(cell[name] for name in _SAME), []).append(cell)
    cells = []
    for group in groups.values():
        ordered = sorted(group, key=lambda cell: cell["writes_per_s"])
        spread = [ordered[0]["writes_per_s"], ordered[-1]["writes_per_s"]]
        cells.append(ordered[(len(ordered) - 1) // 2] | {"writes_per_s_range": spread})
    return cells


def _print_medians(cells: list[dict[str, Any]]) -> None:
    for kind in dict.fromkeys(cell["machine"] for cell in cells):
        for system in SYSTEMS:
            mine = [c for c in cells if c["machine"] == kind and c["system"] == system.name]
            if mine:
                print(
                    f"\nmedians of {system.name}, {kind} machine\n{_HEAD}       range of writes/s"
                )
            for cell in mine:
                _print_cell(cell)


def ratios_of(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours durable against stock in memory, cell by cell."""
    ratios = []
    for rival in RIVALS:
        for ours in cells:
            stock = next((cell for cell in cells if _is_counterpart(cell, ours, rival)), None)
            if ours["system"] == OURS.name and stock and stock["writes"] and ours["writes"]:
                ratios.append(
                    {
                        "rival": rival.name,
                        "machine": ours["machine"],
                        "command_bytes": ours["command_bytes"],
                        "callers": ours["callers"],
                        "writes_per_s": round(ours["writes_per_s"] / stock["writes_per_s"], 2),
                        "p50": round(ours["p50_ms"] / stock["p50_ms"], 2),
                    }
                )
    return ratios


def _is_counterpart(cell: dict[str, Any], ours: dict[str, Any], rival: System) -> bool:
    kind = "kv" if ours["machine"] == OWN else ours["machine"]
    same = all(cell[name] == ours[name] for name in ("command_bytes", "callers"))
    return bool(cell["system"] == rival.name and cell["machine"] == kind and same)


def _print_ratios(ratios: list[dict[str, Any]], failovers: list[float]) -> None:
    for rival in RIVALS if ratios else ():
        print(f"\n{OURS.name} ÷ {rival.name}: writes/s and p50")
        for ratio in ratios:
            if ratio["rival"] == rival.name:
                print(
                    f"  {ratio['machine']:<5} {ratio['command_bytes']:>7,} bytes"
                    f" {ratio['callers']:>4} callers {ratio['writes_per_s']:>7.2f}×"
                    f" {ratio['p50']:>7.2f}×"
                )
    if failovers:
        print(
            f"\nkill -9 of our leader → first accepted write: median"
            f" {statistics.median(failovers):.0f} ms of"
            f" {', '.join(f'{took_ms:.0f}' for took_ms in sorted(failovers))}"
        )


# --- a killed leader -----------------------------------------------------------------------------


def measure_failovers(folder: Path, count: int) -> list[float]:
    with running(OURS.program, folder / "failover", machine="null") as group:
        return [_fail_over(group) for _ in range(count)]


def _fail_over(group: Group) -> float:
    """Milliseconds from the kill to the acceptance of a write that was proposed at once to
    another peer; then the killed one comes back."""
    leader = group.ready_leader()
    follower = next(member for member in group.members if member is not leader)
    follower.ask(do="write")
    killed_s = time.monotonic()
    leader.kill()
    follower.tell(do="write")
    accepted_s = float(follower.await_answer()["accepted_s"])
    leader.start()
    return round((accepted_s - killed_s) * 1_000, 1)


# --- the machine ---------------------------------------------------------------------------------


def machine_facts(folder: Path) -> dict[str, Any]:
    syncs = fsync_ms(folder)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("replicante", "pysyncobj", "lmdb", "msgpack", "msgspec", "uvloop")
        },
        "load_1_minute": round(os.getloadavg()[0], 2),
        "fdatasync_4kib_p50_ms": round(statistics.median(syncs), 3),
        "fdatasync_4kib_p99_ms": round(syncs[int(len(syncs) * 0.99)], 3),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _facts_line(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['date']}: {machine['cores']} cores of {machine['cpu']},"
        f" {machine['memory_mib']:,} MiB, {machine['system']}, Python {machine['python']},"
        f" load {machine['load_1_minute']}\nfdatasync of 4 KiB: p50"
        f" {machine['fdatasync_4kib_p50_ms']} ms, p99 {machine['fdatasync_4kib_p99_ms']} ms;"
        f" {versions}"
    )


if __name__ == "__main__":
    main()

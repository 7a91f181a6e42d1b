"""Where runs are kept: one folder each, a summary of all, an index for people.

Used by `jlike.cli`, `jlike.campaign` and `jlike.replay`. `conduct` is the one way to make a run.
"""

from __future__ import annotations

import asyncio
import csv
import json
import shlex
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from jlike import environments, report, runner
from jlike.history import Value
from jlike.runner import HARNESS, HarnessBroken, Options, verdict_of
from jlike.verdict import Finding, Verdict

BROKEN = "broken"
"""In place of a verdict: the harness broke, so nothing is known."""
NAMES_MAX = 3
"""Workloads or faults that a folder's name tells; of more it tells how many."""
COLUMNS_BEFORE = (
    *("started", "workloads", "nemeses", "peers", "seconds", "clients", "rate", "seed"),
    *("verdict", "operations", "unanswered", "faults", "terms", "reason", "folder"),
)
"""Of versions that did not tell what a run was made from."""
COLUMNS = (*COLUMNS_BEFORE, "commit", "command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One that came to an end with a verdict."""

    folder: Path
    options: Options
    findings: Sequence[tuple[str, Finding]]

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)

    @property
    def guilty(self) -> list[str]:
        """Workloads that were found invalid."""
        found = {name for name, it in self.findings if it.verdict is Verdict.INVALID}
        return [name for name in self.options.workloads if name in found]

    def said_by(self, name: str) -> str:
        """Why the checkers of this workload, or of the harness, call the run invalid; empty when
        they do not."""
        reasons = (
            it.reason for by, it in self.findings if by == name and it.verdict is Verdict.INVALID
        )
        return next(reasons, "")


def conduct(options: Options, store: Path) -> Run:
    """Makes the run, its page and its line in the summary. Data of a valid run is not kept.

    Raises HarnessBroken, after the summary has its line, and whatever else breaks."""
    folder = _new_folder(options, store)
    _must_fit(store)
    try:
        findings = asyncio.run(runner.run(options, folder))
    except Exception as error:
        _tell_summary(store, folder, options, verdict=BROKEN, reason=str(error) or repr(error))
        raise
    run = Run(folder=folder, options=options, findings=findings)
    if run.verdict is Verdict.VALID:
        for home in (folder / "peers").glob("*/data"):
            shutil.rmtree(home)
    report.write(folder)
    reasons = [it.reason for _, it in findings if it.verdict is run.verdict]
    reason = "" if run.verdict is Verdict.VALID else next(iter(reasons), "")
    _tell_summary(
        store, folder, options, verdict=run.verdict.value, reason=reason, figures=figures(findings)
    )
    report.write_index(store)
    return run


def options_of(folder: Path) -> Options:
    """Of a run that was made. Fields that this version does not know are left out."""
    path = folder / "test.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessBroken(f"no run can be read from {folder}: {error}") from error
    known = {it.name for it in fields(Options)}
    return Options(**{name: value for name, value in found.items() if name in known})


def _commit_of(folder: Path) -> str:
    """As the run told it; empty when it did not come so far."""
    path = folder / "test.json"
    return str(json.loads(path.read_text("utf-8")).get("commit", "")) if path.exists() else ""


def figures(findings: Iterable[tuple[str, Finding]]) -> dict[str, int]:
    """What the columns of the summary count."""
    counts = {"operations": 0, "unanswered": 0, "faults": 0, "terms": 0}
    for workload, finding in findings:
        if finding.checker == "stats":
            counts["operations"] += sum(finding.figures.values())
            counts["unanswered"] += sum(
                count for kind, count in finding.figures.items() if kind.endswith(" info")
            )
        if workload == HARNESS and finding.checker == "faults":
            counts["terms"] += finding.figures.get("terms", 0)
            counts["faults"] += sum(
                count for kind, count in finding.figures.items() if kind != "terms"
            )
    return counts


def command_of(options: Options) -> str:
    """The words that make this run again, as a shell reads them."""
    words = ["jlike", "run", "-w", ",".join(options.workloads)]
    words += ["-n", ",".join(options.nemeses) or "none", "--peers", str(options.peers)]
    words += ["--time", _exact(options.time_s), "--clients", str(options.clients)]
    words += ["--rate", _exact(options.rate), "--seed", str(options.seed)]
    if options.environment != environments.BEST:
        words += ["--environment", options.environment]
    if options.package:
        words += ["--package", options.package]
    if options.program:
        words += ["--program", shlex.join(options.program)]
    if options.urls:
        words += ["--url", ",".join(options.urls)]
    if options.fault_command:
        words += ["--fault-command", options.fault_command]
    return shlex.join(words)


def _exact(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _new_folder(options: Options, store: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    what = _few(options.workloads, "workloads")
    under = _few(options.nemeses, "faults") or "nothing"
    name = f"{stamp}-{what}-under-{under}-{options.seed}"
    folder = store / name
    for number in range(2, 100):  # two runs may begin in one second
        if not folder.exists():
            break
        folder = store / f"{name}-{number}"
    folder.mkdir(parents=True)
    return folder


def _few(names: Sequence[str], noun: str) -> str:
    return "-".join(names) if len(names) <= NAMES_MAX else f"{len(names)}-{noun}"


def _must_fit(store: Path) -> None:
    """Lines below a head that does not name their columns would be lies; a summary of the version
    before gets the columns that it lacks."""
    path = store / "summary.csv"
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = list(csv.reader(file)) or [[]]
    if tuple(head) == COLUMNS:
        return
    if tuple(head) != COLUMNS_BEFORE:
        raise HarnessBroken(f"{path} has other columns than this version: move it away")
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows([*line, "", ""] for line in lines)
    new.replace(path)


def _tell_summary(
    store: Path,
    folder: Path,
    options: Options,
    *,
    verdict: str,
    reason: str,
    figures: Mapping[str, Value] | None = None,
) -> None:
    """One line a run, with all that it takes to make it again. Of what peers were started from
    elsewhere than usual the command tells."""
    path = store / "summary.csv"
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, restval="")
        if is_new:
            rows.writeheader()
        rows.writerow(
            {
                "started": folder.name[:15],
                "workloads": " ".join(options.workloads),
                "nemeses": " ".join(options.nemeses),
                "peers": options.peers,
                "seconds": f"{options.time_s:g}",
                "clients": options.clients,
                "rate": f"{options.rate:g}",
                "seed": options.seed,
                "verdict": verdict,
                "reason": reason,
                "folder": folder.name,
                "commit": _commit_of(folder),
                "command": command_of(options),
                **(figures or {}),
            }
        )

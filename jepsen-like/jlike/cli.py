"""The command `jlike`. Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness itself broke."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from jlike import canary, doctor, judge, report, runner
from jlike.history import BrokenHistory
from jlike.nemesis import KINDS
from jlike.runner import HarnessBroken, Options, verdict_of
from jlike.verdict import Finding, Verdict
from jlike.workload.catalogue import WORKLOADS

HARNESS_BROKE = 3
STORE = "store"
DEFAULT_WORKLOADS = "register,queue,events"
DEFAULT_NEMESES = "partition,kill,pause"
SUMMARY_COLUMNS = [
    *("workloads", "nemeses", "peers", "seconds", "clients", "rate", "seed", "verdict", "reason")
]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had them ignored
        signal.signal(number, signal.default_int_handler)
    try:
        code: int = options.act(options)
    except (HarnessBroken, BrokenHistory, OSError) as error:
        print(f"harness broke: {error}", file=sys.stderr)
        return HARNESS_BROKE
    except KeyboardInterrupt:
        print("interrupted: no verdict", file=sys.stderr)
        return HARNESS_BROKE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jlike", description=__doc__)
    parser.add_argument("--store", type=Path, default=Path(STORE), help="where runs are kept")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="one run: peers, clients, faults, verdict")
    run.add_argument("-w", "--workloads", type=_names(WORKLOADS), default=DEFAULT_WORKLOADS)
    run.add_argument("-n", "--nemeses", type=_names(KINDS), default=DEFAULT_NEMESES)
    run.add_argument("--peers", type=int, default=3)
    run.add_argument("--time", type=float, default=60.0, help="seconds under load")
    run.add_argument("--clients", type=int, default=12)
    run.add_argument("--rate", type=float, default=150.0, help="questions a second, all clients")
    run.add_argument("--seed", type=int, default=None)
    run.add_argument("--url", default="", help="peers of a running cluster; no faults then")
    run.set_defaults(act=_run)
    for name, act, text in (
        ("check", _check, "judge the histories of a run anew"),
        ("report", _report, "make the page of a run anew"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("folder", type=Path)
        command.set_defaults(act=act)
    for name, act, text in (
        ("doctor", _doctor, "what this machine allows, what is skipped and how to get it"),
        ("canary", _canary, "broken servers that must be found out"),
    ):
        commands.add_parser(name, help=text).set_defaults(act=act)
    return parser


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        found = [it for it in text.split(",") if it and it != "none"]
        strange = [it for it in found if it not in known]
        if strange:
            raise argparse.ArgumentTypeError(f"{strange[0]}: one of {', '.join(known)}")
        return found

    return parse


def _run(options: argparse.Namespace) -> int:
    canary.must_sing()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    urls = [it for it in options.url.split(",") if it]
    plan = Options(
        workloads=options.workloads,
        nemeses=[] if urls else options.nemeses,
        peers=len(urls) or options.peers,
        time_s=options.time,
        clients=options.clients,
        rate=options.rate,
        seed=seed,
        urls=urls,
    )
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    names = "-".join((*plan.workloads, "under", *(plan.nemeses or ["nothing"])))
    folder = options.store / f"{stamp}-{names}-{seed}"
    folder.mkdir(parents=True)
    findings = asyncio.run(runner.run(plan, folder))
    verdict = _tell(findings)
    if verdict is Verdict.VALID:
        for home in (folder / "peers").glob("*/data"):
            shutil.rmtree(home)
    print(f"seed {seed}, {report.write(folder)}")
    report.write_index(options.store)
    _summary(options.store, plan, findings, verdict)
    return verdict.exit_code


def _tell(findings: Sequence[tuple[str, Finding]]) -> Verdict:
    for workload, finding in findings:
        print(f"{finding.verdict:8} {workload:9} {finding.checker:13} {finding.reason}")
    verdict = verdict_of(findings)
    print(verdict.upper())
    return verdict


def _summary(
    store: Path, plan: Options, findings: Sequence[tuple[str, Finding]], verdict: Verdict
) -> None:
    """One line a run, with all that it takes to run it again."""
    path = store / "summary.csv"
    is_new = not path.exists()
    reason = next((it.reason for _, it in findings if it.verdict is verdict), "")
    with path.open("a", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        if is_new:
            rows.writerow(SUMMARY_COLUMNS)
        row = [" ".join(plan.workloads), " ".join(plan.nemeses), plan.peers, plan.time_s]
        row += [plan.clients, plan.rate, plan.seed, verdict.value]
        rows.writerow([*row, "" if verdict is Verdict.VALID else reason])


def _check(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    findings = judge.findings_of(folder)
    if not findings:
        raise HarnessBroken(f"no history in {folder}")
    kept = []
    with contextlib.suppress(FileNotFoundError):
        results = json.loads((folder / "results.json").read_text("utf-8"))
        kept = [it for it in results if it["workload"] == runner.HARNESS]
    findings += [
        (
            runner.HARNESS,
            Finding(checker=it["checker"], verdict=Verdict(it["verdict"]), reason=it["reason"]),
        )
        for it in kept
    ]
    (folder / "results.json").write_text(judge.as_json(findings), encoding="utf-8")
    return _tell(findings).exit_code


def _report(options: argparse.Namespace) -> int:
    print(report.write(options.folder))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    for probe in doctor.probes():
        print(f"{'yes' if probe.is_there else 'no':4} {probe.what:22} {probe.hint}")
    return 0


def _canary(options: argparse.Namespace) -> int:
    for name in canary.must_sing():
        print(f"found out: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

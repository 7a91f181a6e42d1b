"""The command `jlike`. Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness itself broke."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import secrets
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from jlike import (
    campaign,
    canary,
    canary_servers,
    canary_stock,
    doctor,
    environments,
    equipment,
    judge,
    mutants,
    replay,
    report,
    runner,
)
from jlike import store as stores
from jlike.defects import DEFECTS
from jlike.history import BrokenHistory
from jlike.nemesis import KINDS
from jlike.runner import HarnessBroken, Options, verdict_of
from jlike.verdict import Finding, Verdict, unknown
from jlike.workload.catalogue import BY_THEMSELVES, WORKLOADS

HARNESS_BROKE = 3
STORE = "store"
DEFAULT_WORKLOADS = "register,queue,events"
DEFAULT_NEMESES = "partition,kill,pause"
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "": 1}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had them ignored
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _hang_up)
    try:
        code: int = options.act(options)
    except (HarnessBroken, BrokenHistory, OSError) as error:
        print(f"harness broke: {error}", file=sys.stderr)
        return HARNESS_BROKE
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("interrupted: no verdict", file=sys.stderr)
        return HARNESS_BROKE
    except Exception:  # noqa: BLE001 - Python's own exit code would read as "invalid"
        traceback.print_exc()
        return HARNESS_BROKE
    return code


def _hang_up(number: int, _: FrameType | None) -> NoReturn:
    """The terminal is gone. It says so itself and through its shell: the second time would break
    off the way out."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A typing mistake is no verdict; argparse would end with 2, which is one here."""
        self.print_usage(sys.stderr)
        self.exit(HARNESS_BROKE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jlike", description=__doc__)
    parser.add_argument("--store", type=Path, default=Path(STORE), help="where runs are kept")
    commands = parser.add_subparsers(required=True)
    _add_run(commands.add_parser("run", help="one run: peers, clients, faults, verdict"))
    _add_all(commands.add_parser("all", help="runs over every pair of workload and fault"))
    again = commands.add_parser("replay", help="the same seed and options again")
    again.add_argument("folder", type=Path)
    again.add_argument("--tries", type=_count, default=3, help="runs until one is invalid")
    again.add_argument("--shrink", action="store_true", help="search for a smaller invalid run")
    again.add_argument("--trials", type=_count, default=12, help="smaller ones to try at most")
    again.set_defaults(act=_replay)
    _add_mutants(commands.add_parser("mutants", help="defects that real processes must show"))
    for name, act, text in (
        ("check", _check, "judge the histories of a run anew"),
        ("report", _report, "make the page of a run anew"),
        ("edn", _edn, "write its histories in the notation of Jepsen"),
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


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("-w", "--workloads", type=_names(WORKLOADS), default=DEFAULT_WORKLOADS)
    run.add_argument("-n", "--nemeses", help=f"of {', '.join(KINDS)}; or none")
    run.add_argument("--peers", type=_count, default=3)
    run.add_argument("--time", type=_seconds, default=60.0, help="under load: 90, 90s, 5m")
    run.add_argument("--clients", type=_count, default=12)
    run.add_argument("--rate", type=float, default=150.0, help="questions a second, all clients")
    run.add_argument("--seed", type=int, default=None)
    run.add_argument("--environment", choices=environments.NAMES, default=environments.BEST)
    run.add_argument("--package", default="", help="folder with a copy that peers start from")
    run.add_argument("--program", default="", help="what starts a peer in place of the product")
    run.add_argument("--url", default="", help="peers of a cluster that runs already")
    run.add_argument("--fault-command", default="", help="with --url: what makes faults there")
    run.set_defaults(act=_run)


def _add_all(all_: argparse.ArgumentParser) -> None:
    names = ",".join
    all_.add_argument("--time", type=_seconds, default=12 * 3_600.0, help="of it all: 12h")
    all_.add_argument("--run-time", type=_seconds, default=60.0, help="of the longest run")
    usual = names(it for it in WORKLOADS if it not in BY_THEMSELVES)
    all_.add_argument("-w", "--workloads", type=_names(WORKLOADS), default=usual)
    all_.add_argument("-n", "--nemeses", type=_names(KINDS), default=names(KINDS))
    all_.add_argument("--seed", type=int, default=None)
    all_.add_argument("--keep", type=int, default=20, help="folders of valid runs that stay")
    all_.set_defaults(act=_all)


def _add_mutants(command: argparse.ArgumentParser) -> None:
    names = [it.name for it in DEFECTS]
    command.add_argument("names", nargs="?", type=_names(names), default=names, help="a,b; or all")
    command.add_argument("--page", type=Path, help="writes the table of the newest results of all")
    command.add_argument("--no-run", action="store_true", help="only the page")
    command.set_defaults(act=_mutants)


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        found = [it for it in text.split(",") if it and it != "none"]
        strange = [it for it in found if it not in known]
        if strange:
            raise argparse.ArgumentTypeError(f"{strange[0]}: one of {', '.join(known)}")
        return found

    return parse


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: as 90, 90s, 5m or 12h")
    return float(found[1]) * UNITS_S[found[2]]


def _run(options: argparse.Namespace) -> int:
    canary.must_sing()
    run = stores.conduct(_options(options), options.store)
    verdict = _tell(run.findings)
    print(f"seed {run.options.seed}, {run.folder / 'index.html'}")
    return verdict.exit_code


def _options(options: argparse.Namespace) -> Options:
    urls = [it for it in options.url.split(",") if it]
    if options.fault_command and not urls:
        raise HarnessBroken("--fault-command is for a cluster that others run: name it by --url")
    if urls and not options.fault_command:
        if options.nemeses not in (None, "none"):
            raise HarnessBroken("faults in a cluster that others run need --fault-command")
        nemeses = []
    elif urls:  # kinds are words of whoever wrote the command
        nemeses = [it for it in (options.nemeses or "kill").split(",") if it]
    else:
        wanted = DEFAULT_NEMESES if options.nemeses is None else options.nemeses
        try:
            nemeses = _names(KINDS)(wanted)
        except argparse.ArgumentTypeError as error:
            raise HarnessBroken(str(error)) from error
    return Options(
        workloads=options.workloads,
        nemeses=nemeses,
        peers=len(urls) or options.peers,
        time_s=options.time,
        clients=options.clients,
        rate=options.rate,
        seed=_seed(options),
        urls=urls,
        fault_command=options.fault_command,
        environment=options.environment,
        package=options.package and str(Path(options.package).resolve()),
        program=tuple(shlex.split(options.program)),
    )


def _seed(options: argparse.Namespace) -> int:
    given: int | None = options.seed
    return secrets.randbelow(campaign.SEEDS) if given is None else given


def _tell(findings: Sequence[tuple[str, Finding]]) -> Verdict:
    for workload, finding in findings:
        print(f"{finding.verdict:8} {workload:13} {finding.checker:13} {finding.reason}")
    verdict = verdict_of(findings)
    print(verdict.upper())
    return verdict


def _all(options: argparse.Namespace) -> int:
    canary.must_sing()
    canary_servers.must_sing()
    seed = _seed(options)
    print(f"campaign seed {seed}", flush=True)
    lacking = _lacking(options.workloads, options.nemeses)
    for name, reason in lacking.items():
        print(f"left out: {name}: {reason}", flush=True)
    matrix = campaign.Matrix(
        workloads=[it for it in options.workloads if it not in lacking],
        nemeses=[it for it in options.nemeses if it not in lacking],
        seed=seed,
        run_s=options.run_time,
    )
    if not campaign.pairs_of(matrix):
        raise HarnessBroken("a campaign needs a workload and a fault at least")
    ends_s = time.monotonic() + options.time
    tally = campaign.campaign(
        matrix,
        options.store,
        conduct=stores.conduct,
        has_time=lambda: time.monotonic() < ends_s,
        tell=lambda line: print(line, flush=True),
        keep=options.keep,
    )
    missing = len(campaign.pairs_of(matrix)) - len(tally.pairs)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.verdicts.items()))
    print(f"{counts or 'no run'}; pairs of workload and fault that never met: {missing}")
    if lacking:
        print(f"not tested, because this machine cannot: {', '.join(lacking)}")
    return tally.exit_code


def _lacking(workloads: Sequence[str], nemeses: Sequence[str]) -> dict[str, str]:
    """Of both, what this machine cannot make → why not. A campaign over the rest says so; a run
    that asks for it is not made at all."""
    reasons = {name: WORKLOADS[name]().lacks() for name in workloads}
    return {name: it for name, it in reasons.items() if it} | equipment.missing(nemeses)


def _replay(options: argparse.Namespace) -> int:
    canary.must_sing()
    verdicts: list[Verdict] = []

    def trial(wanted: Options) -> list[str]:
        for _ in range(options.tries):
            print(stores.command_of(wanted), flush=True)
            run = stores.conduct(wanted, options.store)
            print(f"{run.verdict.upper()} {run.folder.name}", flush=True)
            verdicts.append(run.verdict)
            if run.verdict is Verdict.INVALID:
                return run.guilty or list(wanted.workloads)
        return []

    first = stores.options_of(options.folder)
    guilty = trial(first)
    if not guilty:
        print(f"not invalid in {options.tries} runs")
        return verdicts[-1].exit_code
    if options.shrink:
        smallest = replay.shrunk(first, guilty, trial=trial, trials_max=options.trials)
        print(f"smallest that is still invalid: {stores.command_of(smallest)}")
    return Verdict.INVALID.exit_code


def _mutants(options: argparse.Namespace) -> int:
    canary.must_sing()
    are_found = options.no_run or mutants.hunt(
        [it for it in DEFECTS if it.name in options.names],
        options.store,
        conduct=stores.conduct,
        tell=lambda line: print(line, flush=True),
    )
    if options.page:
        options.page.write_text(mutants.page(options.store), encoding="utf-8")
    return 0 if are_found else Verdict.INVALID.exit_code


def _check(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if not judge.histories(folder):
        raise HarnessBroken(f"no history in {folder}")
    findings = judge.findings_of(folder)
    kept = []
    with contextlib.suppress(FileNotFoundError):
        results = json.loads((folder / "results.json").read_text("utf-8"))
        kept = [it for it in results if it["workload"] == runner.HARNESS]
    findings += [
        (
            runner.HARNESS,
            Finding(
                checker=it["checker"],
                verdict=Verdict(it["verdict"]),
                reason=it["reason"],
                figures=it.get("figures", {}),
            ),
        )
        for it in kept
    ]
    if not kept and (folder / "test.json").exists():
        reason = (
            "the run did not end: nothing says whether faults took effect and all was well again"
        )
        findings.append((runner.HARNESS, unknown("run", reason)))
    (folder / "results.json").write_text(judge.as_json(findings), encoding="utf-8")
    return _tell(findings).exit_code


def _report(options: argparse.Namespace) -> int:
    print(report.write(options.folder))
    return 0


def _edn(options: argparse.Namespace) -> int:
    for path in judge.as_edn(options.folder):
        print(path)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    for probe in doctor.probes():
        print(f"{'yes' if probe.is_there else 'no':4} {probe.what:40} {probe.hint}")
    return 0


def _canary(options: argparse.Namespace) -> int:
    for name in canary.must_sing():
        print(f"found out: {name}", flush=True)
    for said in canary_servers.must_sing():
        print(f"found out: {said}", flush=True)
    if reason := canary_stock.why_not():
        print(f"not tried: stock PySyncObj under power cuts: {reason}")
        return Verdict.UNKNOWN.exit_code
    said = canary_stock.sings(options.store, conduct=stores.conduct)
    if not said:
        raise HarnessBroken("stock PySyncObj under power cuts is not found out")
    print(f"found out: stock PySyncObj under power cuts: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

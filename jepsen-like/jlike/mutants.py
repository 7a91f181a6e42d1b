"""Proves that real processes can be found guilty: starts peers from copies with a defect each.

Called by `jlike mutants`. Each defect meets seed after seed until the checker of its workload says
invalid; then the same run is made on the product itself, which must not be. What came of each is a
line of `mutants.jsonl` in the store, from whose newest lines the page is made.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jlike import store as stores
from jlike.defects import DEFECTS, Defect, Edit, put_in
from jlike.product import PACKAGE, package_of
from jlike.runner import HarnessBroken, Options
from jlike.verdict import Verdict

RUN_S = 20.0
LIMIT_S = 300.0
"""For one defect. A run that began goes on to its end."""
LINES = "mutants.jsonl"
HEAD = (
    "# Defects that real processes are found out by\n\n"
    "Each row is a defect that somebody could write in good faith. `jlike mutants` makes it in a"
    " copy of the package, starts\nthree peers from the copy, and lets them meet one workload under"
    " faults until its checker says invalid; then the same\nrun is made on the product itself, and"
    " must not be invalid. The simulator meets many more: `make mutants`.\n\n"
    "Written by `jlike mutants --page FILE`; the last run was on {day}. Times are of a shared"
    " machine, with the start of the peers\nand the healing.\n\n"
    "| defect | promise that it breaks | workload and faults | seed | said | after |\n"
    "|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """reason: of the checker; empty when the defect survived. seed: of the run that found it."""

    name: str
    day: str
    seed: int
    reason: str
    seconds: float


Conduct = Callable[[Options, Path], stores.Run]


def hunt(
    defects: Sequence[Defect], store: Path, *, conduct: Conduct, tell: Callable[[str], None]
) -> bool:
    """Whether all were found. Raises HarnessBroken when an edit does not fit, or when the product
    itself was found guilty: then it is no proof to find the defect."""
    store.mkdir(parents=True, exist_ok=True)
    fates = []
    with tempfile.TemporaryDirectory(prefix="jlike-mutants-") as folder:
        places = {it.name: _made(it.name, it.edits, Path(folder)) for it in defects}
        true = _made("true", (), Path(folder))
        for defect in defects:
            fate, killer = _hunted(defect, places[defect.name], store, conduct=conduct)
            if killer is not None:
                _must_be_innocent(replace(killer, package=str(true)), defect, store, conduct)
            fates.append(fate)
            tell(f"{fate.name}: {fate.reason or 'SURVIVED'} (seed {fate.seed}, {fate.seconds} s)")
            with (store / LINES).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(fate)) + "\n")
    return all(it.reason for it in fates)


def _made(name: str, edits: Sequence[Edit], folder: Path) -> Path:
    place = folder / name
    put_in(edits, _package(), place)
    found = package_of(place)
    if found != place / PACKAGE:
        raise HarnessBroken(f"peers would be started from {found}, not from the copy {place}")
    return place


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise HarnessBroken(f"no package {PACKAGE} is installed here")
    return Path(next(iter(spec.submodule_search_locations)))


def _hunted(
    defect: Defect, place: Path, store: Path, *, conduct: Conduct
) -> tuple[Fate, Options | None]:
    """What came of it, and the options of the run that found it."""
    started_s = time.monotonic()
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    seed = defect.seed
    while True:
        options = _options(defect, seed=seed, package=place)
        reason = conduct(options, store).said_by(defect.judge or defect.workload)
        seconds = round(time.monotonic() - started_s, 1)
        fate = Fate(name=defect.name, day=day, seed=seed, reason=reason, seconds=seconds)
        if reason:
            return fate, options
        if seconds >= LIMIT_S:
            return fate, None
        seed += 1


def _options(defect: Defect, *, seed: int, package: Path) -> Options:
    return Options(
        workloads=[defect.workload],
        nemeses=list(defect.nemeses),
        time_s=RUN_S,
        clients=defect.clients,
        rate=defect.rate,
        seed=seed,
        package=str(package),
    )


def _must_be_innocent(options: Options, defect: Defect, store: Path, conduct: Conduct) -> None:
    run = conduct(options, store)
    if run.verdict is Verdict.INVALID:
        raise HarnessBroken(f"without {defect.name} the run is invalid too: {run.folder}")


def page(store: Path) -> str:
    """From the newest line of each defect, wherever the store is. One that was not tried yet says
    so; raises HarnessBroken when one survived, or none was tried."""
    path = store / LINES
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    fates = {it["name"]: Fate(**it) for it in map(json.loads, lines)}
    rows = []
    for defect in DEFECTS:
        fate = fates.get(defect.name)
        if fate is not None and not fate.reason:
            raise HarnessBroken(f"{defect.name} survived")
        faults = ", ".join(f"`{it}`" for it in defect.nemeses)
        end = "– | not tried yet | –"
        if fate is not None:
            reason = fate.reason.replace(f"{store.resolve()}/", "").replace("|", "\\|")
            end = f"{fate.seed} | {reason} | {fate.seconds:.0f} s"
        rows.append(
            f"| {defect.name} | {defect.promise} | `{defect.workload}` under {faults} | {end} |"
        )
    if not fates:
        raise HarnessBroken(f"no defect was tried: {path} has no line")
    day = max(it.day for it in fates.values())
    return HEAD.format(day=day) + "\n".join(rows) + "\n"

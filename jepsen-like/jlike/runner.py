"""One run: peers, clients, faults, the end of faults, last reads everywhere, verdict.

Called by `jlike.cli`. Whatever happens, peers and relays are gone at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from jlike import aftermath, environments, equipment, judge, proof, provenance
from jlike.clients import Client
from jlike.fault_command import FaultCommand
from jlike.history import Kind
from jlike.http import API, Http
from jlike.nemesis import Nemesis
from jlike.peers import Peer, Peers
from jlike.product import PACKAGE, package_of
from jlike.recorder import Recorder
from jlike.verdict import Finding, Verdict, worst
from jlike.watch import Watch
from jlike.workload.base import LOG_START, Stage, Workload
from jlike.workload.catalogue import made

REQUEST_S = 5.0
START_S = 60.0
OVERTIME_S = 60.0
"""Beyond the time of the run, for faults that took no effect yet; and again for deeds."""
HARNESS = "harness"
MARK = "jlike/run"
"""A record that says to the next run that one declared something here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """urls: of a cluster that others started. fault_command: makes faults there; without it such a
    cluster gets none. environment: of environments.NAMES. package: folder that holds the package
    peers are started from; empty: the one that is installed. program: words that start a peer, in
    place of the product's; it is told its place as that is, and speaks as much of the API as the
    workloads ask for. scope, begins: as `workload.base.Workload` names them; chosen anew for each
    run with urls."""

    workloads: Sequence[str]
    nemeses: Sequence[str]
    peers: int = 3
    time_s: float = 60.0
    clients: int = 12
    rate: float = 150.0
    seed: int = 0
    urls: Sequence[str] = ()
    fault_command: str = ""
    environment: str = environments.BEST
    package: str = ""
    program: Sequence[str] = ()
    scope: str = ""
    begins: str = LOG_START


class HarnessBroken(Exception):
    """The run could not be made; it says nothing about what was to be tested."""


class Faults(Protocol):
    """Whoever makes them. effects: kind → how often it took effect. breaches: what peers did after
    one and must not, whatever clients saw."""

    @property
    def effects(self) -> Counter[str]: ...

    @property
    def breaches(self) -> Sequence[str]: ...

    async def run(self, *, stop: asyncio.Event) -> None: ...

    async def make_up(self, *, until_s: float) -> None:
        """For what never took effect yet, after `run`; begins nothing after this moment of the
        loop's clock."""

    async def heal(self) -> None: ...

    async def bring_back(self) -> None:
        """After `heal`, in a run that goes on: what takes time and the help of healthy peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody in one run."""

    options: Options
    workloads: Sequence[Workload]
    peers: Peers
    http: Http
    recorder: Recorder
    watch: Watch

    def client(self, workload: Workload, *, seed: str) -> Client:
        return Client(workload, peers=self.peers, http=self.http, recorder=self.recorder, seed=seed)

    def stage(self, workload: Workload, *, stop: asyncio.Event) -> Stage:
        return Stage(
            name=workload.name,
            peers=self.peers,
            http=self.http,
            recorder=self.recorder,
            chance=random.Random(f"{self.options.seed} deeds of {workload.name}"),
            stop=stop,
            leader=self.watch.leader,
        )


async def run(options: Options, folder: Path) -> list[tuple[str, Finding]]:
    """Leaves everything in `folder`: histories, faults, logs, results."""
    is_ours = not options.urls and not options.program
    commit = provenance.of(options.package, is_ours=is_ours)
    _tell(options, folder, commit=commit)
    if options.urls:
        options = await shared(options)
        _tell(options, folder, commit=commit)
    scope, begins = options.scope, options.begins
    workloads = [made(name, scope=scope, begins=begins) for name in options.workloads]
    _must_be_had(workloads, options)
    if options.package:
        must_start_from(Path(options.package))
    peers = Peers()
    async with contextlib.AsyncExitStack() as ends:  # what is put on it last comes first
        recorder = Recorder(folder)
        ends.callback(recorder.close)
        ends.push_async_callback(peers.end)
        for workload in workloads:
            ends.push_async_callback(workload.close)
        if options.urls:
            _must_fit(workloads)
            for number, url in enumerate(options.urls, start=1):
                peers.by_id[f"p{number}"] = Peer(id=f"p{number}", url=url.rstrip("/"))
            http = Http(timeout_s=REQUEST_S)
        else:
            if lacking := equipment.missing(options.nemeses):
                kind, reason = next(iter(lacking.items()))
                raise HarnessBroken(f"no {kind} here: {reason}; jlike doctor tells more")
            environment = environments.choose(
                _environment(options, workloads),
                pids=peers.pids,
                chance=random.Random(f"{options.seed} links"),
            )
            settings = {name: text for it in workloads for name, text in it.settings.items()}
            await peers.lay_out(
                folder,
                count=options.peers,
                environment=environment,
                kinds=options.nemeses,
                settings=settings,
                spares=max(it.spares for it in workloads),
                package=options.package,
                program=options.program,
            )
            http = Http(timeout_s=REQUEST_S, door=peers.door)
        cast = Cast(
            options=options,
            workloads=workloads,
            peers=peers,
            http=http,
            recorder=recorder,
            watch=Watch(peers, http, recorder),
        )
        found = await _with_peers(cast)
    findings = [*judge.findings_of(folder), *found]
    (folder / "results.json").write_text(judge.as_json(findings), encoding="utf-8")
    return findings


def _tell(options: Options, folder: Path, *, commit: str) -> None:
    text = json.dumps({**asdict(options), "commit": commit}, indent=1)
    (folder / "test.json").write_text(text, encoding="utf-8")


def _environment(options: Options, workloads: Sequence[Workload]) -> str:
    """Peers in namespaces of their own are not met by a program that must reach all of them."""
    met = [it.name for it in workloads if it.needs_loopback]
    if met and options.environment == environments.SPACES:
        raise HarnessBroken(f"{met[0]} must reach all peers: --environment relays")
    return environments.RELAYS if met else options.environment


def _must_be_had(workloads: Sequence[Workload], options: Options) -> None:
    for workload in workloads:
        if reason := workload.lacks():
            raise HarnessBroken(f"no {workload.name} here: {reason}; jlike doctor tells more")
        if wrong := sorted(workload.unfit & set(options.nemeses)):
            raise HarnessBroken(f"{workload.name} cannot be judged under {', '.join(wrong)}")


def must_start_from(folder: Path) -> None:
    """Raises HarnessBroken when peers would be started from anything but the copy in there."""
    place = folder.resolve() / PACKAGE
    found = package_of(folder.resolve())
    if found != place or not (place / "__init__.py").exists():
        raise HarnessBroken(f"no package is in {place}: peers would be started from {found}")


def _must_fit(workloads: Sequence[Workload]) -> None:
    for workload in workloads:
        if workload.needs_processes:
            raise HarnessBroken(f"{workload.name} ends and starts peers: it needs peers of ours")


async def shared(options: Options) -> Options:
    """For a cluster that was there before the run: names of its own, and the log from here on.

    Raises HarnessBroken."""
    http, code = Http(timeout_s=REQUEST_S), ""
    for url in options.urls:
        query = "after=head&limit=1&consistency=linearizable"
        answer = await http.ask(url.rstrip("/"), "GET", f"{API}/events?{query}")
        if answer.kind is Kind.OK:
            scope = f"jlike-{secrets.token_hex(4)}-"
            return replace(options, scope=scope, begins=answer.body["head"])
        code = answer.code
    raise HarnessBroken(f"no peer says where its event log ends: {code}")


async def must_be_new(http: Http, url: str) -> None:
    """For what is declared once and looked after from then on. Raises HarnessBroken for a cluster
    where another run did that."""
    answer = await http.ask(
        url, "PUT", f"{API}/kv/{MARK}", {"value": True}, headers={"If-None-Match": "*"}
    )
    if answer.code == "revision_mismatch":
        raise HarnessBroken(
            f"a run of jlike has declared its clusters here before ({MARK} is there), and what it"
            " left would be taken for violations: name an empty cluster"
        )
    if answer.kind is not Kind.OK:
        raise HarnessBroken(f"{MARK} could not be written at {url}: {answer.code}")


async def _with_peers(cast: Cast) -> list[tuple[str, Finding]]:
    peers, watch = cast.peers, cast.watch
    for peer in peers.by_id.values():
        if peer.command:
            peer.start()
    if not await watch.ready(seconds=START_S):
        raise HarnessBroken(f"not every peer was ready within {START_S:.0f} s")
    if cast.options.urls and any(it.needs_new_cluster for it in cast.workloads):
        await must_be_new(cast.http, peers[peers.ids[0]].url)
    stop = asyncio.Event()
    for workload in cast.workloads:
        await workload.open(cast.stage(workload, stop=stop))
        if not await workload.setup(cast.http, peers[peers.ids[0]].url):
            raise HarnessBroken(f"{workload.name} could not be set up")
    await watch.look()
    first_term = max(watch.leaders, default=0)

    def changes() -> int:
        return proof.changes_of_leader(watch.leaders, since=first_term)

    faults = _faults(cast, changes=changes)
    clients = _clients(cast)
    peers.crowd = clients
    try:
        try:
            await _load(cast, clients, faults, stop=stop)
        except ExceptionGroup as group:
            raise HarnessBroken(_words(group)) from group
    finally:
        await faults.heal()
    await faults.bring_back()
    missing = undone(cast.workloads, cast.recorder.succeeded)
    settled = await aftermath.settled(
        cast.workloads,
        client=partial(cast.client, seed="last"),
        stage=partial(cast.stage, stop=asyncio.Event()),
        peers=peers,
        watch=watch,
        recorder=cast.recorder,
    )
    cast.recorder.note("leaders", leaders={str(term): who for term, who in watch.leaders.items()})
    took_effect = proof.of_faults(
        cast.options.nemeses,
        effects=faults.effects,
        breaches=faults.breaches,
        changes=changes(),
        terms=len(watch.leaders),
    )
    found = [settled, proof.of_load(missing), took_effect]
    if not cast.options.urls:
        found.append(proof.of_processes(peers.unasked_ends(), kinds=cast.options.nemeses))
    return [(HARNESS, it) for it in found]


def _faults(cast: Cast, *, changes: Callable[[], int]) -> Faults:
    """changes: of the leader since the load began."""
    chance = random.Random(f"{cast.options.seed} nemesis")
    watch = cast.watch
    if cast.options.fault_command:
        return FaultCommand(
            command=cast.options.fault_command,
            kinds=cast.options.nemeses,
            peers=cast.peers,
            recorder=cast.recorder,
            chance=chance,
            leader=watch.leader,
            changes=changes,
        )
    return Nemesis(
        kinds=cast.options.nemeses,
        peers=cast.peers,
        recorder=cast.recorder,
        chance=chance,
        leader=watch.leader,
        changes=changes,
    )


def _clients(cast: Cast) -> list[Client]:
    """One a workload at least."""
    options, workloads = cast.options, cast.workloads
    return [
        cast.client(workloads[number % len(workloads)], seed=f"{options.seed} client {number}")
        for number in range(max(options.clients, len(workloads)))
    ]


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _load(
    cast: Cast, clients: Sequence[Client], faults: Faults, *, stop: asyncio.Event
) -> None:
    """Clients, deeds and faults until the time is over; then, while clients and deeds go on, what
    the run needs to prove anything: faults that took no effect, deeds that never succeeded."""
    options, workloads = cast.options, cast.workloads
    cast.recorder.note("stages", stage="load")
    time_over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stop=stop, gap_s=len(clients) / options.rate))
        for workload in workloads:
            group.create_task(workload.act(cast.stage(workload, stop=stop)))
        group.create_task(cast.watch.run(stop=stop))
        nemesis = group.create_task(faults.run(stop=time_over)) if options.nemeses else None
        await asyncio.sleep(options.time_s)
        time_over.set()
        cast.recorder.note("stages", stage="overtime")
        if nemesis is not None:
            await asyncio.wait([nemesis])
            await faults.make_up(until_s=asyncio.get_running_loop().time() + OVERTIME_S)
        await _until_done(workloads, cast.recorder)
        stop.set()


async def _until_done(workloads: Sequence[Workload], recorder: Recorder) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OVERTIME_S):
            while undone(workloads, recorder.succeeded):
                recorder.acknowledged.clear()
                await recorder.acknowledged.wait()


def undone(
    workloads: Sequence[Workload], succeeded: Collection[tuple[str, str]]
) -> list[tuple[str, str]]:
    """(workload, f) that never succeeded, of those that are not asked at the end anyhow."""
    return [
        (workload.name, f)
        for workload in workloads
        for f in workload.kinds
        if (workload.name, f) not in succeeded and f not in dict(workload.final())
    ]


def verdict_of(findings: Sequence[tuple[str, Finding]]) -> Verdict:
    return worst(it for _, it in findings)

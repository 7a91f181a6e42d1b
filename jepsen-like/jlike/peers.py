"""Peers of one run as child processes: places, folders, logs, and their certain end.

Used by `jlike.runner`. A process ends with this one, however this one ends: its stdin closes, and
the kernel kills it. How what is tested is called stands in `jlike.product`; its options are known
here only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from jlike import environments, equipment, kernel, product, shim
from jlike.disks import Disk
from jlike.environments import Environment
from jlike.history import Value
from jlike.http import Answer, Http
from jlike.links import Links
from jlike.shim import Page

ASK_S = 5.0
POLL_S = 0.05
WORDS_BYTES = 4_096


@dataclass(slots=True, kw_only=True)
class Peer:
    """One peer: where it is, and its process while there is one. data: its directory. disk: what
    this is on, if not the machine's. page: what is done to its clock and disk, if it is loaded with
    the library for that. joining: words for the start of a directory that was emptied."""

    id: str
    url: str
    command: tuple[str, ...] = ()
    log_path: Path | None = None
    advertised: str = ""
    """Where other peers reach it."""
    data: Path = Path()
    disk: Disk | None = None
    page: Page | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    joining: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    enter: Callable[[], None] = lambda: None
    """Called in the child, between fork and exec: where it belongs."""
    starts: int = 0
    unasked_ends: list[str] = field(default_factory=list)
    """Of its processes, for people: ends that nobody here caused. See `settle`."""
    _excuses: int = 0
    """How many there are who know why it may end by itself."""
    _was_told: bool = False
    """Its process was told to end, and may take its time."""
    _was_killed: bool = False
    _is_settled: bool = True
    """It is known who ended its process, or there was none yet."""

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def state(self) -> str:
        """Of the process, as the kernel names it: T is stopped, - is none."""
        if not self.is_alive or self.process is None:
            return "-"
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()[0]

    @property
    def processor_s(self) -> float:
        """What its process has used; 0 when there is none."""
        if not self.is_alive or self.process is None:
            return 0.0
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        assert self.log_path is not None
        if self.is_alive:
            return
        self.settle()
        self._let_go_of_process()
        environment = {name: text for name, text in os.environ.items() if "REPLICANTE" not in name}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.joining, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment | dict(self.variables),
                preexec_fn=self._before_exec,
            )
        self.starts += 1
        self._was_told = self._was_killed = self._is_settled = False

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    @property
    def last_words(self) -> str:
        """How it ended by itself, for people, without its folder's name. Empty while it runs, or
        when it was killed."""
        if self.log_path is None or self.exit_code is None or self.exit_code < 0:
            return ""
        lines = self.said_since(max(0, self.log_bytes - WORDS_BYTES)).splitlines()
        errors = [it for it in lines if it.startswith("error")] or lines or ["it said nothing"]
        words = errors[-1].replace(f"{self.log_path.parent}/", "")
        return f"{self.id} ended with {self.exit_code}, {words.rstrip('.')}"

    @property
    def was_ended(self) -> bool:
        """Its process was killed or told to end by somebody here: nothing is to be concluded from
        how it ended."""
        return self._was_told or self._was_killed

    def settle(self) -> None:
        """Notes an end that nobody here caused. Before whatever would hide it: a kill, a new start,
        the beginning and the end of an excuse."""
        code = self.exit_code
        if code is None or self._is_settled:
            return
        self._is_settled = True
        is_obedient = self._was_told and code in (0, -signal.SIGTERM)
        if not is_obedient and not self._excuses:
            how = self.last_words or f"{self.id} was ended by {signal.Signals(-code).name}"
            self.unasked_ends.append(f"{how}, when it was told to end" if self._was_told else how)

    def forgive(self) -> None:
        """If its process has ended by itself, whoever calls this knows why."""
        self._is_settled |= self.exit_code is not None

    def excuse(self) -> None:
        """From now on it may end by itself: who says so knows why."""
        self.settle()
        self._excuses += 1

    def expect(self) -> None:
        """The contrary of `excuse`: its process goes on until somebody here ends it."""
        self.settle()
        self._excuses -= 1

    @contextlib.contextmanager
    def may_end(self) -> Iterator[None]:
        """Inside it is excused."""
        self.excuse()
        try:
            yield
        finally:
            self.expect()

    async def ends(self, *, seconds: float) -> bool:
        """By itself, in this time."""
        for _ in range(int(seconds / POLL_S)):
            if not self.is_alive:
                return True
            await asyncio.sleep(POLL_S)
        return False

    @property
    def log_bytes(self) -> int:
        has_log = self.log_path is not None and self.log_path.exists()
        return self.log_path.stat().st_size if self.log_path and has_log else 0

    def said_since(self, log_bytes: int) -> str:
        """What it wrote since its log had this size."""
        assert self.log_path is not None
        return self.log_path.read_bytes()[log_bytes:].decode("utf-8", "replace")

    def _before_exec(self) -> None:
        kernel.end_with_parent()
        self.enter()

    def wipe(self) -> None:
        """It has lost its disk; only of a peer that does not run."""
        assert self.log_path is not None and not self.is_alive
        shutil.rmtree(self.log_path.parent / "data", ignore_errors=True)

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive and self.process is not None:
            self.process.send_signal(number)

    def tell_to_end(self) -> None:
        self.settle()
        if self.is_alive:
            self._was_told = True
            self.signal(signal.SIGTERM)

    def kill(self) -> bool:
        """It is gone, whatever state it was in. Whether it ran until now."""
        if self.process is None:
            return False
        self.settle()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        if self.process.wait() == -signal.SIGKILL and not self._is_settled:
            self._was_killed = self._is_settled = was_alive = True
        else:
            was_alive = False
            self.settle()  # it ended by itself in this very moment
        self._let_go_of_process()
        return was_alive

    def _let_go_of_process(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


class Mortal(Protocol):
    """A client. dies_after_s: of its next question, if that is not answered by then. deaths: how
    often it died."""

    dies_after_s: float | None
    deaths: int


@dataclass(slots=True, kw_only=True)
class Peers:
    """All peers of a run: the members, and spares that have a place and wait to be taken in.
    environment: none when others started the peers. crowd: whoever asks them. away: who is
    kept from serving for longer than a restart takes. lost: of these, who has no files any more."""

    by_id: dict[str, Peer] = field(default_factory=dict)
    spares: dict[str, Peer] = field(default_factory=dict)
    environment: Environment | None = None
    crowd: Sequence[Mortal] = ()
    away: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    @property
    def ids(self) -> list[str]:
        return sorted(self.by_id)

    @property
    def links(self) -> Links:
        assert self.environment is not None
        return self.environment.links

    def __getitem__(self, peer_id: str) -> Peer:
        """Spares too: a fault that chose a member may come when it is one no more."""
        return self.by_id.get(peer_id) or self.spares[peer_id]

    @property
    def everybody(self) -> list[Peer]:
        return [*self.by_id.values(), *self.spares.values()]

    def can_spare(self, peer_id: str) -> bool:
        """Without this one and whoever is away, a majority is left that can go on."""
        return 2 * len({*self.away, peer_id} & set(self.by_id)) < len(self.by_id)

    def pids(self) -> dict[str, int]:
        return {it.id: it.process.pid for it in self.everybody if it.process and it.is_alive}

    def take_in(self, peer_id: str) -> None:
        self.by_id[peer_id] = self.spares.pop(peer_id)
        self.by_id[peer_id].expect()

    def let_go(self, peer_id: str) -> None:
        """Who is removed ends by itself; and who is not taken in yet may."""
        self.spares[peer_id] = self.by_id.pop(peer_id)
        self.spares[peer_id].excuse()

    def unasked_ends(self) -> list[str]:
        """Of all processes so far."""
        for peer in self.everybody:
            peer.settle()
        return [words for peer in self.everybody for words in peer.unasked_ends]

    def door(self, url: str) -> AbstractContextManager[None]:
        """Sockets that are made inside reach this URL of a peer."""
        for peer in self.everybody:
            if self.environment is not None and peer.url == url:
                return self.environment.door(peer.id)
        return contextlib.nullcontext()

    async def ask(self, peer_id: str, method: str, path: str, body: Value = None) -> Answer:
        """For what is done to peers; workloads ask by themselves."""
        http = Http(timeout_s=ASK_S, door=self.door)
        return await http.ask(self[peer_id].url, method, path, body)

    async def lay_out(
        self,
        folder: Path,
        *,
        count: int,
        environment: Environment,
        kinds: Sequence[str],
        settings: Mapping[str, str],
        spares: int = 0,
        package: str = "",
        program: Sequence[str] = (),
    ) -> None:
        """Plans p1, p2, …, equipped for faults of these kinds; starts nothing. settings: options of
        all, besides their places. package, program: as `Options` has them."""
        self.environment = environment
        ids = [f"p{number}" for number in range(1, count + spares + 1)]
        places = await environment.place(ids)
        certificates = folder / "certificates"
        if environment.needs_certificates:
            product.certify(certificates, ids)
        make_disk = equipment.disk_for(kinds)
        if make_disk is not None:
            environments.enter_own_mounts()
        library = shim.build(folder) if equipment.needs_shim(kinds) else None
        copy = {"PYTHONPATH": package} if package else {}
        for peer_id, place in places.items():
            home = folder / "peers" / peer_id
            home.mkdir(parents=True)
            disk = make_disk(home / "disk") if make_disk else None
            page = Page(home / "faults") if library else None
            data = (disk.path if disk else home) / "data"
            own_settings = {
                **settings,
                "--peer-id": peer_id,
                "--peer-data-dir": str(data),
                "--peer-cluster": product.CLUSTER,
                "--raft-listen": place.raft,
                "--raft-advertise": place.advertised,
                "--raft-peers": ",".join(f"{it}={places[it].advertised}" for it in ids[:count]),
                "--http-listen": place.http,
            }
            if environment.needs_certificates:
                own = certificates / "peers" / peer_id
                own_settings |= {
                    "--raft-tls-certificate-file": str(own / "peer.crt"),
                    "--raft-tls-key-file": str(own / "peer.key"),
                    "--raft-tls-ca-file": str(own / "ca.crt"),
                }
            pairs = [part for setting in own_settings.items() for part in setting]
            self.by_id[peer_id] = Peer(
                id=peer_id,
                url=f"http://{place.http}",
                command=(*(program or (*product.PROGRAM, "server")), *pairs),
                log_path=home / "log",
                advertised=place.advertised,
                data=data,
                disk=disk,
                page=page,
                variables=copy | (page.environment(library) if page and library else {}),
                enter=partial(environment.enter, peer_id),
            )
        for peer_id in ids[count:]:
            self.let_go(peer_id)

    async def end(self) -> None:
        """All are killed, then each disk is closed, then the environment: whatever breaks on the
        way, the rest is done before it is raised."""
        async with contextlib.AsyncExitStack() as stack:  # what is put on it last comes first
            if self.environment is not None:
                stack.push_async_callback(self.environment.close)
            for peer in self.everybody:
                if peer.disk is not None and peer.log_path is not None:
                    stack.callback(peer.disk.close, keep=peer.log_path.with_name("data"))
            for peer in self.everybody:
                stack.callback(peer.kill)

    async def end_gently(self, peer: Peer, *, seconds: float) -> bool:
        """SIGTERM. Whether it ran, and ended by itself in this time; it is killed otherwise."""
        process = peer.process if peer.is_alive else None
        peer.tell_to_end()
        await peer.ends(seconds=seconds)
        peer.kill()
        return process is not None and process.returncode != -signal.SIGKILL

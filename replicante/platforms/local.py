"""Makes and removes data store nodes with their agents as processes of this machine. Called by
`cli`; blocks, so an event loop calls it on a thread.

A node is a folder with a record in it; what is not there does not exist. So everything survives the
end of whoever made it, and two that share a directory see the same nodes (a lock orders changes).
An agent belongs to nobody: it is started through a shell that ends, and goes on alone.

Rules: a node's record is on the disk before its process begins; a repeat of a request under the
same id makes what is missing and nothing twice; an id of a node is never given again. Whoever is
cut off between two files leaves what the next change mends: a folder without a record is swept, an
agent that nobody wrote down is found by its command line. Nothing waits without a limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from replicante.durable_file import write_durably
from replicante.errors import Conflict, Invalid, NotFound
from replicante.limits import DEFINITION_NODES_MAX, LOCAL_LOCK_MS_MAX, NAME_PATTERN
from replicante.model.codec import Value
from replicante.orchestrate.actions.oaction_kinds import PlatformCall
from replicante.platforms import local_processes

HOST = "127.0.0.1"
_RECORD, _COUNTER, _PID, _LOG = "node.json", "counter", "agent.pid", "agent.log"
_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How a kind of store is run."""

    command: tuple[str, ...]
    """Of the agent, which starts the store; words in braces are filled in."""
    pid_file: str
    """Of the store, below the folder of the node."""


TEMPLATES = {
    "redis": Template(
        command=(
            *("{python}", "-m", "replicante", "agent", "redis", "--node-id", "{node_id}"),
            *("--cluster-id", "{cluster_id}", "--data-dir", "{data_dir}"),
            *("--port", "{agent_port}", "--redis-port", "{store_port}"),
        ),
        pid_file="data/redis/redis.pid",
    )
}


class LocalNode(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a node, on the disk."""

    cluster_id: str
    node_id: str
    node_class: str
    node_group: str
    store: str
    agent_port: int
    store_port: int
    request_id: str
    """The request that had it made."""

    @property
    def agent_address(self) -> str:
        return f"http://{HOST}:{self.agent_port}"

    @property
    def store_address(self) -> str:
        return f"{HOST}:{self.store_port}"


class NodeGroup(msgspec.Struct, kw_only=True):
    """As in a cluster's definition; more fields may stand beside these."""

    node_class: str = ""


class Definition(msgspec.Struct, kw_only=True):
    cluster_id: str
    store: str
    nodes: dict[str, NodeGroup]


class LocalPlatform:
    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def discover(self) -> dict[str, Value]:
        """The answer to `/discover`."""
        clusters: dict[str, list[Value]] = {}
        for node in self.nodes():
            clusters.setdefault(node.cluster_id, []).append(
                {
                    "agent_address": node.agent_address,
                    "node_class": node.node_class,
                    "node_group": node.node_group,
                    "node_id": node.node_id,
                }
            )
        return {
            "clusters": [
                {"cluster_id": cluster_id, "nodes": nodes}
                for cluster_id, nodes in sorted(clusters.items())
            ]
        }

    def nodes(self) -> list[LocalNode]:
        """By cluster and number. What has no record is no node.

        Raises Invalid for a record that cannot be read: the list would be another without it."""
        found = (_read_record(path) for path in self.directory.glob(f"*/*/{_RECORD}"))
        records = [it for it in found if it is not None]
        return sorted(records, key=lambda node: (node.cluster_id, len(node.node_id), node.node_id))

    def provision(self, request: Value, *, request_id: str) -> dict[str, Value]:
        """request: `{cluster, provision: {node_group_id, count}}`. The answer to `/provision`:
        the nodes of this request, made now or before.  Raises Invalid, OSError."""
        definition, group_id, count = _read_request(request)
        with self._locked():
            self._sweep()
            known = [it for it in self.nodes() if it.cluster_id == definition.cluster_id]
            made = [node for node in known if node.request_id == request_id]
            while len(made) < count:
                made.append(self._record(definition, group_id, request_id))
            for node in made:
                self._start(node)
        return {"count": len(made), "node_ids": [node.node_id for node in made]}

    def deprovision(self, request: Value) -> None:
        """request: `{cluster_id, node_id}`. A node that is gone stays gone.  Raises Invalid,
        OSError."""
        fields = request if isinstance(request, dict) else {}
        cluster_id, node_id = fields.get("cluster_id"), fields.get("node_id")
        if not isinstance(cluster_id, str) or not isinstance(node_id, str):
            raise Invalid("cluster_id and node_id are needed")
        with self._locked():
            self._sweep()
            for node in self.nodes():
                if (node.cluster_id, node.node_id) == (cluster_id, node_id):
                    self._stop(node)
                    # The record goes first: half a folder is no node.
                    (self._folder(node) / _RECORD).unlink()
                    shutil.rmtree(self._folder(node))

    def carry_out(self, call: PlatformCall) -> dict[str, Value]:
        """The answer to a request of an orchestrator action; a repeat is harmless.  Raises as
        the two above."""
        if call.verb == "provision":
            return self.provision(call.body, request_id=call.action_id)
        self.deprovision(call.body)
        return {}

    def revive(self) -> None:
        """Starts the agents that do not run."""
        with self._locked():
            self._sweep()
            for node in self.nodes():
                self._start(node)

    def stop(self) -> None:
        """Ends all agents and stores; the data stays."""
        with self._locked():
            for node in self.nodes():
                self._stop(node)

    def clean(self) -> None:
        """Removes all nodes with their data."""
        for node in self.nodes():
            self.deprovision({"cluster_id": node.cluster_id, "node_id": node.node_id})
        with self._locked():
            self._sweep()
            for counter in self.directory.glob(f"*/{_COUNTER}"):
                counter.unlink()
                counter.parent.rmdir()

    def signal_store(self, node_id: str, number: signal.Signals) -> None:
        """Raises NotFound for a node that is not known, Conflict for a store that does not run."""
        for node in self.nodes():
            if node.node_id == node_id:
                pid = self._store_pid(node)
                if pid is None:
                    raise Conflict(f"The store of {node_id} does not run.")
                os.kill(pid, number)
                return
        raise NotFound(f"There is no node {node_id}.")

    def is_agent_alive(self, node: LocalNode) -> bool:
        return local_processes.living(self._folder(node) / _PID) is not None

    def _record(self, definition: Definition, group_id: str, request_id: str) -> LocalNode:
        counter = self.directory / definition.cluster_id / _COUNTER
        counter.parent.mkdir(parents=True, exist_ok=True)
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        write_durably(counter, str(number))
        taken = {port for it in self.nodes() for port in (it.agent_port, it.store_port)}
        agent_port, store_port = _free_ports(2, taken)
        node = LocalNode(
            cluster_id=definition.cluster_id,
            node_id=f"{definition.cluster_id}-{number}",
            node_class=definition.nodes[group_id].node_class,
            node_group=group_id,
            store=definition.store,
            agent_port=agent_port,
            store_port=store_port,
            request_id=request_id,
        )
        self._folder(node).mkdir()
        write_durably(self._folder(node) / _RECORD, msgspec.json.encode(node).decode())
        return node

    def _start(self, node: LocalNode) -> None:
        if self.is_agent_alive(node):
            return
        command, folder = self._command(node), self._folder(node)
        # One that was started by somebody who was cut off before he wrote it down.
        running = local_processes.with_words(command[1:])
        pid = running[0] if running else local_processes.start(command, log=folder / _LOG)
        local_processes.keep_pid(folder / _PID, pid)

    def _command(self, node: LocalNode) -> list[str]:
        """Of its agent; the words after the program belong to no other node."""
        folder = self._folder(node)
        values = {
            "python": sys.executable,
            "node_id": node.node_id,
            "cluster_id": node.cluster_id,
            "data_dir": str(folder / "data"),
            "agent_port": str(node.agent_port),
            "store_port": str(node.store_port),
        }
        return [word.format(**values) for word in TEMPLATES[node.store].command]

    def _stop(self, node: LocalNode) -> None:
        """The agent first, so that it neither tells of a store that is being ended nor starts it
        again; then the store, also one that just begins and wrote no number down yet."""
        agent_pid = local_processes.living(self._folder(node) / _PID)
        agents = local_processes.with_words(self._command(node)[1:])
        local_processes.end({*agents, *([] if agent_pid is None else [agent_pid])})
        folder = (self._folder(node) / TEMPLATES[node.store].pid_file).parent.resolve()
        names = (str(folder), f":{node.store_port}")
        local_processes.end(local_processes.working_in(folder, names))

    def _store_pid(self, node: LocalNode) -> int | None:
        """A store does not write down when it was born; it works in the folder of its node."""
        path = self._folder(node) / TEMPLATES[node.store].pid_file
        pid = local_processes.living(path)
        if pid is None:
            return None
        try:
            at = Path(f"/proc/{pid}/cwd").readlink()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return None
        return pid if at.is_relative_to(path.parent.resolve()) else None

    def _folder(self, node: LocalNode) -> Path:
        return self.directory / node.cluster_id / node.node_id

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as file:
            self._lock(file)
            yield

    def _lock(self, file: IO[str]) -> None:
        """Raises Conflict when somebody else has it for too long."""
        for _ in local_processes.moments(LOCAL_LOCK_MS_MAX):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        raise Conflict(f"Somebody else is changing {self.directory}.")

    def _sweep(self) -> None:
        """Half a folder is no node: it was being made or removed, and its processes did not begin
        yet or were ended before. Only what counters of ours have named is ours."""
        for counter in self.directory.glob(f"*/{_COUNTER}"):
            for folder in counter.parent.iterdir():
                prefix, _, number = folder.name.rpartition("-")
                is_numbered = prefix == counter.parent.name and number.isdecimal()
                if is_numbered and folder.is_dir() and not (folder / _RECORD).exists():
                    shutil.rmtree(folder)


def _read_request(request: Value) -> tuple[Definition, str, int]:
    fields = request if isinstance(request, dict) else {}
    try:
        definition = msgspec.convert(fields.get("cluster"), Definition)
        wanted = msgspec.convert(fields.get("provision"), dict[str, str | int])
    except msgspec.ValidationError as exc:
        raise Invalid(f"The request is not valid: {exc}") from exc
    group_id, count = wanted.get("node_group_id"), wanted.get("count")
    if not isinstance(group_id, str) or group_id not in definition.nodes:
        known = ", ".join(definition.nodes)
        raise Invalid(f"The group {group_id} is not defined; defined are: {known}.")
    if not isinstance(count, int) or not 0 < count <= DEFINITION_NODES_MAX:
        raise Invalid(f"count must be between 1 and {DEFINITION_NODES_MAX}.")
    if definition.store not in TEMPLATES:
        raise Invalid(f"There is no template for {definition.store}.")
    if _NAME.fullmatch(definition.cluster_id) is None:
        raise Invalid("cluster_id must be a name: it becomes a folder.")
    return definition, group_id, count


def _free_ports(count: int, taken: set[int]) -> list[int]:
    """Ports that nobody listens on now and no record has."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
            if port not in taken:
                found.append(port)
    return found


def _read_record(path: Path) -> LocalNode | None:
    """None: it was removed just now.  Raises Invalid."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LocalNode)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as exc:
        raise Invalid(f"{path} is no record of a node: {exc}") from exc

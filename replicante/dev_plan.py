"""Decides what the processes of a local cluster are: names, ports, folders, commands. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from replicante import limits
from replicante.config import PORT_MAX
from replicante.errors import Invalid

HOST = "127.0.0.1"
LIFELINE_OPTION = "--until-stdin-closes"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPlan:
    """One peer process. arguments: of `replicante`, without the lifeline."""

    id: str
    number: int
    http_port: int
    raft_port: int
    data_dir: Path
    arguments: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def command_line(self) -> str:
        """How a person starts this peer again."""
        return shlex.join(["replicante", *self.arguments])


def plan_peers(
    *, peers_count: int, data_dir: Path, http_port: int, raft_port: int, log_format: str
) -> tuple[PeerPlan, ...]:
    """Peers p1, p2, … on ports base, base + 1, …. Raises `Invalid` for ports that do not fit."""
    if not 1 <= peers_count <= limits.PEERS_MAX:
        raise Invalid(f"A cluster has 1 to {limits.PEERS_MAX} peers.", path="--peers")
    for option, base in (("--http-port", http_port), ("--raft-port", raft_port)):
        if not 1 <= base <= PORT_MAX - peers_count + 1:
            raise Invalid(
                f"The ports {base} to {base + peers_count - 1} are not all between 1 and "
                f"{PORT_MAX}.",
                path=option,
            )
    if abs(http_port - raft_port) < peers_count:
        raise Invalid(
            f"{peers_count} peers need {peers_count} ports from {http_port} on and "
            f"{peers_count} from {raft_port} on: they overlap.",
            path="--raft-port",
        )
    numbers = range(1, peers_count + 1)
    members = ",".join(f"p{number}={HOST}:{raft_port + number - 1}" for number in numbers)
    return tuple(
        PeerPlan(
            id=f"p{number}",
            number=number,
            http_port=http_port + number - 1,
            raft_port=raft_port + number - 1,
            data_dir=data_dir / f"p{number}",
            arguments=(
                "server",
                *("--peer-id", f"p{number}"),
                *("--peer-data-dir", str(data_dir / f"p{number}")),
                *("--raft-listen", f"{HOST}:{raft_port + number - 1}"),
                *("--raft-peers", members),
                *("--http-listen", f"{HOST}:{http_port + number - 1}"),
                *("--telemetry-log-format", log_format),
            ),
        )
        for number in numbers
    )


def check_folders(found: Collection[str], plans: Sequence[PeerPlan], data_dir: Path) -> None:
    """found: names in the data directory. Raises `Invalid` when it holds peers that would be left
    out: a cluster that misses members without knowing why helps nobody."""
    planned = {plan.id for plan in plans}
    known = [f"p{number}" for number in range(1, limits.PEERS_MAX + 1)]
    left_out = [name for name in known if name in found and name not in planned]
    if left_out:
        total = known.index(left_out[-1]) + 1
        raise Invalid(
            f"{data_dir} holds a cluster with {', '.join(left_out)}, which {len(plans)} peers "
            "would leave out.",
            path="--peers",
            hints=[f"Start it with --peers {total}, or choose another --data-dir."],
        )

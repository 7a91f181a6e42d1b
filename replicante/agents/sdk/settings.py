"""How one agent is set up. Pure; made by the program of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTls:
    """PEM files."""

    certificate: Path
    """It names the host of the agent's address."""
    key: Path
    """The private key of the certificate, without a password."""
    client_ca: Path | None = None
    """Whoever calls must show a certificate of this authority. None: anybody may read, and no
    action is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Who the agent is, where it listens, and what it keeps."""

    node_id: str
    """The one that the platform knows this node by."""
    data_dir: Path
    """Holds the actions and the epoch: an agent that loses it forgets whom it must refuse."""
    host: str = "127.0.0.1"
    """Address that it listens on. On another one than this machine's own it takes actions only over
    `tls` with a `client_ca`."""
    port: int = 0
    """0 takes a free one."""
    cluster_id: str | None = None
    """The one that the node is to belong to: calls for another one are refused. None: not known."""
    tls: AgentTls | None = None
    """None: plain HTTP."""
    version: str = ""
    """Of the agent's program."""

    @property
    def takes_actions(self) -> bool:
        """Whoever may act on a store is known by a certificate or by being on this machine."""
        if self.tls is not None:
            return self.tls.client_ca is not None
        return self.host in LOOPBACK

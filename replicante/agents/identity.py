"""Opens the TLS contexts under which agents are asked: who we are, and whom we believe. Touches
files. Called by `client` for each look, and by `server` once at the start.

Rules: an agent's certificate must name the host of its address; a namespace's own bundle is the
only authority of its agents; files are read anew when they change, and files that cannot be used
then leave the context of before in its place: a mistake of ours must not look like a dead agent.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from replicante.errors import InvalidConfig
from replicante.limits import AGENT_CONTEXTS_KEPT_MAX

_Versions = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdentity:
    """PEM files of what this peer shows to agents and, as `authority`, of who signs for agents;
    None: it shows nothing, it believes whom the system believes."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None


class AgentContexts:
    """One a peer. ca_bundle: of a namespace, a path or the PEM itself; None: the identity's."""

    def __init__(self, identity: AgentIdentity) -> None:
        self._identity = identity
        self._kept: OrderedDict[str | None, tuple[_Versions, ssl.SSLContext]] = OrderedDict()
        """Those of the bundles that were used last."""

    def check(self) -> None:
        """Raises InvalidConfig when the files of the identity cannot be used."""
        try:
            self._open(None)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            raise InvalidConfig(f"The TLS files for agents cannot be used: {exc}.") from exc

    def context(self, ca_bundle: str | None) -> ssl.SSLContext:
        """Raises OSError, ValueError for a bundle that could never be used."""
        versions = self._versions(ca_bundle)
        kept = self._kept.pop(ca_bundle, None)
        if kept is None or kept[0] != versions:
            try:
                kept = (versions, self._open(ca_bundle))
            except (OSError, ValueError):
                if kept is None:
                    raise
                # Half written, or gone: what was good goes on, and the next look tries again.
        self._kept[ca_bundle] = kept
        if len(self._kept) > AGENT_CONTEXTS_KEPT_MAX:
            self._kept.popitem(last=False)
        return kept[1]

    def _open(self, ca_bundle: str | None) -> ssl.SSLContext:
        identity = self._identity
        if ca_bundle is None:
            context = ssl.create_default_context(cafile=identity.authority)
        elif _is_text(ca_bundle):
            context = ssl.create_default_context(cadata=ca_bundle)
        else:
            context = ssl.create_default_context(cafile=ca_bundle)
        assert context.check_hostname, "an agent is known by the name in its address"
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if identity.certificate is not None:
            # Without a password: one that has one is refused, and nobody is asked for it.
            context.load_cert_chain(identity.certificate, identity.key, password=_no_password)
        return context

    def _versions(self, ca_bundle: str | None) -> _Versions:
        identity = self._identity
        authority = identity.authority
        if ca_bundle is not None:
            authority = None if _is_text(ca_bundle) else Path(ca_bundle)
        return tuple(map(_version, (identity.certificate, identity.key, authority)))


def _is_text(ca_bundle: str) -> bool:
    return ca_bundle.lstrip().startswith("-----BEGIN")


def _version(path: Path | None) -> tuple[int, int] | None:
    """Changes with the file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _no_password() -> str:
    raise ValueError("the key has a password")

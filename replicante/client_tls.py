"""Opens the TLS contexts under which agents and platforms are asked: who we are, and whom we
believe. Touches files. Called by `agents` and `platforms` for each call, and by `server` at the
start.

Rules: who is asked must be certified for the host of its address; a bundle of its own is its only
authority; files are read anew when they change, and files that cannot be used then leave the
context of before in its place: a mistake of ours must not look like a dead agent.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from replicante.errors import InvalidConfig
from replicante.limits import TLS_CONTEXTS_KEPT_MAX

_Key = tuple[str | None, bool]
_Versions = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """PEM files of what this peer shows to those that it asks and, as `authority`, of who signs for
    them; None: it shows nothing, it believes whom the system believes."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None


class ClientContexts:
    """For one kind of servers. whom: their name in messages. ca_bundle: of one or some of them, a
    path or the PEM itself; None: the identity's. is_verified: False for a server that is to be
    asked whoever it is."""

    def __init__(self, identity: ClientIdentity, *, whom: str) -> None:
        self._identity = identity
        self._whom = whom
        self._kept: OrderedDict[_Key, tuple[_Versions, ssl.SSLContext]] = OrderedDict()
        """Those of the bundles that were used last."""

    def check(self) -> None:
        """Raises InvalidConfig when the files of the identity cannot be used."""
        try:
            self._open(None, is_verified=True)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            raise InvalidConfig(f"The TLS files for {self._whom} cannot be used: {exc}.") from exc

    def context(self, ca_bundle: str | None, *, is_verified: bool = True) -> ssl.SSLContext:
        """Raises OSError, ValueError for a bundle that could never be used."""
        key, versions = (ca_bundle, is_verified), self._versions(ca_bundle)
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] != versions:
            try:
                kept = (versions, self._open(ca_bundle, is_verified=is_verified))
            except (OSError, ValueError):
                if kept is None:
                    raise
                # Half written, or gone: what was good goes on, and the next look tries again.
        self._kept[key] = kept
        if len(self._kept) > TLS_CONTEXTS_KEPT_MAX:
            self._kept.popitem(last=False)
        return kept[1]

    def _open(self, ca_bundle: str | None, *, is_verified: bool) -> ssl.SSLContext:
        identity = self._identity
        if ca_bundle is None:
            context = ssl.create_default_context(cafile=identity.authority)
        elif _is_text(ca_bundle):
            context = ssl.create_default_context(cadata=ca_bundle)
        else:
            context = ssl.create_default_context(cafile=ca_bundle)
        assert context.check_hostname, "who is asked is known by the name in its address"
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
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

"""Decides whether a request may come in at all: when nobody is authenticated, and when the state of
this peer is in quarantine. Pure; called first.

Without authentication the API answers only to this machine, and no web page may reach it: the
`Host` must be a loopback name (a page that re-binds its own name to 127.0.0.1 keeps its name) and
an `Origin` must be that same host and port.
"""

from __future__ import annotations

import ipaddress

from replicante import errors
from replicante.raft.status import Status

LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))


def check_loopback_request(*, host: str | None, origin: str | None) -> None:
    """host, origin: the header values as received.

    Raises Forbidden. A missing Origin is fine: only browsers send one.
    """
    if host is None or _host_name(host) not in LOOPBACK_HOSTS:
        raise errors.Forbidden(
            "This peer runs without authentication and answers only to Host localhost, 127.0.0.1 "
            f"or [::1], not {_shown(host)}.",
            hints=("use http://127.0.0.1:PORT on the machine of the peer",),
        )
    if origin is not None and origin.lower() not in (
        f"http://{host.lower()}",
        f"https://{host.lower()}",
    ):
        raise errors.Forbidden(
            f"A page of {_shown(origin)} may not use this API: the Origin must be this host.",
            hints=("call the API from a program instead of a foreign web page",),
        )


def refuse_quarantined(status: Status) -> None:
    """Raises Quarantined when what this peer has must not be served (ADR 0044)."""
    if status.quarantine is not None:
        raise status.quarantine.error()


def check_bind(host: str, *, is_authenticated: bool) -> None:
    """Raises InvalidConfig when the address is reachable from outside and nobody would be
    asked who they are."""
    if is_authenticated or is_loopback(host):
        return
    raise errors.InvalidConfig(
        f"http.listen {host!r} is reachable from other machines, and no authentication is "
        "configured.",
        hints=(
            "listen on 127.0.0.1, or on localhost",
            "put an authenticating proxy on this machine in front of it",
        ),
    )


def is_loopback(host: str) -> bool:
    """Whether an address to bind is reachable from this machine only. Names are not resolved:
    only `localhost` counts."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """Without the port. `[::1]:80` → `[::1]`."""
    name, colon, port = host.lower().rpartition(":")
    if colon and port.isascii() and port.isdigit() and not host.endswith("]"):
        return name
    return host.lower()


def _shown(value: str | None) -> str:
    return "nothing" if value is None else repr(value[:100])

"""Decides when and where one peer dials another, and does it. Touches asyncio and name lookups.
Started by raft.transport, one `Dialler` for each known peer and channel.
Rules: a name is looked up again for each attempt; a link that stood is redialled at once, a link
that never lasts and an attempt that fails ever later, up to REDIAL_MS_MAX with jitter.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from socket import SOCK_STREAM

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import InvalidConfig
from replicante.ids import PeerId
from replicante.raft.frames import Channel, RefusalCode
from replicante.raft.link_observations import DialFailed, LinkRefused, SelfDialled
from replicante.raft.link_outbound import OutboundLink
from replicante.raft.link_tls import NO_PLAIN_ABROAD, is_plain_allowed, tls_reason
from replicante.raft.links import LinkHost, LinkTimes

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Host name → IP addresses as text, best first. Raises OSError while the name is unknown."""

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[ipv6]:port`. Raises InvalidConfig."""
    match = _ADDRESS.fullmatch(address) if len(address) <= limits.ADDRESS_BYTES_MAX else None
    if match is None or int(match[3]) > 0xFFFF:
        raise InvalidConfig(f"{address!r} is no address: expected host:port or [ipv6]:port")
    return match[1] or match[2], int(match[3])


def is_address(address: str) -> bool:
    """A peer can be dialled there."""
    try:
        return split_address(address)[1] != 0
    except InvalidConfig:
        return False


async def resolve_name(host: str) -> Sequence[str]:
    """As the operating system resolves it; an IP address is its own answer, without a thread."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass  # A name, then.
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class RedialPolicy:
    """How long to wait before the next attempt. Decides only; `fraction` is its jitter."""

    def __init__(self, *, times: LinkTimes, fraction: Callable[[], float]) -> None:
        self._times = times
        self._fraction = fraction
        self._failures_count = 1
        """Since the last link; 0 means that the next attempt may follow at once."""
        self._brief_links_count = 0
        """Links in a row that ended before they settled: they would be redialled for ever
        without a pause when one end dislikes what the other sends first."""

    def after_failure_ms(self) -> int:
        return self._next_ms()

    def after_link_ms(self, *, has_settled: bool) -> int:
        self._brief_links_count = 0 if has_settled else self._brief_links_count + 1
        self._failures_count = max(0, self._brief_links_count - 1)
        return self._next_ms()

    def after_eviction_ms(self) -> int:
        """Dialling again soon cannot help: the other end is this process, or has a newer link."""
        return self._jittered(self._times.redial_ms_max)

    def _next_ms(self) -> int:
        count = self._failures_count
        self._failures_count += 1
        if count == 0:
            return 0
        # Capped in the exponent too: a peer may be away for months.
        delay_ms = self._times.redial_ms_min << min(count - 1, 16)
        return self._jittered(min(delay_ms, self._times.redial_ms_max))

    def _jittered(self, delay_ms: int) -> int:
        return round(delay_ms * (0.5 + self._fraction() / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTarget:
    peer_id: PeerId
    channel: Channel
    address: str
    client_ssl: ssl.SSLContext | None = None


class Dialler:
    """Keeps one outbound link up for as long as `run` runs."""

    def __init__(
        self, host: LinkHost, target: DialTarget, *, resolve: Resolve, entropy: Entropy
    ) -> None:
        self.target = target
        self._host = host
        self._name, self._port = split_address(target.address)
        self._resolve = resolve
        self._policy = RedialPolicy(times=host.times, fraction=entropy.fraction)
        self._link: OutboundLink | None = None
        self._waker = asyncio.Event()
        self._attempts_count = 0
        self._has_stood = False
        self._is_unreachable = False
        """The last attempt met nobody, rather than somebody who refused."""
        self._has_told_self = False

    async def run(self) -> None:
        try:
            while True:
                delay_ms = await self._attempt()
                await self._pause(delay_ms)
        finally:
            if self._link is not None:
                self._link.end("no longer dialled")

    def wake(self) -> None:
        """The peer has just shown that it runs: an attempt that met nobody is repeated now."""
        if self._is_unreachable:
            self._waker.set()

    def renew(self, reason: str) -> None:
        """Ends the link, if there is one, and greets again at once."""
        if self._link is not None:
            self._link.end(reason)
        self._waker.set()

    async def _pause(self, delay_ms: int) -> None:
        if delay_ms > 0:
            try:
                async with asyncio.timeout(delay_ms / 1_000):
                    await self._waker.wait()
            except TimeoutError:
                pass  # Nobody woke it: time to try again.
        self._waker.clear()

    async def _attempt(self) -> int:
        """One attempt, and the link that came of it to its end; then the delay before the next."""
        self._attempts_count += 1
        self._is_unreachable = False
        self._link = None
        link = self._link = await self._connect()
        if link is None:
            self._is_unreachable = True
            return self._policy.after_failure_ms()
        await asyncio.wait([link.ended])
        self._has_stood |= link.peer is not None
        if link.refusal_code in {RefusalCode.SELF, RefusalCode.REPLACED}:
            if link.refusal_code is RefusalCode.SELF:
                self._tell_self()
            return self._policy.after_eviction_ms()
        if link.peer is not None:
            self._attempts_count = 0
            return self._policy.after_link_ms(has_settled=link.has_settled)
        if not link.was_refused:
            self._is_unreachable = True
            self._tell_failed(link.end_reason)
        return self._policy.after_failure_ms()

    async def _connect(self) -> OutboundLink | None:
        """A connection whose greeting is under way; None, and reported, when there is none."""
        try:
            async with asyncio.timeout(self._host.times.lookup_ms_max / 1_000):
                hosts = await self._resolve(self._name)
        except (OSError, UnicodeError) as error:
            self._tell_failed(f"the name {self._name} is not resolved: {_text(error)}")
            return None
        refused_count, reasons = 0, []
        for host in hosts[: limits.DIAL_ADDRESSES_MAX]:
            if self.target.client_ssl is None and not is_plain_allowed(host):
                reasons.append(f"{host} {NO_PLAIN_ABROAD}")
                continue
            try:
                link = await self._open(host)
                if not link.is_echo:
                    return link
                raise ConnectionRefusedError("nobody listens there")
            except ConnectionRefusedError as error:
                refused_count += 1
                reasons.append(_text(error))
            except OSError as error:
                reasons.append(tls_reason(error) if self.target.client_ssl else _text(error))
        if reasons and refused_count == len(reasons):
            self._tell_refused(reasons[0])
        else:
            self._tell_failed("; ".join(reasons) or f"the name {self._name} has no address")
        return None

    async def _open(self, host: str) -> OutboundLink:
        target = self.target
        async with asyncio.timeout(self._host.times.dial_ms_max / 1_000):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: OutboundLink(self._host, peer_id=target.peer_id, channel=target.channel),
                host,
                self._port,
                # The certificate names the peer, not its address: the greeting is judged by it.
                ssl=target.client_ssl,
                ssl_shutdown_timeout=(
                    self._host.times.handshake_ms_max / 1_000 if target.client_ssl else None
                ),
            )
        return link

    def _tell_refused(self, reason: str) -> None:
        target = self.target
        self._host.observe(
            LinkRefused(
                peer_id=target.peer_id,
                channel=target.channel,
                address=target.address,
                reason=reason,
                follows_loss=self._has_stood,
            )
        )

    def _tell_failed(self, reason: str) -> None:
        target = self.target
        self._host.observe(
            DialFailed(
                peer_id=target.peer_id,
                channel=target.channel,
                address=target.address,
                reason=reason,
                attempt=self._attempts_count,
            )
        )

    def _tell_self(self) -> None:
        if not self._has_told_self:
            self._has_told_self = True
            self._host.observe(
                SelfDialled(peer_id=self.target.peer_id, address=self.target.address)
            )


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "no answer in time"

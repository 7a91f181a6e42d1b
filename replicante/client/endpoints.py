"""Decides which endpoint is asked next. Pure; called by `calls` and `follow`.

Rule: stay with the peer that answered last; one that could not be reached is asked last for a
while, and never left out, because it may be the only one that works.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from replicante import limits
from replicante.errors import Invalid

AVOID_MS_MIN = 500
AVOID_MS_MAX = 8_000
"""An unreachable endpoint is avoided for the least time, doubled at each further failure."""


def normalise(endpoint: str) -> str:
    """`http://host:port` in one spelling. Raises `Invalid` for what is no such URL."""
    text = endpoint.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        is_right = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and parts.path in ("", "/")
            and not (parts.query or parts.fragment or parts.username)
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise Invalid(
            f"{endpoint!r} is no endpoint: an endpoint is as http://127.0.0.1:16016.",
            path="endpoints",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


class Endpoints:
    """The peers that a client may ask. Not for several threads."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        """Raises `Invalid` when there is none, too many, or one that is no URL."""
        urls = tuple(dict.fromkeys(normalise(endpoint) for endpoint in endpoints))
        if not 1 <= len(urls) <= limits.CLIENT_ENDPOINTS_MAX:
            raise Invalid(
                f"A client needs 1 to {limits.CLIENT_ENDPOINTS_MAX} endpoints; "
                f"these are {len(urls)}.",
                path="endpoints",
            )
        self.urls = urls
        self._preferred = urls[0]
        self._failures: dict[str, int] = {}
        self._avoid_until_ms: dict[str, int] = {}

    def next(self, tried: Collection[str], *, now_ms: int) -> str | None:
        """The endpoint to ask after those that were tried; None when all of them were."""
        start = self.urls.index(self._preferred)
        order = self.urls[start:] + self.urls[:start]
        left = [url for url in order if url not in tried]
        return min(left, key=lambda url: self._avoided_ms(url, now_ms), default=None)

    def answered(self, url: str) -> None:
        """It served a call: stay with it, if it is one of ours; a call may name another."""
        if url in self.urls:
            self._preferred = url
        self._failures.pop(url, None)
        self._avoid_until_ms.pop(url, None)

    def failed(self, url: str, *, now_ms: int) -> None:
        """It could not be reached or did not answer."""
        failures_count = self._failures.get(url, 0) + 1
        self._failures[url] = failures_count
        avoid_ms = min(AVOID_MS_MAX, AVOID_MS_MIN << min(failures_count - 1, 10))
        self._avoid_until_ms[url] = now_ms + avoid_ms

    def _avoided_ms(self, url: str, now_ms: int) -> int:
        return max(0, self._avoid_until_ms.get(url, 0) - now_ms)

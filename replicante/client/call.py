"""One request and its answer, whichever endpoint they pass through. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante import limits
from replicante.wire import headers as names


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, whichever endpoint it goes to."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_ms: int = limits.REQUEST_DEADLINE_MS_DEFAULT
    wait_ms: int = 0
    """A blocking read: the peer may keep it this long on purpose."""
    is_write: bool = False
    idempotency_key: str | None = None
    is_local: bool = False
    """About the peer itself, not about replicated state: takes no deadline, shows no index."""
    endpoint: str | None = None
    """Ask this one and no other."""

    @property
    def is_repeatable(self) -> bool:
        return not self.is_write or self.idempotency_key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A successful answer."""

    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def index(self) -> int | None:
        return whole_number(self.headers.get(names.INDEX, ""))

    @property
    def clock_ms(self) -> int | None:
        """Cluster clock that the answering peer knew."""
        return whole_number(self.headers.get(names.CLOCK_MS, ""))

    @property
    def served_by(self) -> str:
        return self.headers.get(names.SERVED_BY, "")

    @property
    def leader(self) -> str:
        return self.headers.get(names.LEADER, "")

    @property
    def staleness_ms(self) -> int | None:
        return whole_number(self.headers.get(names.STALENESS_MS, ""))


def whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None

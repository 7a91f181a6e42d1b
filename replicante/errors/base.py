"""What every error says of itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class ReplicanteError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    definite: ClassVar[bool] = False
    """It certainly did not happen."""
    retry: ClassVar[bool] = False
    """The same again, in a moment or at another peer, may well succeed."""

    def __init__(
        self, message: str | None = None, *, hints: Sequence[str] = (), **details: Any
    ) -> None:
        """details: JSON-compatible values that a program may want, copied into the problem
        body."""
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.hints = tuple(hints)
        self.details = details
        super().__init__(self.message)

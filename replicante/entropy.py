"""The only source of randomness. Everything else receives an `Entropy`."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Entropy(Protocol):
    def fraction(self) -> float:
        """0 ≤ fraction < 1; for jitter and election timeouts."""
        ...

    def token(self) -> str:
        """32 hex digits, unguessable; for incarnations and request ids."""
        ...


class SystemEntropy:
    def fraction(self) -> float:
        return random.random()

    def token(self) -> str:
        return secrets.token_hex(16)

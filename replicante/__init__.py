"""Replicante runs clusters of data stores from a control plane that needs nothing but itself."""

from __future__ import annotations

__version__ = "0.1.0"

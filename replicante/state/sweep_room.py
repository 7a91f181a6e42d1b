"""How much one entry may still sweep. Pure; made by `sweeps`, used up by `apply_leases` and
`queue_moves`.

A job that is given back is written anew with its body: without a bound of bytes, hundreds of large
ones that end together would hold up every peer for as long as it takes to write them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SweepRoom:
    """records_left: at first as many as one entry may sweep. bytes_left: of the rows of jobs among
    them. The last one may go beyond it, so that one of any size is always swept."""

    records_left: int
    bytes_left: int

    @property
    def is_left(self) -> bool:
        return self.records_left > 0 and self.bytes_left > 0

    def note(self, *, size_bytes: int = 0) -> None:
        """One more record was swept."""
        self.records_left -= 1
        self.bytes_left -= size_bytes

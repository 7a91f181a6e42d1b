"""What the state on disk showed at one instant. Made by lmdb_store, read by state.queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the store makes its views
    from replicante.storage.lmdb_store import LmdbStore


class LmdbView:
    """What the store showed when the view was taken, until something is written."""

    __slots__ = ("_active", "_applied_index", "_epoch", "_layers", "_store", "_written_bytes")

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        self._layers = store._layers
        self._active = store._active
        self._written_bytes = store._active.written_bytes
        self._epoch = store._epoch
        self._applied_index = store._applied_index

    @property
    def applied_index(self) -> int:
        return self._applied_index

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._store._read(self._layers, key)

    def scan(
        self, start: bytes, end: bytes, *, is_reversed: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        rows = self._store._scan(
            self._layers, start, end, is_reversed=is_reversed, epoch=self._epoch
        )
        for row in rows:
            yield row
            self._check()

    def close(self) -> None:
        self._epoch = -1

    def __enter__(self) -> LmdbView:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> None:
        assert (
            self._epoch == self._store._epoch and self._written_bytes == self._active.written_bytes
        ), "a view was read after a write or its close"

"""What any LMDB environment and its files can be asked for, whatever they hold. IO; called by
log_store and snapshot_files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import lmdb
import lmdb.verify

_COPY_BYTES = 1 << 20


def find_cut(environment: lmdb.Environment, folder: Path) -> str | None:
    """What is missing; None when nothing is. Raises lmdb.Error.

    A page beyond the end of the file would kill this process when it is read. LMDB may leave pages
    at the end unwritten that it allocated and freed in one transaction, so a short file alone
    proves nothing: then every page is walked.
    """
    bytes_min = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (folder / "data.mdb").stat().st_size >= bytes_min:
        return None
    try:
        problems = lmdb.verify.verify(str(folder))  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        return str(error)
    return str(problems[0]) if problems else None


def delete_below(txn: lmdb.Transaction, table: lmdb._Database, key: bytes) -> None:
    with txn.cursor(db=table) as cursor:
        found = cursor.first()
        while found and bytes(cursor.key()) < key:
            found = cursor.delete()


def copy_durably(source: Path, target: Path) -> None:
    """The content is on disk when it returns; the name, when its directory is. Raises OSError."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _COPY_BYTES)
        writer.flush()
        os.fsync(writer.fileno())


def sync_directories(*paths: Path) -> None:
    """A durable file under a name that a power cut may forget would not be durable."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

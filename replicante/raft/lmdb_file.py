"""What any LMDB environment and its files can be asked for, whatever they hold. IO; called by
log_store and snapshot_files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import lmdb
import lmdb.verify

from replicante.disk_room import NO_ROOM, no_room_to_start
from replicante.errors import CorruptData, FatalError, StartRefused, UnsupportedFormat
from replicante.lmdb_commits import find_commit_damage
from replicante.lmdb_pages import MAGIC, META_BYTES, META_PAGES, PAGE_BYTES, parse_meta_page

_COPY_BYTES = 1 << 20


def find_damage(folder: Path) -> str | None:
    """What is wrong with the pages of the environment in `folder`, which nobody has open; None when
    nothing is, or there is none. Takes about a tenth of a second for 64 MiB.

    LMDB trusts its pages: a flipped bit in one that holds no record, or a page beyond the end of
    the file, ends the process, or makes a table look empty and the end of a log missing, without a
    word. So they are walked first, by the verifier of LMDB's package, which is safe with any bytes.
    What it cannot read at all LMDB refuses. The walk begins where the meta pages lead, so these are
    proved before.
    """
    file = folder / "data.mdb"
    damage = find_commit_damage(file)
    if damage is not None:
        return damage
    try:
        if file.stat().st_size == 0:
            return None
        problems = lmdb.verify.verify(str(folder))  # type: ignore[no-untyped-call]
    except (OSError, lmdb.verify.VerifyError):
        return None
    return str(problems[0]) if problems else None


def was_cut_off_at_birth(file: Path) -> bool:
    """Whether nothing was ever kept in this LMDB file: its process ended within LMDB's very first
    write, of both meta pages at once, so it is shorter than these. Commit 2 writes page 0 again:
    as long as that tells of commit 0, at most the names of tables were committed. False where that
    cannot be read."""
    try:
        with file.open("rb") as stream:
            head, size_bytes = stream.read(META_BYTES), os.fstat(stream.fileno()).st_size
    except OSError:
        return False
    meta = parse_meta_page(0, head)
    is_first = meta.magic == MAGIC and meta.commit == 0 and meta.page_bytes in PAGE_BYTES
    return is_first and META_BYTES <= size_bytes < META_PAGES * meta.page_bytes


def not_opened(
    folder: Path, error: lmdb.Error, *, map_bytes: int, way_out: tuple[str, ...]
) -> StartRefused:
    """What an error of LMDB means to the person who starts this peer.

    way_out: for a file that is damaged. Nobody is told to give up one that only cannot be opened
    here: a group of which every peer was told so after an upgrade would wipe itself.
    """
    # A newer format is refused by the package before LMDB sees it, without a code of LMDB.
    if isinstance(error, lmdb.VersionMismatchError) or not error.code:
        return UnsupportedFormat(
            f"{folder} was written by another version of LMDB: {error}",
            hints=("run the version of Replicante that wrote it",),
        )
    if error.code == errno.ENOMEM:
        return StartRefused(
            f"{folder} needs {map_bytes} bytes of address space, which this process may not have",
            hints=("nothing is damaged: raise `ulimit -v`",),
        )
    if error.code == errno.EIO or error.code < 0:
        # The disk does not give it back, or LMDB says that it is none of its files.
        return CorruptData(f"{folder} cannot be opened: {error}", hints=way_out)
    return StartRefused(
        f"{folder} cannot be opened: {os.strerror(error.code)}",
        hints=("nothing is damaged: give this user the right to read and write its files",),
    )


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


@contextlib.contextmanager
def disk_failures_told(folder: Path) -> Iterator[None]:
    """At a start: a disk that fails is told as such. Raises DiskFull, FatalError for OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise no_room_to_start(folder, error) from error
        raise FatalError(
            f"the disk of {folder} failed: {error.strerror}",
            hints=("look at this disk; when it is well again, start this peer again",),
        ) from error


def sync_upwards(folder: Path) -> None:
    """Its names, its own, and that of every folder above it on its disk: any of them may be new.
    One that may not be read is older than this program. Raises OSError."""
    device = folder.stat().st_dev
    for path in (folder, *folder.resolve().parents):
        if path.stat().st_dev != device:
            return
        with contextlib.suppress(PermissionError):
            sync_directories(path)


def keep_names(*paths: Path) -> None:
    """As `sync_directories`, at a start: raises as `disk_failures_told`."""
    with disk_failures_told(paths[0]):
        sync_directories(*paths)


def sync_directories(*paths: Path) -> None:
    """A durable file under a name that a power cut may forget would not be durable."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Reads and writes keys and certificates. Touches files. Called by the other files of this room.
Rule: readers see a whole file or folder, or none; a new one never takes the place of another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from replicante import limits
from replicante.errors import Conflict, Invalid, NotFound, ReplicanteError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
FOLDER_MODE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    body: bytes
    is_secret: bool = False
    """Readable by its owner only."""


def read(path: Path) -> bytes:
    """Raises NotFound or Invalid, with the path in the message."""
    try:
        with path.open("rb") as stream:
            body = stream.read(limits.PEM_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound(f"There is no file {path}.") from exc
    except OSError as exc:
        raise Invalid(f"{path} cannot be read: {exc.strerror}.") from exc
    if len(body) > limits.PEM_BYTES_MAX:
        raise Invalid(f"{path} is larger than {limits.PEM_BYTES_MAX} bytes: it is no PEM file.")
    return body


def write_folder(folder: Path, contents: Mapping[str, Content]) -> None:
    """Makes the folder with these files at once. Raises Conflict when there is one already."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with _told_as_written(folder):
        try:
            folder.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            if folder.exists():
                raise Conflict(f"{folder} exists already; nothing was changed.")
            draft.mkdir(mode=FOLDER_MODE)
            for name, content in contents.items():
                _write(draft / name, content)
            _sync(draft)
            draft.rename(folder)  # fails when another process has just filled one
            _sync(folder.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def replace(path: Path, content: Content) -> None:
    """Replaces one file as a whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _told_as_written(path):
        try:
            _write(draft, content)
            draft.replace(path)
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def _write(path: Path, content: Content) -> None:
    mode = SECRET_MODE if content.is_secret else PUBLIC_MODE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content.body)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told_as_written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ReplicanteError(f"{path} cannot be written: {exc.strerror}.") from exc

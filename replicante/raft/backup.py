"""A backup: the whole state in one file, and a manifest that says what it is (ADR 0060). IO; called
by peer_snapshots and restoring.

The manifest takes its name last, when everything it names is durable: a folder without one is no
backup.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from replicante.errors import Conflict, CorruptData, InvalidConfig, UnsupportedFormat
from replicante.raft.lmdb_file import sync_upwards
from replicante.raft.log import Base
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import cluster_id_of
from replicante.raft.snapshot_digest import new_digest
from replicante.raft.snapshot_files import measure

FORMAT = 1
STATE = "state"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Bytes are in hex, so that people and other programs can read it."""

    cluster_name: str
    cluster_id: str
    genesis: str
    """Payload of the first entry, whose hash is the cluster id."""
    generation: int
    made_by: str
    made_wall_ms: int
    index: int
    """The state holds what every entry up to here did, and nothing else."""
    term: int
    clock_ms: int
    chain: str
    configuration_index: int
    configuration: str
    state_bytes: int
    state_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What was made."""

    folder: str
    made_by: str
    index: int
    state_bytes: int
    state_digest: str


def describe(
    header: LogHeader, base: Base, measured: tuple[int, bytes], *, wall_ms: int
) -> Manifest:
    """measured: size and digest of the state, which is as of `base`."""
    size_bytes, digest = measured
    return Manifest(
        cluster_name=header.cluster_name,
        cluster_id=header.cluster_id,
        genesis=header.birth_lock.hex(),
        generation=header.generation,
        made_by=header.peer_id,
        made_wall_ms=wall_ms,
        index=base.index,
        term=base.term,
        clock_ms=base.clock_ms,
        chain=base.chain.hex(),
        configuration_index=base.configuration_index,
        configuration=base.configuration.hex(),
        state_bytes=size_bytes,
        state_digest=digest.hex(),
    )


def begin_backup(folder: Path) -> Path:
    """Makes the folder; where the state goes. Raises Conflict, OSError."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict(
            f"{folder} exists already", hints=("name a new folder for each backup",)
        ) from error
    return folder / STATE


def end_backup(folder: Path, manifest: Manifest) -> None:
    """From here on it is a backup, durably. Raises OSError."""
    fields = {"format": FORMAT, **asdict(manifest)}
    text = json.dumps({**fields, "checksum": _checksum(fields)}, indent=1)
    fresh = folder / f"{MANIFEST}.new"
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(folder / MANIFEST)
    sync_upwards(folder)


def drop_backup(folder: Path) -> None:
    """What nobody was told of, its manifest first. Raises OSError."""
    for path in (folder / MANIFEST, folder / f"{MANIFEST}.new", folder / STATE):
        path.unlink(missing_ok=True)
    folder.rmdir()


def read_manifest(folder: Path) -> Manifest:
    """Raises InvalidConfig for a folder that is no backup, CorruptData, UnsupportedFormat."""
    try:
        fields = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError as error:
        raise InvalidConfig(f"{folder} is no backup: it has no {MANIFEST}") from error
    except ValueError as error:
        raise CorruptData(f"{folder}/{MANIFEST} is damaged: {error}") from error
    if not isinstance(fields, dict):
        raise CorruptData(f"{folder}/{MANIFEST} is damaged: it is no object")
    if fields.pop("checksum", None) != _checksum(fields):
        raise CorruptData(f"{folder}/{MANIFEST} does not match its checksum")
    version = fields.pop("format", None)
    if version != FORMAT:
        raise UnsupportedFormat(
            f"the backup {folder} has format {version}; this program reads {FORMAT}",
            hints=("use the version of Replicante that wrote it, or a newer one",),
        )
    manifest = Manifest(**fields)
    if cluster_id_of(bytes.fromhex(manifest.genesis)) != manifest.cluster_id:
        raise CorruptData(f"the cluster id in {folder}/{MANIFEST} is not that of its first entry")
    return manifest


def check_state(folder: Path, manifest: Manifest) -> Path:
    """Where the state is; reads all of it. Raises CorruptData."""
    state = folder / STATE
    try:
        found = measure(state)
    except FileNotFoundError as error:
        raise CorruptData(f"{state} is missing") from error
    if found != (manifest.state_bytes, bytes.fromhex(manifest.state_digest)):
        raise CorruptData(f"{state} is not what {folder}/{MANIFEST} describes")
    return state


def _checksum(fields: dict[str, object]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return new_digest(text.encode()).hexdigest()

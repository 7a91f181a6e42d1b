"""Named sets of endpoints in the user's configuration folder.

Called by the `context` commands and by every command that speaks to a cluster.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from replicante import limits
from replicante.client.endpoints import Endpoints
from replicante.errors import Conflict, Invalid, NotFound, ReplicanteError

FILE_BYTES_MAX = limits.MIB


class Context(msgspec.Struct, frozen=True, kw_only=True):
    endpoints: tuple[str, ...]


class Contexts(msgspec.Struct, frozen=True, kw_only=True):
    """current: name of the one that is used when nothing else is said."""

    current: str | None = None
    contexts: dict[str, Context] = {}

    def get(self, name: str) -> Context:
        """Raises `NotFound`."""
        found = self.contexts.get(name)
        if found is None:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise NotFound(
                f"There is no context {name!r}.",
                hints=[f"Known contexts: {known}. Add one with replicante context add."],
            )
        return found


def contexts_path(environment: Mapping[str, str]) -> Path:
    """Raises `Invalid` when the user has no folder."""
    root = environment.get("XDG_CONFIG_HOME")
    if root and Path(root).is_absolute():
        return Path(root) / "replicante" / "contexts.json"
    try:
        return Path.home() / ".config" / "replicante" / "contexts.json"
    except RuntimeError as exc:
        raise Invalid("There is no home directory: set XDG_CONFIG_HOME.") from exc


def read_contexts(path: Path) -> Contexts:
    """None yet when there is no file. Raises `Invalid` for a file that cannot be read."""
    try:
        with path.open("rb") as stream:
            return msgspec.json.decode(stream.read(FILE_BYTES_MAX), type=Contexts)
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except OSError as exc:
        raise Invalid(f"The contexts in {path} cannot be read: {exc.strerror}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Invalid(
            f"The contexts in {path} cannot be read: {exc}.",
            hints=["Repair the file, or remove it and add the contexts again."],
        ) from exc


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Replaces the file as a whole. Raises `ReplicanteError`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
        draft.replace(path)
    except OSError as exc:
        raise ReplicanteError(f"The contexts in {path} cannot be written: {exc.strerror}.") from exc
    finally:
        draft.unlink(missing_ok=True)


def with_added(contexts: Contexts, name: str, endpoints: tuple[str, ...]) -> Contexts:
    """The first context becomes the current one. Raises `Invalid`, `Conflict`."""
    if not re.fullmatch(limits.NAME_PATTERN, name):
        raise Invalid(f"{name!r} is no name: use letters, digits, '.', '_' and '-'.")
    if name in contexts.contexts:
        raise Conflict(f"There is a context {name!r} already. Remove it first.")
    context = Context(endpoints=Endpoints(endpoints).urls)
    return Contexts(current=contexts.current or name, contexts={**contexts.contexts, name: context})


def with_current(contexts: Contexts, name: str) -> Contexts:
    """Raises `NotFound`."""
    contexts.get(name)
    return msgspec.structs.replace(contexts, current=name)


def without(contexts: Contexts, name: str) -> Contexts:
    """Raises `NotFound`."""
    contexts.get(name)
    rest = {other: context for other, context in contexts.contexts.items() if other != name}
    return Contexts(current=None if contexts.current == name else contexts.current, contexts=rest)

"""Reads declarations: YAML or JSON documents of files, folders and stdin. Called by `objects`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import yaml

from replicante import limits
from replicante.errors import Invalid

DOCUMENTS_BYTES_MAX = 16 * limits.MIB
VALUES_MAX = 1_000_000
"""Few lines of aliases can stand for more values than any memory holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """origin: for messages, as `cluster.yaml, document 2`."""

    origin: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", "object")).lower()

    @property
    def scope(self) -> tuple[str, ...]:
        """The names by which the declared object is found. Raises `Invalid` where it is none."""
        names = _NAMES.get(self.kind)
        if names is None:
            known = ", ".join(sorted(_NAMES))
            raise Invalid(f"{self.origin}: kind {self.kind!r} is not declared; known: {known}.")
        spec, metadata = self.body.get("spec") or {}, self.body.get("metadata") or {}
        if not isinstance(spec, dict) or not isinstance(metadata, dict):
            raise Invalid(f"{self.origin}: metadata and spec are maps.")
        *within, own = names
        found = [spec.get(name, "default") for name in within]
        found.append(spec.get(own, metadata.get("name")))
        if not all(isinstance(name, str) and name for name in found):
            raise Invalid(f"{self.origin}: it does not say which {self.kind} it is.")
        return tuple(found)

    @property
    def is_action(self) -> bool:
        """It is started, not declared."""
        return self.kind in _ACTIONS

    @property
    def places(self) -> list[tuple[str, tuple[str, ...]]]:
        """Kind and scope of what it lives in, from the namespace downwards."""
        if self.kind == "namespace":
            return []
        spec = self.body.get("spec")
        spec = spec if isinstance(spec, dict) else {}
        ns = str(spec.get("ns_id", "default"))
        found: list[tuple[str, tuple[str, ...]]] = [("namespace", (ns,))]
        if self.is_action:
            found.append(("clusterspec", (ns, str(spec.get("cluster_id")))))
        return found


_ACTIONS = ("naction", "oaction")
_NAMES = {
    "namespace": ("id",),
    "platform": ("ns_id", "name"),
    "clusterspec": ("ns_id", "cluster_id"),
}
"""Kind → the fields of its spec that name it, its own name last; that may stand in the metadata."""
FILE_ENDINGS = (".yaml", ".yml", ".json")


def read_sources(sources: Sequence[str]) -> list[Document]:
    """All documents of files, of folders (their files with a known ending, in the order of their
    names, folders within too), and of stdin (`-`). Raises `Invalid`, `click.UsageError`."""
    return [document for source in sources for document in _read_source(source)]


def _read_source(source: str) -> Iterator[Document]:
    if source == "-":
        yield from _read_text(sys.stdin.buffer, name="stdin")
        return
    path = Path(source)
    files = [path]
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.suffix in FILE_ENDINGS)
        files = sorted(file for file in found if file.is_file())
        if not files:
            raise Invalid(f"{source} holds no file that ends with {', '.join(FILE_ENDINGS)}.")
    for file in files:
        try:
            with file.open("rb") as opened:
                yield from _read_text(opened, name=file.name)
        except OSError as exc:
            raise click.UsageError(f"{file} cannot be read: {exc.strerror}.") from exc


def _read_text(file: IO[bytes], *, name: str) -> list[Document]:
    data = file.read(DOCUMENTS_BYTES_MAX + 1)
    if len(data) > DOCUMENTS_BYTES_MAX:
        raise click.UsageError(f"{name} is larger than {DOCUMENTS_BYTES_MAX} bytes.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"{name} is not UTF-8: {exc}.") from exc
    return parse_documents(text, name=name)


def parse_documents(text: str, *, name: str) -> list[Document]:
    """All documents of a text, empty ones left out. JSON is read as the YAML that it is.

    Raises `Invalid` with name, line and column.
    """
    found = []
    try:
        for number, body in enumerate(yaml.safe_load_all(text), 1):
            if body is None:
                continue
            origin = f"{name}, document {number}"
            if not isinstance(body, dict):
                raise Invalid(f"{origin}: a declaration is a map with apiVersion and kind.")
            if _expanded_count(body, {}) > VALUES_MAX:
                raise Invalid(f"{origin}: its aliases stand for more than {VALUES_MAX} values.")
            found.append(Document(origin=origin, body=body))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise Invalid(f"{name}{place}: {exc.problem or exc.context or exc}.") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise Invalid(f"{name}: {exc}.") from exc
    except RecursionError as exc:
        raise Invalid(f"{name}: it is nested too deeply.") from exc
    if not found:
        raise Invalid(f"{name} holds no document.")
    return found


def _expanded_count(value: object, known: dict[int, int]) -> int:
    """Values that would be written out, each alias with all it stands for. known: by identity, so
    that counting takes no longer than reading did."""
    if not isinstance(value, dict | list):
        return 1
    counted = known.get(id(value))
    if counted is None:
        known[id(value)] = VALUES_MAX  # an alias to what holds it never ends
        items = value.values() if isinstance(value, dict) else value
        counted = 1 + sum(_expanded_count(item, known) for item in items)
        known[id(value)] = counted
    return counted

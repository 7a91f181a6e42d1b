"""Reads declarations: one or many YAML or JSON documents in one text. Called by `apply`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

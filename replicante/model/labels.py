"""Labels of declared objects, and the selectors that choose by them. Pure.

Called by `model.objects` (what a document says) and `api` (what a list is asked for).

A label is a name with a short value. A selector is a list of terms, all of which must hold:
`tier=cache`, `tier!=cache` (also true of objects without the label), `tier` (is there), `!tier`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from replicante.errors import Invalid
from replicante.limits import (
    LABELS_MAX,
    NAME_BYTES_MAX,
    NAME_PATTERN,
    SELECTOR_TERMS_MAX,
)
from replicante.model.codec import Path, Value
from replicante.model.violations import Violations, describe

# A name may stand under a domain, as replicante.io/zone.
_NAME = re.compile(rf"{NAME_PATTERN}(/{NAME_PATTERN})?")
# Free of the signs that selectors are written with.
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,128}")


class TermKind(enum.Enum):
    EQUALS = "="
    DIFFERS = "!="
    IS_SET = ""
    IS_UNSET = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    name: str
    kind: TermKind
    value: str = ""

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.kind:
            case TermKind.EQUALS:
                return labels.get(self.name) == self.value
            case TermKind.DIFFERS:
                return labels.get(self.name) != self.value
            case TermKind.IS_SET:
                return self.name in labels
            case TermKind.IS_UNSET:
                return self.name not in labels


Selector = tuple[Term, ...]


def holds(selector: Selector, labels: Mapping[str, str]) -> bool:
    """The empty selector chooses everything."""
    return all(term.holds(labels) for term in selector)


def is_label_name(text: str) -> bool:
    return len(text.encode("utf-8", "replace")) <= NAME_BYTES_MAX and bool(_NAME.fullmatch(text))


def is_label_value(text: str) -> bool:
    return bool(_VALUE.fullmatch(text))


def parse_selector(text: str, *, path: str) -> Selector:
    """path: where the text stands in the request.  Raises Invalid."""
    parts = text.split(",") if text else []
    if len(parts) > SELECTOR_TERMS_MAX:
        raise Invalid(
            f"a selector has at most {SELECTOR_TERMS_MAX} terms",
            path=path,
            limit=SELECTOR_TERMS_MAX,
        )
    return tuple(_parse_term(part, path) for part in parts)


def read_labels(value: Value, path: Path, violations: Violations) -> dict[str, str]:
    """What `metadata.labels` says; its faults go to `violations`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        violations.add(path, f"must be a map, not {describe(value)}")
        return {}
    if len(value) > LABELS_MAX:
        violations.add(path, f"must be at most {LABELS_MAX} labels")
        return {}
    labels: dict[str, str] = {}
    for name in sorted(value, key=str.encode):
        here, text = (*path, name), value[name]
        if not is_label_name(name):
            violations.add(here, "the name of a label is a name, or domain/name, of 1 to 128 bytes")
        elif not isinstance(text, str):
            violations.add(here, f"must be text, not {describe(text)}")
        elif not is_label_value(text):
            violations.add(here, "must be at most 128 of A-Z a-z 0-9 . _ -")
        else:
            labels[name] = text
    return labels


def _parse_term(text: str, path: str) -> Term:
    name, value, kind = text.strip(), "", TermKind.IS_SET
    if "!=" in name:
        (name, _, value), kind = name.partition("!="), TermKind.DIFFERS
    elif "=" in name:
        (name, _, value), kind = name.partition("="), TermKind.EQUALS
    elif name.startswith("!"):
        name, kind = name[1:], TermKind.IS_UNSET
    if not is_label_name(name) or not is_label_value(value):
        raise Invalid(
            f"{text[:100]!r} is no term of a selector: write name=value, name!=value, name, !name",
            path=path,
        )
    return Term(name=name, kind=kind, value=value)

"""Every public method of the SDK says what it raises and how consistent it is."""

from __future__ import annotations

import inspect
import re

import pytest

from replicante import errors
from replicante.client import Client, Election, Lock, Worker
from replicante.client.actions import Actions
from replicante.client.clusters import Clusters, Platforms
from replicante.client.consumers import Consumers
from replicante.client.events import Events
from replicante.client.kv import Kv
from replicante.client.leases import Leases
from replicante.client.members import Members
from replicante.client.objects import Objects
from replicante.client.queues import Queues

GROUPS = (
    Actions, Client, Clusters, Consumers, Election, Events, Kv, Leases, Lock, Members, Objects,
    Platforms, Queues, Worker,
)  # fmt: skip
ERRORS = re.compile(r"[Rr]aise|[Rr]untimeError")
CONSISTENCY = re.compile(
    r"[Cc]onsistency|linearizable|[Dd]urable on a majority|as itself sees|Asks nobody"
)
REFERENCE = re.compile(r"\b[Aa]s (?:`[\w.]+`(?:,| and | or )*)+")
NAMED = re.compile(r"`([A-Z]\w+)`")


def methods():
    for group in GROUPS:
        for name, member in vars(group).items():
            if not name.startswith("_") and (
                inspect.isfunction(member) or isinstance(member, property)
            ):
                yield group, name


def text_of(group: type, name: str, seen: frozenset = frozenset()) -> str:
    """The docstring, and of what it refers to with "as `…`" too."""
    if (group, name) in seen:
        return ""
    text = " ".join((inspect.getdoc(inspect.getattr_static(group, name)) or "").split())
    found = [text]
    for reference in REFERENCE.findall(text):
        for target in re.findall(r"`([\w.]+)`", reference):
            owner, _, method = target.rpartition(".")
            other = {"": group, "kv": Kv}.get(owner) or next(
                one for one in GROUPS if one.__name__ == owner
            )
            if hasattr(other, method):  # else a parameter, as `read`
                found.append(text_of(other, method, seen | {(group, name)}))
    return " ".join(found)


ALL = sorted(methods(), key=lambda found: (found[0].__name__, found[1]))


@pytest.mark.parametrize(
    ("group", "name"), ALL, ids=[f"{group.__name__}.{name}" for group, name in ALL]
)
def test_a_docstring_says_errors_and_consistency(group, name):
    text = text_of(group, name)
    assert text, "no docstring"
    assert ERRORS.search(text), f"says nothing of errors: {text}"
    assert CONSISTENCY.search(text), f"says nothing of consistency: {text}"


def test_every_group_that_a_client_offers_is_looked_at():
    offered = {type(one) for one in vars(Client()).values()} - {type(Client()._calls)}
    rooms = {one for one in offered if one.__module__.startswith("replicante.client.")}
    rooms -= {type(Client()._transport)}
    assert rooms <= set(GROUPS)


def test_every_error_that_a_docstring_names_exists():
    for group, name in ALL:
        text = inspect.getdoc(inspect.getattr_static(group, name)) or ""
        raised = " ".join(re.findall(r"[Rr]aise[sd]?[^.]*", " ".join(text.split())))
        for error in NAMED.findall(raised):
            known = hasattr(errors, error) or error in {one.__name__ for one in GROUPS}
            assert known, f"{group.__name__}.{name} names {error}"

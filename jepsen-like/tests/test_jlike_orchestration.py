"""The checker of orchestration by hand, and the agents that it listens to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from histories import FAIL, INFO, History

from jlike.agents import Agent
from jlike.check import orchestration
from jlike.history import Value
from jlike.http import Http
from jlike.verdict import Verdict

# --- histories ---------------------------------------------------------------------------------

WORDS = ["jlike/mark", {"word": "x"}]


def _good() -> History:
    """Three orders; the answer to b got lost, c was refused; p2 takes over under a new epoch."""
    history = History()
    history.did("order", ["n1", "a"], ["n1", "a"])
    history.did("order", ["n2", "b"], kind=INFO)
    history.did("order", ["n1", "c"], kind=FAIL)
    history.did("look", ["n1", 5, "p1"], ["n1", 5, "p1"])
    _obeyed(history, "n1", epoch=5, peer="p1", action="a")
    _obeyed(history, "n1", epoch=7, peer="p2", action="a")
    history.did("refuse", ["n1", 5, "p1", "/action"])
    history.did("carry", ["n1", "a"])
    _obeyed(history, "n2", epoch=7, peer="", action="b")
    history.did("phase", ["n2", "b"], "NEW")
    history.did("carry", ["n2", "b"])
    history.did("phase", ["n1", "a"], "DONE")
    return history


def _obeyed(history: History, node: str, *, epoch: int, peer: str, action: str) -> None:
    history.did("obey", [node, epoch, peer, action, *WORDS])


def _quiet(history: History, **phases: str) -> None:
    history.did("phases", None, [[action, phase] for action, phase in phases.items()])


def test_a_good_history_of_orchestration_is_valid():
    history = _good()
    _quiet(history, a="DONE", b="DONE")
    found = orchestration.check(history.operations)
    assert (found.verdict, found.figures["carried"]) == (Verdict.VALID, 2), found.reason
    assert found.figures["epochs"] == 2


def test_an_order_that_never_reached_its_agent_may_fail():
    history = _good()
    history.did("order", ["n3", "d"], ["n3", "d"])
    _quiet(history, a="DONE", b="DONE", d="FAILED")
    assert orchestration.check(history.operations).verdict is Verdict.VALID


def _obeys_an_older_epoch(history):
    history.did("order", ["n1", "d"], ["n1", "d"])
    _obeyed(history, "n1", epoch=6, peer="p3", action="d")


def _answers_under_an_older_epoch(history):
    history.did("look", ["n1", 6, "p3"])


def _two_share_an_epoch(history):
    history.did("look", ["n3", 7, "p3"])


def _goes_without_an_epoch(history):
    history.did("refuse", ["n1", orchestration.NO_EPOCH, "p1", "/action"])


def _carries_out_twice(history):
    history.did("carry", ["n1", "a"])


def _goes_to_another_node(history):
    history.did("order", ["n1", "d"], ["n1", "d"])
    _obeyed(history, "n2", epoch=7, peer="p2", action="d")


def _changes_its_words(history):
    history.did("obey", ["n2", 8, "p3", "b", "jlike/mark", {"word": "y"}])


def _comes_from_nobody(history):
    _obeyed(history, "n1", epoch=7, peer="p2", action="z")


def _was_refused(history):
    _obeyed(history, "n1", epoch=7, peer="p2", action="c")


def _ends_twice(history):
    history.did("phase", ["n1", "a"], "RUNNING")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_obeys_an_older_epoch, "n1 obeyed p3 under epoch 6 after 7"),
        (_answers_under_an_older_epoch, "under epoch 6 after 7"),
        (_two_share_an_epoch, "p2 and p3 both used the epoch 7"),
        (_goes_without_an_epoch, "without an epoch"),
        (_carries_out_twice, "carried out twice"),
        (_goes_to_another_node, "ordered for another node"),
        (_changes_its_words, "sent in two ways"),
        (_comes_from_nobody, "ordered by nobody"),
        (_was_refused, "ordered and refused"),
        (_ends_twice, "had ended as DONE and is RUNNING"),
    ],
)
def test_what_breaks_a_promise_of_orchestration_is_found(spoil, words):
    history = _good()
    spoil(history)
    _quiet(history, a="DONE", b="DONE", d="DONE")
    found = orchestration.check(history.operations)
    assert found.verdict is Verdict.INVALID
    assert words in found.reason


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ({"b": "DONE"}, "the order of a was taken and is lost"),
        ({"a": "DONE", "b": "DONE", "c": "FAILED"}, "the order of c was refused and is there"),
        ({"a": "FAILED", "b": "DONE"}, "had ended as DONE and is FAILED"),
        ({"a": "DONE", "b": "LOST"}, "b ended as LOST, and its agent did it"),
        ({"a": "DONE", "b": "NEW"}, "b is NEW when all is quiet"),
    ],
)
def test_an_order_that_was_taken_ends_as_its_agent_says(phases, words):
    history = _good()
    _quiet(history, **phases)
    found = orchestration.check(history.operations)
    assert found.verdict is Verdict.INVALID
    assert words in found.reason


def test_nothing_carried_out_proves_nothing():
    history = History()
    history.did("order", ["n1", "a"], ["n1", "a"])
    _quiet(history, a="FAILED")
    assert orchestration.check(history.operations).verdict is Verdict.UNKNOWN


# --- agents ------------------------------------------------------------------------------------


class NoHarm(random.Random):
    """Chance of a network that delivers everything at once."""

    def random(self) -> float:
        return 0.99

    def uniform(self, a: float, _b: float) -> float:
        return a


class Book:
    """What an agent told, and a sign that it carried something out."""

    def __init__(self) -> None:
        self.lines: list[list[Value]] = []
        self.has_carried = asyncio.Event()

    def tell(self, f: str, value: Value) -> None:
        self.lines.append([f, *value])
        if f == "carry":
            self.has_carried.set()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def agent(book: Book) -> AsyncIterator[Agent]:
    found = Agent(
        node_id="n1", cluster_id="c", tell=book.tell, caller=lambda _: "p1", chance=NoHarm()
    )
    await found.open()
    yield found
    await found.close()


async def _ask(agent: Agent, method: str, path: str, body=None, *, epoch: int) -> int:
    found = await Http(timeout_s=10).ask(
        agent.address,
        method,
        f"/api/unstable{path}",
        body,
        headers={"Replicante-Epoch": str(epoch)},
    )
    return found.status


ORDER = {"id": "a", "kind": "k/k", "args": 1, "metadata": {}, "created_time": "2000-01-01T00:00Z"}


async def test_an_agent_carries_out_once_what_it_is_sent_twice(agent, book):
    assert await _ask(agent, "POST", "/action", ORDER, epoch=3) == 200
    assert await _ask(agent, "POST", "/action", ORDER, epoch=3) == 409
    await book.has_carried.wait()
    assert sorted(it[0] for it in book.lines) == ["carry", "obey", "obey"]
    assert ["obey", "n1", 3, "p1", "a", "k/k", 1] in book.lines
    assert await _ask(agent, "GET", "/action/a", epoch=3) == 200
    assert await _ask(agent, "GET", "/action/b", epoch=3) == 404


async def test_an_agent_refuses_an_epoch_below_one_that_it_was_only_asked_under(agent, book):
    assert await _ask(agent, "GET", "/info/node", epoch=4) == 200
    assert await _ask(agent, "GET", "/info/shards", epoch=4) == 200
    assert await _ask(agent, "POST", "/action", ORDER, epoch=3) == 412
    assert book.lines == [["look", "n1", 4, "p1"], ["refuse", "n1", 3, "p1", "/action"]]


async def test_an_agent_that_is_away_answers_nobody(agent, book):
    agent.is_away = True
    assert await _ask(agent, "GET", "/info/node", epoch=4) == 0
    assert book.lines == []

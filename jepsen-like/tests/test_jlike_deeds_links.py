"""What the nemesis does to links and clients: it counts only when somebody met it, and what it
broke is mended at its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from jlike import nemesis_clients, nemesis_network
from jlike.links import Flaw, Pair
from jlike.nemesis_plan import Plan
from jlike.peers import Peers


def _plan(kind: str, *, seconds: float = 0.05, **more: Any) -> Plan:
    return Plan(kind=kind, shape="one", seconds=seconds, victims=("p1",), **more)


PAIRS = (("p1", "p2"), ("p2", "p1"))


class Links:
    """Over which peers send something whenever somebody looks, unless they are idle. leaks: pairs
    that let probes through all the same."""

    def __init__(self, *, is_idle: bool = False, leaks: Iterable[Pair] = ()) -> None:
        self.cuts: list[set[Pair]] = []
        self.flaws: dict[Pair, Flaw] = {}
        self.held: Counter[Pair] = Counter()
        self.marred: Counter[Pair] = Counter()
        self._is_idle, self._leaks = is_idle, set(leaks)
        self._now: set[Pair] = set()

    async def cut(self, pairs: Iterable[Pair]) -> None:
        self._now |= set(pairs)
        self.cuts.append(set(self._now))
        if not self._is_idle:
            self.held.update(pairs)

    async def heal(self, pairs: Iterable[Pair] | None = None) -> None:
        self._now -= set(self._now if pairs is None else pairs)

    def mar(self, pairs: Iterable[Pair], flaw: Flaw) -> None:
        self.flaws |= dict.fromkeys(pairs, flaw)
        if not self._is_idle:
            self.marred.update(pairs)

    def mend(self, pairs: Iterable[Pair] | None = None) -> None:
        for pair in list(self.flaws if pairs is None else pairs):
            self.flaws.pop(pair, None)

    async def passing(self, pairs: Iterable[Pair], *, seconds: float) -> set[Pair]:
        return self._leaks & set(pairs)

    @property
    def are_whole(self) -> bool:
        return not self._now and not self.flaws


@dataclass
class Environment:
    links: Links


def _linked(links: Links) -> Peers:
    return Peers(environment=cast(Any, Environment(links)))


@pytest.mark.parametrize(
    ("links", "has_effect"),
    [(Links(), True), (Links(is_idle=True), False), (Links(leaks=PAIRS[:1]), False)],
    ids=["met", "idle", "leaks"],
)
async def test_a_partition_counts_when_it_held_something_and_nothing_came_through(
    links, has_effect
):
    done = await nemesis_network.partition(_plan("partition", pairs=PAIRS), _linked(links))
    assert done is has_effect
    assert links.cuts == [set(PAIRS)]
    assert links.are_whole


@pytest.mark.parametrize("is_idle", [False, True])
async def test_a_flapping_cut_is_made_and_healed_again_and_again(is_idle):
    links = Links(is_idle=is_idle)
    plan = _plan("flapping", pairs=PAIRS, figures={"flap_s": 0.01}, seconds=0.06)
    assert await nemesis_network.flapping(plan, _linked(links)) is not is_idle
    assert links.cuts == [set(PAIRS)] * 3
    assert links.are_whole


@pytest.mark.parametrize("is_idle", [False, True])
async def test_a_flaw_counts_when_something_met_it_and_is_mended(is_idle):
    links = Links(is_idle=is_idle)
    plan = _plan("lossy", pairs=PAIRS, flaw=Flaw(loss=0.3))
    assert await nemesis_network.flaw(plan, _linked(links)) is not is_idle
    assert links.are_whole


async def test_what_is_interrupted_is_mended():
    links = Links()
    for deed, plan in (
        (nemesis_network.partition, _plan("partition", pairs=PAIRS, seconds=1_000)),
        (nemesis_network.flaw, _plan("slow", pairs=PAIRS, flaw=Flaw(delay_s=1), seconds=1_000)),
    ):
        running = asyncio.create_task(deed(plan, _linked(links)))
        while links.are_whole:  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert links.are_whole


# --- clients -------------------------------------------------------------------------------------


class Mortal:
    """A client that asks all the time, and is always answered late, or always at once."""

    def __init__(self, *, is_quick: bool) -> None:
        self.dies_after_s: float | None = None
        self.deaths = 0
        self._is_quick = is_quick

    async def ask(self) -> None:
        while True:
            patience_s, self.dies_after_s = self.dies_after_s, None
            self.deaths += patience_s is not None and not self._is_quick
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("is_quick", [False, True])
async def test_clients_die_when_one_was_not_answered_and_the_others_live(is_quick):
    crowd = [Mortal(is_quick=is_quick) for _ in range(4)]
    asking = [asyncio.create_task(it.ask()) for it in crowd]
    plan = Plan(kind="clients", shape="half", seconds=0.2, figures={"share": 0.5})
    assert await nemesis_clients.die(plan, Peers(crowd=crowd)) is not is_quick
    assert not any(it.deaths for it in crowd[2:])
    assert all(it.dies_after_s is None for it in crowd)
    for it in asking:
        it.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*asking)

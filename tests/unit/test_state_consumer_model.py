"""Random histories of named consumers against a model that looks through all events every time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from replicante.limits import CONSUMER_SILENCE_MS_MAX
from replicante.state import queries
from replicante.state.commands import SetEventRetention
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.consumers import consumer_list
from replicante.state.expect import Expect
from replicante.state.outcome import Applied, RejectCode
from replicante.testing.builders import CheckedState, kv_put

FOR_EVER = 1 << 40
NAMES = st.sampled_from(["c", "d", "e"])


@dataclass
class Consumer:
    position: int
    seen_ms: int
    revision: int
    is_expired: bool = False


@dataclass
class Model:
    consumers: dict[str, Consumer] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    """Ids of events."""
    head: int = 0
    floor: int = 0
    count_max: int = FOR_EVER

    @property
    def live(self) -> dict[str, Consumer]:
        return {name: one for name, one in self.consumers.items() if not one.is_expired}

    def expire(self, clock_ms: int) -> None:
        for one in self.live.values():
            one.is_expired = one.seen_ms + CONSUMER_SILENCE_MS_MAX <= clock_ms

    def trim(self, fresh: list[int]) -> None:
        """fresh: events of this entry, which nobody could read yet."""
        held = min((one.position for one in self.live.values()), default=FOR_EVER << 20)
        self.kept += fresh
        while len(self.kept) > self.count_max and self.kept[0] <= held:
            if self.kept[0] in fresh:
                break
            self.floor = self.kept.pop(0)
        self.head = max(self.head, *fresh, 0)

    def refusal(self, name: str, position: int | None, expected: int | None) -> RejectCode | None:
        """expected: 0 absent, a revision, or None."""
        present = self.consumers.get(name)
        revision = 0 if present is None else present.revision
        if expected is not None and expected != revision:
            return RejectCode.REVISION_MISMATCH
        if present is not None and present.is_expired:
            return RejectCode.CONSUMER_EXPIRED
        is_below = position is not None and min(position, self.head) < self.floor
        return RejectCode.HISTORY_GONE if is_below else None


class Consumers(RuleBasedStateMachine):
    """CheckedState checks the invariants after every entry."""

    def __init__(self) -> None:
        super().__init__()
        self.state = CheckedState()
        self.model = Model()
        self.ids = [0]
        """Every event ever."""
        # The model knows no retention by age, and time passes in weeks.
        self.keep(FOR_EVER)

    def settle(self):
        """Who was silent for too long expires, in an entry of its own."""
        live = self.model.live
        self.model.expire(self.state.clock_ms)
        self.state.tick()
        self.look()
        for it in consumer_list(self.state.store, now=queries.counters(self.state.store)):
            if it.name in live and it.is_expired:
                assert it.revision > live[it.name].revision, "an expiry is a write"
                live[it.name].revision = it.revision

    def do(self, command):
        self.settle()
        return self.state.do(command)

    def look(self):
        """At the end of an entry, when the model knows what it did."""
        page = queries.events_after(self.state.store, self.ids[-1], limit=1_000)
        fresh = [event.id for event in page.items]
        self.ids += fresh
        self.model.trim(fresh)

    @rule(count=st.integers(1, 4))
    def write(self, count):
        for number in range(count):
            self.do(kv_put("k", number))
            self.look()

    @rule(count_max=st.sampled_from([0, 1, 3, 6, FOR_EVER]))
    def keep(self, count_max):
        self.do(SetEventRetention(count_max, FOR_EVER, FOR_EVER))
        self.model.count_max = count_max
        self.look()

    @rule(part=st.sampled_from([1, 3, 10]))
    def pass_time(self, part):
        self.state.advance(CONSUMER_SILENCE_MS_MAX // part)

    def draw_expect(self, data, name):
        """(what the command expects, the same for the model)"""
        kind = data.draw(st.sampled_from(["nothing", "nothing", "absent", "own", "other"]))
        if kind == "nothing":
            return None, None
        if kind == "absent":
            return Expect.absent(), 0
        own = self.model.consumers.get(name)
        revision = own.revision if kind == "own" and own is not None else 77
        return Expect.at(revision), revision

    @rule(data=st.data(), name=NAMES)
    def put(self, data, name):
        self.settle()
        expect, expected = self.draw_expect(data, name)
        places = [None, 0, 1 << 60, self.model.floor, self.model.head, *self.ids[-6:]]
        position = data.draw(st.sampled_from(places))
        outcome = self.state.do(PutConsumer(name, position, expect))
        refusal = self.model.refusal(name, position, expected)
        if refusal is not None:
            assert outcome.code is refusal
        else:
            before = self.model.consumers.get(name)
            assert outcome == Applied(outcome.revision, is_created=before is None)
            if position is not None:
                place = min(position, self.model.head)
            else:
                place = self.model.head if before is None else before.position
            made = Consumer(place, self.state.clock_ms, outcome.revision)
            self.model.consumers[name] = made
        self.look()

    @rule(data=st.data(), name=NAMES)
    def delete(self, data, name):
        self.settle()
        expect, expected = self.draw_expect(data, name)
        outcome = self.state.do(DeleteConsumer(name, expect))
        present = self.model.consumers.get(name)
        if expected is not None and expected != (0 if present is None else present.revision):
            assert outcome.code is RejectCode.REVISION_MISMATCH
        elif present is None:
            assert outcome.code is RejectCode.NOT_FOUND
        else:
            assert outcome.is_removed
            del self.model.consumers[name]
        self.look()

    @invariant()
    def agrees(self):
        store, model = self.state.store, self.model
        found = consumer_list(store, now=queries.counters(store))
        assert [(it.name, it.position, it.is_expired, it.lag_count) for it in found] == [
            (name, one.position, one.is_expired, sum(it > one.position for it in model.kept))
            for name, one in sorted(model.consumers.items())
        ]
        edge = queries.events_edge(store)
        assert (edge.floor, edge.count) == (model.floor, len(model.kept))
        for one in model.live.values():
            page = queries.events_after(store, one.position, limit=1_000)
            assert [it.id for it in page.items] == [it for it in self.ids if it > one.position]


TestConsumers = Consumers.TestCase
TestConsumers.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

"""Random worlds never get an action that a second, independent reading of the rules forbids.

The reading below looks at the nodes as they are, not at views, verdicts or records; it shares no
code with the rules. It is coarse where the rules are fine: it may forbid less, never more.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import FakeNode, World, kill_store, make_spec, member

from replicante.model.action_kinds import (
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
)
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight

QUIET_MS, CONFIRMATIONS, CONFIRM_MS, BOUND = 60_000, 3, 3_000, 50

fault = st.sampled_from(
    [
        ("answer", AgentAnswer.TIMEOUT),
        ("answer", AgentAnswer.REFUSED),
        ("answer", AgentAnswer.GARBAGE),
        ("answer", AgentAnswer.WRONG_IDS),
        ("answer", AgentAnswer.STALE_EPOCH),
        ("answer", AgentAnswer.ANSWERED),
        ("contact", StoreContact.REFUSED),
        ("contact", StoreContact.SILENT),
        ("contact", StoreContact.ANSWERS),
        ("status", NodeStatus.UNHEALTHY),
        ("status", NodeStatus.HEALTHY),
        ("status", NodeStatus.NOT_IN_CLUSTER),
        ("role", ShardRole.PRIMARY),
        ("role", ShardRole.SECONDARY),
        ("role", ShardRole.RECOVERING),
        ("sight", Sight.UP),
        ("sight", Sight.DOWN),
        ("sight", Sight.REFUSED),
        ("sight", Sight.UNKNOWN),
        ("offset", 100),
        ("offset", 140),
        ("offset", 300),
        ("history", "h2"),
        ("has_address", False),
        ("is_fenced", False),
        ("controllers", ("sentinel",)),
        ("controllers", ()),
        ("is_protecting", True),
        ("is_protecting", False),
    ]
)
event = st.tuples(st.sampled_from(["n1", "n2", "n3", "n4"]), fault)
step = st.tuples(st.lists(event, max_size=3), st.sampled_from([500, 2_000, 20_000]), st.booleans())
# Most deaths touch many nodes at once; alone, random faults hardly ever add up to one.
death = st.sampled_from(["none", "refused", "silent", "partition"])


class Reader:
    """Remembers what an observer may know, cycle by cycle."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: dict[str, tuple[int, str | None]] = {}
        self.absent_looks, self.absent_since = 0, 0
        self.recovered_ms: int | None = None
        self.heard: dict[str, set[str]] = {}
        """Primary → who heard it when it was seen last."""
        self.protecting: dict[str, bool | None] = {}
        self.replaced: set[str] = set()
        """Whose role a promotion of ours took."""
        self.promotions: list = []
        """Sent, and not known as carried out."""
        self.claims: set[str] = set()
        """Members whose last word is that they are primary, not replaced by us."""
        self.sent: set[str] = set()
        """What was judged when it was sent first; a repeat changes nothing."""

    def look(self) -> None:
        self.protecting |= {it.node_id: it.is_protecting for it in self.seen()}
        for node in self.seen():
            if node.role is ShardRole.SECONDARY and node.follows not in self.world.nodes:
                # It may have been started anew, empty: what it told before counts.
                self.known.setdefault(node.node_id, (node.offset, node.history))
            elif node.role is not None:
                self.known[node.node_id] = (node.offset, node.history)
        self.claims -= {it.node_id for it in self.seen()}
        for primary in self.seen():
            if primary.role is ShardRole.PRIMARY:
                if primary.status is not NodeStatus.NOT_IN_CLUSTER:
                    self.claims |= {primary.node_id} - self.replaced
                self.heard[primary.node_id] = {
                    it.node_id
                    for it in self.seen()
                    if it.follows == primary.node_id and it.sight is Sight.UP
                }
        has_primary = any(node.role is ShardRole.PRIMARY for node in self.seen())
        is_heard = any(it.sight is Sight.UP and self._may_lead(it.follows) for it in self.seen())
        if has_primary or is_heard:
            self.absent_looks = 0
        else:
            if not self.absent_looks:
                self.absent_since = self.world.now_ms
            self.absent_looks += 1

    def _may_lead(self, node_id: str | None) -> bool:
        """Somebody who hears it may hear a primary: it does not say itself that it is a copy."""
        copies = {it.node_id for it in self.seen() if it.role is ShardRole.SECONDARY}
        return bool(node_id) and node_id not in copies

    def answering(self) -> list[FakeNode]:
        return [it for it in self.world.nodes.values() if it.answer is AgentAnswer.ANSWERED]

    def seen(self) -> list[FakeNode]:
        return [it for it in self.answering() if it.contact is StoreContact.ANSWERS]

    def forbids(self, result) -> list[str]:
        sent, self.sent = self.sent, self.sent | {it.action_id for it in result.submissions}
        disturbing = [it for it in result.submissions if it.attempts_count == 0]
        found = [] if len(disturbing) <= 1 else ["more than one act a cycle"]
        for action in result.submissions:
            target = self.world.nodes[action.node_id]
            found += self._anything(action, target)
            match action.kind:
                case "replicante.io/store.promote":
                    found += self._promotion(action, target)
                case "replicante.io/store.fence":
                    found += self._fence(target)
                case "replicante.io/store.rejoin":
                    found += self._rejoin(action)
                case "replicante.io/store.protect" if action.action_id not in sent:
                    found += self._protection(action, target)
                case "agent.replicante.io/cluster.init":
                    if any(it.status != "NOT_IN_CLUSTER" for it in self.world.nodes.values()):
                        found.append("begun beside a node that is not virgin")
                    if len(self.seen()) < len(self.world.nodes):
                        found.append("begun beside a node that was not seen")
        return found

    def _protection(self, action, target):
        is_wanted = action.args["protect_writes"]
        if target.is_protecting is not (not is_wanted):
            yield "one is told what it has, or tells nothing of it"
        if target not in self.seen() or target.status is not NodeStatus.HEALTHY:
            yield "one that is not seen healthy is told"
        is_heard = any(
            (it.follows, it.role, it.sight) == (target.node_id, ShardRole.SECONDARY, Sight.UP)
            for it in self.seen()
        )
        if is_wanted and target.role is ShardRole.PRIMARY and not is_heard:
            yield "a primary is made to refuse every write"

    def _anything(self, action, target):
        if target.answer is not AgentAnswer.ANSWERED:
            yield f"{action.kind} to an agent that is not right"
        if not target.is_fenced:
            yield "an unfenced agent is asked"
        is_role = action.kind in (STORE_PROMOTE, STORE_FENCE, STORE_REJOIN)
        if is_role and any(it.controllers for it in self.answering()):
            yield "roles are changed beside another controller"

    def _promotion(self, action, target):
        old = self.world.nodes[action.args["replaces"]]
        if target not in self.seen() or target.status is not NodeStatus.HEALTHY:
            yield "one that is not seen healthy is promoted"
        if target.role is not ShardRole.SECONDARY or not target.has_address:
            yield "one that is no proper copy is promoted"
        behind = [
            offset - target.offset
            for offset, history in self.known.values()
            if history == target.history
        ]
        if max(behind) > BOUND:
            yield "more is lost than declared"
        if old.node_id in self.known and self.known[old.node_id][1] != target.history:
            yield "another history is promoted"
        told = self.known.get(old.node_id, (0, None))[0]
        had_lost = target.node_id not in self.heard.get(old.node_id, ()) and target.offset <= told
        # A protected primary takes nothing that no copy hears.
        if had_lost and not self.protecting.get(old.node_id):
            yield "one that had lost the primary before it was seen last is promoted"
        yield from self._death(old)

    def _fence(self, target):
        if target.contact is not StoreContact.SILENT:
            yield "a process that answers, or none, is ended"
        if not any(it.role is ShardRole.PRIMARY for it in self.seen()):
            yield from self._death(target)

    def _death(self, old):
        """What speaks against going past a primary."""
        followers = [it for it in self.seen() if it.follows == old.node_id and it is not old]
        hears = (it.sight is Sight.UP and it.role is not ShardRole.PRIMARY for it in followers)
        if self._may_lead(old.node_id) and any(hears):
            yield "a copy still hears the primary"
        if old in self.seen() and old.role is ShardRole.PRIMARY:
            yield "the primary is there"
        is_old_refusing = old.answer is AgentAnswer.REFUSED or old.contact is StoreContact.REFUSED
        proved = is_old_refusing and all(it.sight is Sight.REFUSED for it in followers)
        has_stepped_down = old in self.seen() and old.role is ShardRole.SECONDARY
        waited = self.world.now_ms - self.absent_since
        confirmed = self.absent_looks >= CONFIRMATIONS and waited >= CONFIRM_MS
        if not (proved or confirmed):
            yield "a death without proof is believed too early"
        if not has_stepped_down and all(it.sight is Sight.UNKNOWN for it in followers):
            yield "a death without any witness is believed"
        others = [it for it in self.known if it != old.node_id]
        healthy = [it.node_id for it in self.seen() if it.status is NodeStatus.HEALTHY]
        if 2 * len(set(healthy) & set(others)) <= len(others):
            yield "a minority decides"
        if self.recovered_ms is not None and self.world.now_ms < self.recovered_ms + QUIET_MS:
            yield "the quiet period is broken"

    def worked(self) -> None:
        """The agents did what they had."""
        for action in [*self.promotions]:
            if action.action_id in self.world.nodes[action.node_id].applied:
                self.promotions.remove(action)
                self.recovered_ms = self.world.now_ms
                self.replaced = (self.replaced | {action.args["replaces"]}) - {action.node_id}
                self.claims -= self.replaced

    def _rejoin(self, action):
        leader = self.world.nodes[action.args["node_id"]]
        if leader.node_id == action.node_id or action.args["node"] != member(leader.node_id):
            yield "one follows itself, or nobody"
        if leader not in self.seen() or leader.role is not ShardRole.PRIMARY:
            yield "one is told to follow a node that is not seen as primary"
        target = self.world.nodes[action.node_id]
        is_following = target.follows == leader.node_id and target.sight is Sight.UP
        if target in self.seen() and target.role is ShardRole.SECONDARY and is_following:
            yield "one that follows well is disturbed"
        if target.node_id in self.claims:
            yield "a primary that nobody replaced gives up what it holds"
        is_copy = target in self.seen() and target.role is ShardRole.SECONDARY
        if is_copy and target.follows in self.claims - {leader.node_id}:
            yield "a copy is torn from a primary that nobody replaced"


def bring_about(world: World, how: str) -> None:
    if how == "none":
        return
    primaries = [it for it in world.nodes.values() if it.role is ShardRole.PRIMARY]
    for node in primaries[:1]:
        if how == "partition":
            node.answer = AgentAnswer.TIMEOUT
            continue
        is_refused = how == "refused"
        node.contact = StoreContact.REFUSED if is_refused else StoreContact.SILENT
        for other in world.nodes.values():
            if other.follows == node.node_id:
                other.sight = Sight.REFUSED if is_refused else Sight.DOWN


def test_no_random_world_gets_an_action_that_a_second_reading_forbids():
    promotions: list[str] = []

    @settings(max_examples=400, deadline=None)
    @given(st.integers(2, 4), death, st.booleans(), st.lists(step, min_size=1, max_size=10))
    def holds(count, how, is_protecting, steps):
        promotions.extend(live_through(count, how, is_protecting, steps))

    holds()
    assert len(promotions) > 20, "a property of nothing proves nothing"


def live_through(count, how, is_protecting, steps, *, is_late=False) -> list[str]:
    """Every cycle of one random life is read a second time; the promotions that were sent.
    is_late: an empty server calls itself primary as well, and the agents of the others are silent
    in the first look."""
    promotions: list[str] = []
    policies = {
        "quiet_period": "60s",
        "confirmations": CONFIRMATIONS,
        "confirm_for": "3s",
        "data_loss_offset": BOUND,
        "protect_writes": is_protecting,
    }
    declared = {"initialise": {"mode": "SingleNode"}, "expand": {"mode": "Join"}}
    graces = {"graces": {"expand": "1s", "init": "1s", "failover": "1s", "rejoin": "1s"}}
    spec = make_spec(policies=policies, **declared, **graces)
    nodes = [FakeNode("n1", role=ShardRole.PRIMARY)]
    nodes += [FakeNode(f"n{i}", follows="n1") for i in range(2, count + 1)]
    if is_late:
        for node in nodes:
            node.answer = AgentAnswer.TIMEOUT
        nodes.append(FakeNode("n0", role=ShardRole.PRIMARY, offset=0, history="empty"))
    world = World(*nodes, spec=spec)
    reader = Reader(world)
    world.cycle()
    reader.look()
    bring_about(world, how)
    for events, after_ms, is_working in steps:
        for node_id, (name, value) in events:
            if node_id in world.nodes:
                setattr(world.nodes[node_id], name, value)
        world.now_ms += after_ms - 1
        world.wall_ms += after_ms - 1
        # What is looked at is what the reader sees too.
        world.now_ms += 1
        reader.look()
        world.now_ms -= 1
        result = world.cycle(after_ms=1, is_sent=False)
        assert reader.forbids(result) == []
        world.send(result)
        sent = [it for it in result.submissions if it.kind == STORE_PROMOTE]
        promotions += [it.action_id for it in sent]
        reader.promotions += sent
        if is_working:
            world.work()
            reader.worked()
    return promotions


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 4), death, st.lists(step, min_size=3, max_size=12))
def test_no_random_world_that_begins_with_an_empty_primary_wipes_the_right_one(count, how, steps):
    answers = ("answer", AgentAnswer.ANSWERED)
    woken = [([(f"n{i}", answers)], 2_000, True) for i in range(count, 0, -1)]
    live_through(count, how, False, [*steps[:2], *woken, *steps[2:]], is_late=True)


def test_the_second_reading_can_forbid():
    world = World(FakeNode("n1", role=ShardRole.PRIMARY), FakeNode("n2", follows="n1"))
    world.cycle()
    reader = Reader(world)
    reader.look()
    kill_store(world)
    result = world.cycle()
    assert [it.kind for it in result.submissions] == [STORE_PROMOTE]
    reader.look()
    assert reader.forbids(result) == []
    world.nodes["n2"].sight = Sight.UP
    assert "a copy still hears the primary" in reader.forbids(result)


def test_the_second_reading_forbids_what_takes_a_primary_or_its_copy_away():
    world = World(FakeNode("n1", role=ShardRole.PRIMARY), FakeNode("n2", follows="n9"))
    world.cycle()
    world.nodes["n2"].sight = Sight.DOWN
    reader = Reader(world)
    reader.look()
    result = world.cycle()
    assert [it.kind for it in result.submissions] == [STORE_REJOIN]
    assert reader.forbids(result) == []
    reader.claims.add("n9")
    assert reader.forbids(result) == ["a copy is torn from a primary that nobody replaced"]
    reader.claims = {"n2"}
    assert reader.forbids(result) == ["a primary that nobody replaced gives up what it holds"]

"""What `recover inspect` says of the directories that are left is true, whatever happened before.

A Raft cluster of a few lines, whose members change, lives through random steps; then some of its
directories are lost. A run is a seed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest

from replicante.raft import survivors
from replicante.raft.membership import Configuration, Member, majority
from replicante.raft.survivors import Standing, Survivor, Way, advise, rank

PEERS = tuple(Member(f"p{number}", f"i{number}", f"sim:{number}") for number in range(1, 7))
STEPS_COUNT = 40
STEPS_ON_A_SIDE = 10
SEEDS = (51_300, 7_408, 37_582, *range(6_000))
"""In the first one a voter came in the last term, and could not vote for its leader; in the second
one the vote of a directory is of somebody missing; in the third one the log of the latest term
lacks what was committed after it."""


@dataclass(frozen=True)
class Entry:
    term: int
    number: int
    """Tells entries of one term apart."""
    voters: tuple[Member, ...] = ()
    """Empty: no change of the members."""


@dataclass
class Peer:
    member: Member
    log: list[Entry]
    term: int = 0
    vote: str | None = None
    leading: list[Entry] | None = None
    """The log of a leader, whose end may not be on its disk."""
    told_index: int = 0

    def learn(self, term):
        if term > self.term:
            self.term, self.vote, self.leading = term, None, None


@dataclass
class Cluster:
    random: Random
    peers: list[Peer] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    side: list[Peer] = field(default_factory=list)
    """Who hears each other for now."""

    def __post_init__(self):
        voters = PEERS[: self.random.randint(2, 5)]
        self.peers = [Peer(it, [Entry(0, 0, voters)]) for it in PEERS]
        self.committed = list(self.peers[0].log)

    def live(self):
        for number in range(STEPS_COUNT):
            if number % STEPS_ON_A_SIDE == 0:
                self.split()
            leaders = [it for it in self.side if it.leading is not None]
            step = self.random.choice([self.write, self.change, self.send, self.send, self.send])
            if not leaders or self.random.random() < 0.1:
                self.elect(self.random.choice(self.side))
            else:
                step(self.random.choice(leaders))

    def part(self):
        """Of the voters, one half goes on when the first leader comes back to it. Returns who is
        left when that half is lost."""
        voters = self.peers[: len(voters_of(self.committed))]
        lost = self.random.sample(voters, len(voters) // 2)
        left = [it for it in voters if it not in lost]
        first = self.random.choice(lost)
        others = [it for it in voters if it is not first]
        for self.side, leader in ((voters, first), (others, left[0]), (lost, first)):
            leader.leading = None
            self.elect(leader)
            for _ in range(STEPS_ON_A_SIDE):
                if leader.leading is not None:
                    self.random.choice([self.write, self.change, *[self.send] * 4])(leader)
        return left

    def split(self):
        """Some hear each other; some of their processes have ended in between."""
        self.side = self.random.sample(self.peers, self.random.randint(2, len(PEERS)))
        for peer in self.side:
            if self.random.random() < 0.5:
                peer.leading = None

    def elect(self, candidate):
        voters = voters_of(candidate.log)
        if candidate.member not in voters:
            return
        candidate.learn(max(it.term for it in self.side) + 1)
        candidate.vote = candidate.member.key
        votes = 1
        for peer in self.side:
            is_asked = peer.member in voters and self.random.random() < 0.8
            if peer is candidate or not is_asked or peer.term >= candidate.term:
                continue
            peer.learn(candidate.term)
            if age(candidate.log) >= age(peer.log):
                peer.vote = candidate.member.key
                votes += 1
        if votes >= majority(len(voters)):
            candidate.leading = [*candidate.log]
            self.write(candidate)

    def write(self, leader, voters=()):
        leader.leading.append(Entry(leader.term, len(leader.leading), voters))
        if voters or self.random.random() < 0.5:
            leader.log = [*leader.leading]  # a change is on the disk before anybody hears of it
            self.count(leader)

    def change(self, leader):
        before = voters_of(leader.leading)
        sent = next(i for i, it in reversed([*enumerate(leader.leading, 1)]) if it.voters)
        is_settled = self.committed[-1].term == leader.term and sent <= len(self.committed)
        one = self.random.choice(PEERS)
        if not is_settled or one == leader.member:
            return
        after = (*before, one) if one not in before else tuple(it for it in before if it != one)
        self.write(leader, after)

    def send(self, leader):
        peer = self.random.choice(self.side)
        if peer is leader or peer.term > leader.term:
            return
        peer.learn(leader.term)
        sent = leader.leading[: self.random.randint(1, len(leader.leading))]
        if peer.log[: len(sent)] != sent:
            peer.log = sent
        # Of its own entries alone: a leader of the past knows none that replaced them.
        known = (it == other for it, other in zip(sent, self.committed, strict=False))
        peer.told_index = max(peer.told_index, sum(itertools.takewhile(bool, known)))
        self.count(leader)

    def count(self, leader):
        for index in range(len(leader.leading), len(self.committed), -1):
            sent, voters = leader.leading[:index], voters_of(leader.leading)
            held = sum(it.member in voters and it.log[:index] == sent for it in self.peers)
            if sent[-1].term == leader.term and held >= majority(len(voters)):
                assert sent[: len(self.committed)] == self.committed, "this cluster is no Raft"
                self.committed = sent
                return


def voters_of(log):
    return next(it.voters for it in reversed(log) if it.voters)


def age(log):
    return log[-1].term, len(log)


def directory(peer):
    sent = [(index, it.voters) for index, it in enumerate(peer.log, 1) if it.voters]
    certain = [it for it in sent if it[0] <= peer.told_index][-1:]
    later = [it for it in sent if it[0] > peer.told_index]
    configurations = tuple(Configuration(voters) for _, voters in (*certain, *later))
    voters = configurations[-1].voters
    return Survivor(
        folder=peer.member.peer_id,
        cluster_name="test",
        cluster_id="test",
        peer_id=peer.member.peer_id,
        incarnation=peer.member.incarnation,
        generation=0,
        term=peer.term,
        voted_for=peer.vote,
        boot=1,
        standing=Standing.VOTER if peer.member in voters else Standing.NO_MEMBER,
        configuration_index=sent[-1][0],
        voters=voters,
        learners=(),
        first_index=1,
        last_index=len(peer.log),
        last_term=peer.log[-1].term,
        chain="",
        committed_index=peer.told_index,
        state_index=peer.told_index,
        unfinished="",
        log_fault="",
        state_fault="",
        configurations=configurations,
        term_runs=tuple(
            (index, it.term)
            for index, it in enumerate(peer.log, 1)
            if index == 1 or peer.log[index - 2].term != it.term
        ),
        term_index=next(i for i, it in enumerate(peer.log, 1) if it.term == peer.log[-1].term),
        electors=voters_of([it for it in peer.log if it.term < peer.log[-1].term] or peer.log[:1]),
    )


def lived(seed):
    """The advice after a run, and whether the best directory has all that was committed."""
    ranked, best, _, committed = left_of(seed)
    return advise(ranked).way, best.log[: len(committed)] == committed


def left_of(seed):
    """After a run: the directories that are left, ranked; the best; all; what was committed."""
    random = Random(seed)
    cluster = Cluster(random)
    if seed % 2:
        left = cluster.part()
    else:
        cluster.live()
        left = random.sample(cluster.peers, random.randint(1, len(PEERS)))
    ranked = rank([directory(it) for it in left])
    best = next(it for it in left if it.member.peer_id == ranked[0].folder)
    return ranked, best, left, cluster.committed


def is_lie(way, is_whole):
    """Nothing was said to be lost, and something is."""
    return way is not Way.FORCE and not is_whole


def test_nothing_is_lost_when_nothing_is_said_to_be_lost():
    seen = {seed: lived(seed) for seed in SEEDS}
    assert not [seed for seed, told in seen.items() if is_lie(*told)]
    met = Counter(seen.values())
    assert min(met[way, True] for way in (Way.START, Way.FORCE_WITHOUT_LOSS, Way.FORCE)) > 100
    assert met[Way.FORCE, False] > 100


def lacks_what_is_certain(seed):
    _, best, left, committed = left_of(seed)
    certain = committed[: max(it.told_index for it in left)]
    return best.log[: len(certain)] != certain


def test_the_best_one_has_all_that_any_of_them_knows_to_be_committed():
    """An entry of an old term may be committed under a leader of a new one: a directory of a term
    between them ends later and lacks it."""
    assert not [seed for seed in SEEDS if lacks_what_is_certain(seed)]


def is_committed(best, usable):
    told_index = max(it.committed_index for it in usable)
    is_changed = best.configuration_index > best.term_index
    return told_index >= best.term_index or is_changed or len(best.electors) == 2


def hoping(*, elected=True, last=True, voted=True, committed=True):
    """As the product decides, without one of what it asks for."""

    def decide(best, usable, here):
        term = max(it.term for it in usable)
        missing = sum(it.key not in here for it in best.electors)
        votes = {it.voted_for for it in usable if it.term == term}
        return all(
            (
                missing < majority(len(best.electors)) or not elected,
                best.last_term == term or not last,
                votes <= {None, *here} or not voted,
                is_committed(best, usable) or not committed,
            )
        )

    return decide


@pytest.mark.parametrize(
    "hopeful",
    [
        pytest.param(hoping(elected=False), id="whoever could vote"),
        pytest.param(hoping(last=False), id="whoever led later"),
        pytest.param(hoping(voted=False), id="whoever was voted for"),
        pytest.param(hoping(committed=False), id="whoever changed the members unheard before"),
    ],
)
def test_a_hope_is_found_out(monkeypatch, hopeful):
    monkeypatch.setattr(survivors, "_is_led_from_here", hopeful)
    assert any(is_lie(*lived(seed)) for seed in SEEDS)

"""A cluster is born once: whatever is restarted, replaced or listed wrongly, never into two."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import WrongIdentity
from replicante.raft.birth import Birth, BirthNote, decode_note
from replicante.raft.membership import Member, cluster_id_of, configuration_of, genesis_payload
from replicante.raft.records import decode_detail
from replicante.testing.entropy import Chance


def member(name, disk=1):
    return Member(name, f"{name}{disk}", f"{name}.example:1")


class Unborn:
    """A peer before birth: its directory (incarnation, lock, genesis) and its process."""

    def __init__(self, name, *, listed="abc", disk=1):
        self.name, self.listed = name, listed
        self.replace(disk)

    def replace(self, disk):
        """Another, empty data directory."""
        self.disk, self.lock, self.born = disk, b"", b""
        self.start()

    def start(self):
        """A new process; raises WrongIdentity when it refuses."""
        self.failure = None
        self.birth = None
        if not self.born:
            self.birth = Birth(
                cluster_name="test",
                own=member(self.name, self.disk),
                expected=dict.fromkeys(self.listed, ""),
                locked=self.lock,
            )

    @property
    def note(self):
        if self.born:
            return BirthNote((), self.born, is_born=True)
        return self.birth.note

    @property
    def is_alive(self):
        return self.failure is None

    def meet(self, other):
        self.hear(other.letter)

    @property
    def letter(self):
        """What it tells now: who it is, and its note as bytes."""
        return member(self.name, self.disk), self.note.encode()

    def hear(self, letter):
        """Unless it is done with birth."""
        if self.birth is None or not self.is_alive:
            return
        sender, body = letter
        try:
            self.birth.meet(sender, decode_note(body))
        except WrongIdentity as error:
            self.failure = error

    def write_lock(self):
        if self.birth and self.is_alive and self.birth.lock_wanted is not None:
            self.lock = self.birth.lock_wanted
            self.birth.lock(self.lock)

    def write_genesis(self):
        if self.birth and self.is_alive and self.birth.genesis is not None:
            self.born = self.birth.genesis
            self.birth = None


def settle(*peers):
    for _ in range(4):
        for one, other in itertools.permutations(peers, 2):
            one.meet(other)
        for peer in peers:
            peer.write_lock()
            peer.write_genesis()


def trio():
    return [Unborn(name) for name in "abc"]


def test_three_peers_are_born_into_one_cluster_in_any_order_of_meeting():
    meetings = list(itertools.permutations(range(3), 2))
    for order in itertools.permutations(meetings):
        peers = trio()
        for one, other in order * 3:
            peers[one].meet(peers[other])
            peers[one].write_lock()
            peers[one].write_genesis()
        assert len({peer.born for peer in peers}) == 1 and peers[0].born


def test_genesis_names_everybody_sorted_and_its_hash_names_the_cluster():
    peers = trio()
    settle(*peers)
    detail = decode_detail(peers[0].born)
    assert detail["cluster"] == "test"
    assert [m.key for m in configuration_of(detail).voters] == ["a/a1", "b/b1", "c/c1"]
    assert len(cluster_id_of(peers[0].born)) == 32


def test_one_peer_alone_is_born_at_once():
    peer = Unborn("a", listed="a")
    peer.write_lock()
    peer.write_genesis()
    assert peer.born


def test_nobody_is_born_while_a_listed_peer_is_missing():
    a, b, c = trio()
    settle(a, b)
    assert a.birth.missing == ("c",) and a.birth.lock_wanted is None and not a.lock
    settle(a, b, c)
    assert a.born == b.born == c.born != b""


def test_nobody_is_born_before_everybody_has_locked():
    a, b, c = trio()
    for one, other in itertools.permutations((a, b, c), 2):
        one.meet(other)
    a.write_lock()
    b.write_lock()
    a.meet(b)
    assert a.birth.genesis is None and a.birth.missing == ("c",)
    a.meet(c)
    assert a.birth.genesis is None
    c.write_lock()
    a.meet(c)
    assert a.birth.genesis == a.lock


def test_a_lock_and_an_agreement_survive_restarts():
    a, b, c = trio()
    for one, other in itertools.permutations((a, b, c), 2):
        one.meet(other)
    for peer in (a, b, c):
        peer.write_lock()
        peer.start()
    assert a.note.locked == a.lock
    settle(a, b, c)
    assert a.born == b.born == c.born == a.lock


def test_a_peer_that_missed_the_birth_adopts_it():
    a, b, c = trio()
    for one, other in itertools.permutations((a, b, c), 2):
        one.meet(other)
    for peer in (a, b, c):
        peer.write_lock()
    settle(a, b)
    a.meet(c)
    a.write_genesis()
    assert a.born and not c.born
    c.start()
    c.meet(a)
    c.write_genesis()
    assert c.born == a.born


def test_a_replaced_directory_before_any_lock_stops_those_who_saw_the_old_one():
    a, b, _ = trio()
    a.meet(b)
    b.replace(disk=2)
    a.meet(b)
    assert "another data directory" in a.failure.message


def test_a_replaced_directory_after_a_lock_is_refused_by_the_lock():
    a, b, c = trio()
    settle_locks(a, b, c)
    b.replace(disk=2)
    b.meet(a)
    assert "with another data directory of b" in b.failure.message
    assert b.failure.hints


def test_a_replaced_directory_after_birth_does_not_come_back():
    a, b, c = trio()
    settle(a, b, c)
    b.replace(disk=2)
    b.meet(a)
    assert "born without this data directory" in b.failure.message
    assert any("learner" in hint for hint in b.failure.hints)


def test_two_locks_that_differ_are_never_reconciled():
    a, b, c = trio()
    for one, other in itertools.permutations((a, b, c), 2):
        one.meet(other)
    b.write_lock()
    old_lock = b.lock
    b.replace(disk=2)
    a.start()
    c.start()
    settle(a, b, c)
    assert a.born == b.born == c.born != old_lock
    came_back = Unborn("b")
    came_back.lock = old_lock
    came_back.start()
    came_back.meet(a)
    assert came_back.failure is not None and not came_back.born


def test_a_locked_peer_and_one_with_another_lock_both_stop():
    a, b = Unborn("a"), Unborn("b")
    a.lock = genesis_payload(cluster_name="test", voters=[member("a"), member("b"), member("c")])
    b.lock = genesis_payload(cluster_name="test", voters=[member("a"), member("b"), member("c", 2)])
    a.start()
    b.start()
    a.meet(b)
    b.meet(a)
    assert "different first configurations" in a.failure.message
    assert "different first configurations" in b.failure.message


def test_peers_with_different_lists_stop_and_say_both():
    a, b = Unborn("a", listed="abc"), Unborn("b", listed="abd")
    a.meet(b)
    assert "a, b, d" in a.failure.message and "a, b, c" in a.failure.message


def test_the_order_of_the_list_is_irrelevant():
    a, b = Unborn("a", listed="ab"), Unborn("b", listed="ba")
    settle(a, b)
    assert a.born == b.born != b""


def test_a_list_that_was_changed_after_the_lock_is_refused_at_start():
    """Otherwise three of five could be born by themselves, and the other two without them."""
    a, b, c = trio()
    settle_locks(a, b, c)
    a.listed = "ab"
    with pytest.raises(WrongIdentity, match="agreed on a cluster of a, b, c"):
        a.start()


def test_a_genesis_other_than_the_own_lock_is_never_adopted():
    a = Unborn("a")
    a.lock = genesis_payload(cluster_name="test", voters=[member("a"), member("b"), member("c")])
    a.start()
    b = Unborn("b")
    b.born = genesis_payload(cluster_name="test", voters=[member("a"), member("b"), member("c", 2)])
    a.meet(b)
    assert a.failure is not None and not a.born


def test_a_genesis_of_another_cluster_name_is_never_adopted():
    a, b = Unborn("a"), Unborn("b")
    b.born = genesis_payload(cluster_name="other", voters=[member("a"), member("b"), member("c")])
    a.meet(b)
    assert a.failure is not None


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", b"\x81\xa6voters\xa3abc", b"\x90"])
def test_a_genesis_that_cannot_be_read_is_refused(payload):
    birth = Unborn("a").birth
    for note in (BirthNote((), payload, is_born=True), BirthNote(("a", "b", "c"), payload)):
        if note.locked or note.is_born:
            with pytest.raises(WrongIdentity):
                birth.meet(member("b"), note)


@given(body=st.binary(max_size=100))
def test_arbitrary_bytes_are_no_note_and_no_exception(body):
    note = decode_note(body)
    assert note is None or isinstance(note, BirthNote)


@given(
    expected=st.lists(st.text(max_size=5), max_size=4),
    locked=st.binary(max_size=20),
    is_born=st.booleans(),
)
def test_a_note_survives_its_encoding(expected, locked, is_born):
    note = BirthNote(tuple(expected), locked, is_born)
    assert decode_note(note.encode()) == note


def settle_locks(*peers):
    for one, other in itertools.permutations(peers, 2):
        one.meet(other)
    for peer in peers:
        peer.write_lock()


# --- the property ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(300))
def test_no_two_peers_are_ever_born_into_different_clusters(seed):
    """Whatever is restarted, replaced or told late, as long as one directory is never replaced."""
    chance = Chance(seed, "birth")
    names = "abcde"[: chance.between(2, 5)]
    peers = [Unborn(name, listed=names) for name in names]
    replaced, letters = 0, []
    for _ in range(200):
        peer = chance.pick(peers)
        match chance.weighted(
            [
                ("meet", 12),
                ("late", 4),
                ("lock", 4),
                ("genesis", 3),
                ("start", 2),
                ("replace", 0.2),
            ]
        ):
            case "meet":
                other = chance.pick(peers)
                if other is not peer and other.is_alive:
                    letters.append(other.letter)
                    peer.meet(other)
            case "late" if letters:
                letter = chance.pick(letters)
                if letter[0].peer_id != peer.name:
                    peer.hear(letter)
            case "lock":
                peer.write_lock()
            case "genesis":
                peer.write_genesis()
            case "start":
                peer.start()
            case "replace" if replaced < len(names) - 1:
                replaced += 1
                peer.replace(disk=peer.disk + 1)
        born = {it.born for it in peers if it.born}
        assert len(born) <= 1, [cluster_id_of(genesis) for genesis in born]

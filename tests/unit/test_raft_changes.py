"""Which change of the members may follow which configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from raft_builders import configuration, member

from replicante import limits
from replicante.errors import MembershipRefused
from replicante.raft.changes import (
    Change,
    ChangeKind,
    changed,
    decode_change,
    encode_change,
    is_made,
)
from replicante.raft.membership import (
    Configuration,
    Invitation,
    Member,
    configuration_payload,
    majority,
    read_configuration,
)


def change(kind: ChangeKind, name: str, **fields) -> Change:
    it = member(name)
    given = {"incarnation": it.incarnation, "address": it.raft_address, **fields}
    return Change(kind=kind, peer_id=name, **given)


ADD, PROMOTE, REMOVE = ChangeKind.ADD_LEARNER, ChangeKind.PROMOTE, ChangeKind.REMOVE


def after(before: Configuration, *steps: Change, clock_ms: int = 0) -> Configuration:
    for step in steps:
        assert not is_made(before, step)
        before = changed(before, step, clock_ms=clock_ms)
        assert is_made(before, step)
    return before


def test_who_joins_is_a_learner_first_and_then_a_voter():
    with_learner = after(configuration("abc"), change(ADD, "d"))
    assert with_learner.voters == configuration("abc").voters
    assert with_learner.learners == (member("d"),)
    promoted = after(with_learner, change(PROMOTE, "d"))
    assert promoted.is_voter(member("d").key) and not promoted.learners


def test_a_voter_and_a_learner_can_be_removed():
    start = after(configuration("abc"), change(ADD, "d"))
    left = after(start, change(REMOVE, "c"), change(REMOVE, "d"))
    disks = (member("c").incarnation, member("d").incarnation)
    assert left == replace(configuration("ab"), former=disks)
    assert read_configuration(configuration_payload(left)) == left


def test_as_many_removals_are_remembered_as_the_limit_says():
    left = configuration("ab")
    for number in range(limits.MEMBERS_FORMER_MAX + 3):
        disk = f"disk-{number}"
        left = after(
            left, change(ADD, "d", incarnation=disk), change(REMOVE, "d", incarnation=disk)
        )
    assert len(left.former) == limits.MEMBERS_FORMER_MAX
    assert left.former[-1] == disk
    assert "disk-2" not in left.former


def test_a_configuration_at_its_longest_travels_with_a_snapshot():
    names = [
        f"{number:02}" + "n" * (limits.NAME_BYTES_MAX - 2) for number in range(limits.PEERS_MAX)
    ]
    disk, address = "f" * 32, "a" * limits.ADDRESS_BYTES_MAX
    longest = Configuration(
        voters=tuple(Member(name, disk, address) for name in names),
        invited=tuple(Invitation(name, disk, 1 << 63) for name in names),
        former=(disk,) * limits.MEMBERS_FORMER_MAX,
    )
    assert len(configuration_payload(longest)) <= limits.CONFIGURATION_BYTES_MAX


def test_any_majority_shares_a_voter_with_any_majority_of_the_next_configuration():
    """Thesis §4.1: single-server changes; sizes 1 to 15, one more or one less."""
    for count in range(1, limits.PEERS_MAX):
        assert majority(count) + majority(count + 1) > count + 1


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (change(ADD, "a", incarnation="new-disk"), "another data directory"),
        (change(PROMOTE, "d"), "no learner"),
        (change(ADD, "d", digest="00"), "token"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(step, word):
    with pytest.raises(MembershipRefused, match=word):
        changed(configuration("abc"), step, clock_ms=0)


def test_the_last_voter_stays():
    start = after(configuration("a"), change(ADD, "b"))
    with pytest.raises(MembershipRefused, match="last voter"):
        changed(start, change(REMOVE, "a"), clock_ms=0)


def test_there_are_no_more_members_than_the_limit():
    names = [f"p{number}" for number in range(limits.PEERS_MAX)]
    full = Configuration(voters=tuple(Member(name, "disk", "x:1") for name in names))
    with pytest.raises(MembershipRefused, match="the most"):
        changed(full, change(ADD, "d"), clock_ms=0)


# --- invitations ---------------------------------------------------------------------------


def invited(*, valid_ms: int = 100) -> Configuration:
    step = Change(kind=ChangeKind.INVITE, peer_id="d", digest="d1", valid_ms=valid_ms)
    return changed(configuration("abc"), step, clock_ms=1_000)


def test_a_token_is_good_once():
    step = change(ADD, "d", digest="d1")
    joined = after(invited(), step, clock_ms=1_050)
    assert not joined.invited
    again = replace(step, incarnation="other-disk")
    left = after(joined, change(REMOVE, "d"), clock_ms=1_050)
    with pytest.raises(MembershipRefused, match="token"):
        changed(left, again, clock_ms=1_060)


@pytest.mark.parametrize(("clock_ms", "is_good"), [(1_099, True), (1_100, False)])
def test_a_token_runs_out_by_the_cluster_clock(clock_ms, is_good):
    step = change(ADD, "d", digest="d1")
    if is_good:
        assert changed(invited(), step, clock_ms=clock_ms).learners
    else:
        with pytest.raises(MembershipRefused, match="run out"):
            changed(invited(), step, clock_ms=clock_ms)


def test_a_token_is_good_for_its_name_only():
    with pytest.raises(MembershipRefused, match="token"):
        changed(invited(), change(ADD, "e", digest="d1"), clock_ms=1_000)


def test_a_newer_token_replaces_the_older_one_of_the_same_name():
    newer = Change(kind=ChangeKind.INVITE, peer_id="d", digest="d2", valid_ms=100)
    both = changed(invited(), newer, clock_ms=1_000)
    assert both.invited == (Invitation("d", "d2", 1_100),)


def test_there_are_no_more_invitations_than_the_limit():
    start = configuration("abc")
    for number in range(limits.PEERS_MAX):
        step = Change(kind=ChangeKind.INVITE, peer_id=f"p{number}", digest="00", valid_ms=100)
        start = changed(start, step, clock_ms=0)
    one_more = Change(kind=ChangeKind.INVITE, peer_id="d", digest="00", valid_ms=100)
    with pytest.raises(MembershipRefused, match="invited"):
        changed(start, one_more, clock_ms=0)
    assert len(changed(start, one_more, clock_ms=100).invited) == 1, (
        "those that ran out are dropped"
    )


# --- bytes -----------------------------------------------------------------------------------


def test_a_configuration_is_read_as_it_was_written():
    whole = after(invited(), change(ADD, "e"))
    assert read_configuration(configuration_payload(whole)) == whole


def test_a_change_crosses_the_wire_whole():
    step = change(ADD, "d", digest="d1")
    assert decode_change(encode_change(step, term=1, number=2)) == step


def test_a_kind_of_a_newer_version_is_nothing_here():
    request = encode_change(change(ADD, "d"), term=1, number=2)
    assert decode_change(type(request)(1, 2, 99, "d")) is None

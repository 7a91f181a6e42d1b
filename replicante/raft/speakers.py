"""Whom a peer talks with: members by its log, and guests whom it does not know yet. Pure; called by
neighbours.

A guest is a member of a newer configuration than this peer has, or an invited peer on its way in.
It is listened to and answered for as long as its connection stands.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicante import limits
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import NOBODY, Member, Roster, read_configuration


class Speakers:
    def __init__(self, addresses: Mapping[str, str]) -> None:
        """addresses: peer id → where the operator's settings say that it is."""
        self.roster = NOBODY
        self._addresses = addresses
        self._first: frozenset[str] = frozenset()
        """Keys of the first voters."""
        self._guests: dict[str, Member] = {}
        self._seen: dict[str, Member] = {}
        """By peer id, as each told of itself last."""

    def born(self, header: LogHeader) -> None:
        if header.cluster_id and header.birth_lock:
            voters = read_configuration(header.birth_lock).voters
            self._first = frozenset(voter.key for voter in voters)

    def follow(self, roster: Roster) -> list[str]:
        """Who spoke under these peer ids is nobody any more: their links are to be judged again."""
        self.roster = roster
        for peer_id, guest in list(self._guests.items()):
            if roster.knows(guest.key):
                del self._guests[peer_id]
        former = [peer_id for peer_id, it in self._seen.items() if not self.knows(it.key)]
        for peer_id in former:
            del self._seen[peer_id]
        return former

    def greeted(self, speaker: Member) -> bool:
        """True when it says something else of itself than before."""
        is_news = self._seen.get(speaker.peer_id) != speaker
        self._seen[speaker.peer_id] = speaker
        return is_news

    def key_of(self, peer_id: str) -> str | None:
        """Who spoke last under this id."""
        seen = self._seen.get(peer_id)
        return None if seen is None else seen.key

    def address_of(self, member: Member) -> str:
        """An address may change, an identity may not: where the first voters are, the settings
        tell; where one is that joined, its own greeting, and before that its entry."""
        if member.key in self._first and member.peer_id in self._addresses:
            return self._addresses[member.peer_id]
        seen = self._seen.get(member.peer_id)
        return seen.raft_address if seen and seen.key == member.key else member.raft_address

    def knows(self, key: str) -> bool:
        return self.roster.knows(key) or self.is_guest(key)

    def welcome(self, guest: Member) -> bool:
        """False when it was a guest already, or there are too many."""
        if self._guests.get(guest.peer_id) == guest:
            return False
        if guest.peer_id not in self._guests and len(self._guests) >= limits.PEERS_MAX:
            return False
        self._guests[guest.peer_id] = guest
        return True

    def part_from(self, key: str) -> bool:
        """Its last connection ended. True when it was a guest."""
        guest = self._guests.get(key.partition("/")[0])
        if guest is None or guest.key != key:
            return False
        del self._guests[guest.peer_id]
        return True

    def is_guest(self, key: str) -> bool:
        return any(guest.key == key for guest in self._guests.values())

    @property
    def guests(self) -> tuple[Member, ...]:
        return tuple(self._guests.values())

"""Whom a peer talks with: members by its log, and guests whom it does not know yet. Pure; called by
neighbours.

A guest is a member of a newer configuration than this peer has, or an invited peer on its way in.
It is listened to and answered for as long as its connection stands.
"""

from __future__ import annotations

from replicante import limits
from replicante.raft.membership import NOBODY, Member, Roster


class Speakers:
    def __init__(self) -> None:
        self.roster = NOBODY
        self._guests: dict[str, Member] = {}
        self._keys: dict[str, str] = {}

    def follow(self, roster: Roster) -> list[str]:
        """Who spoke under these peer ids is nobody any more: their links are to be judged again."""
        self.roster = roster
        for peer_id, guest in list(self._guests.items()):
            if roster.knows(guest.key):
                del self._guests[peer_id]
        former = [peer_id for peer_id, key in self._keys.items() if not self.knows(key)]
        for peer_id in former:
            del self._keys[peer_id]
        return former

    def greeted(self, speaker: Member) -> None:
        self._keys[speaker.peer_id] = speaker.key

    def key_of(self, peer_id: str) -> str | None:
        """Who spoke last under this id."""
        return self._keys.get(peer_id)

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

"""The members of a group as callers of one of its peers see and change them. Touches asyncio.

Base of `peer.Peer`, which takes the changes into its loop. Any peer takes a change: it goes to the
leader, and is done when this peer's own log shows it committed (ADR 0021).
"""

from __future__ import annotations

import asyncio
import contextlib
import re

from replicante import limits
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.errors import Invalid, NotFound, OutcomeUnknown, PeerStopping, ReplicanteError
from replicante.raft import driver as d
from replicante.raft.callers import Callers
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.dialling import is_address
from replicante.raft.join_token import JoinToken, digest_of, encode_token
from replicante.raft.membership import Configuration, Member
from replicante.raft.neighbours import Neighbours
from replicante.raft.settings import PeerSettings

_JOIN_RETRY_S = 1.0
_PEER_ID = re.compile(limits.PEER_ID_PATTERN)
_INCARNATION = re.compile(r"[0-9a-f]{32}")


class MemberDoor:
    settings: PeerSettings
    _clock: Clock
    _entropy: Entropy
    _callers: Callers
    _driver: d.Driver | None
    _neighbours: Neighbours
    _followed: asyncio.Event
    """Set when this peer stopped to lead."""
    _is_stopping: bool
    _joiners: dict[str, asyncio.Task[None]]
    """Peers that are being added because they came with a token, by key."""

    # --- what `Peer` does for these ---------------------------------------------------------

    def _give(self, given: d.Input) -> None:
        raise NotImplementedError

    def _refuse_when_unable(self) -> None:
        raise NotImplementedError

    async def read_barrier(self, *, timeout_ms: int) -> int:
        raise NotImplementedError

    # --- members ----------------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """Voters and learners as of the newest configuration in the log; empty before birth."""
        return self._driver.engine.configuration if self._driver is not None else Configuration(())

    async def invite(
        self,
        peer_id: str,
        *,
        valid_ms: int = limits.JOIN_VALID_MS_DEFAULT,
        timeout_ms: int = limits.MEMBERSHIP_MS_DEFAULT,
    ) -> str:
        """A token with which an empty data directory of `peer_id` becomes a learner, once.

        Raises Invalid, and as `promote`.
        """
        if not _PEER_ID.fullmatch(peer_id):
            raise Invalid(f"{peer_id!r} is no name of a peer", path="id")
        if not 0 < valid_ms <= limits.JOIN_VALID_MS_MAX:
            raise Invalid(
                f"a token is good for at most {limits.JOIN_VALID_MS_MAX} ms", path="valid"
            )
        secret = self._entropy.token()
        change = Change(
            kind=ChangeKind.INVITE, peer_id=peer_id, digest=digest_of(secret), valid_ms=valid_ms
        )
        await self._change(change, timeout_ms=timeout_ms)
        header = self._neighbours.header
        return encode_token(
            JoinToken(
                cluster_name=header.cluster_name,
                cluster_id=header.cluster_id,
                peer_id=peer_id,
                secret=secret,
                authorities=self.settings.authorities[: limits.JOIN_AUTHORITIES_MAX],
                generation=header.generation,
                lineage=header.lineage,
            )
        )

    async def add_learner(
        self,
        peer_id: str,
        *,
        incarnation: str,
        address: str,
        timeout_ms: int = limits.MEMBERSHIP_MS_DEFAULT,
    ) -> int:
        """As a peer with a token does by itself; the index of the configuration that lists it.
        The caller vouches for the incarnation. Raises Invalid, and as `promote`."""
        if not _PEER_ID.fullmatch(peer_id):
            raise Invalid(f"{peer_id!r} is no name of a peer", path="id")
        if not _INCARNATION.fullmatch(incarnation):
            raise Invalid("an incarnation is 32 hex digits", path="incarnation")
        if not is_address(address):
            raise Invalid(f"{address!r} is no address of a peer", path="address")
        change = Change(
            kind=ChangeKind.ADD_LEARNER,
            peer_id=peer_id,
            incarnation=incarnation,
            address=address,
        )
        left_ms = await self._barrier(timeout_ms=timeout_ms)
        return await self._change(change, timeout_ms=left_ms)

    async def promote(self, peer_id: str, *, timeout_ms: int = limits.MEMBERSHIP_MS_DEFAULT) -> int:
        """A learner votes from now on; the index of the configuration.

        Definitely not done: MembershipRefused with the reason (it lacks too much of the log,
        another change is under way, no majority would answer), NotFound, NoLeader, ReadTimeout,
        PeerStopping, QueueFull, DiskFull. OutcomeUnknown: repeat it, nothing is done twice.
        """
        return await self._change_member(ChangeKind.PROMOTE, peer_id, timeout_ms=timeout_ms)

    async def remove(self, peer_id: str, *, timeout_ms: int = limits.MEMBERSHIP_MS_DEFAULT) -> int:
        """A voter or a learner is no member any more, and is told so; a leader hands over first.
        Raises as `promote`."""
        return await self._change_member(ChangeKind.REMOVE, peer_id, timeout_ms=timeout_ms)

    async def transfer_leadership(
        self, to: str | None = None, *, timeout_ms: int = limits.MEMBERSHIP_MS_DEFAULT
    ) -> None:
        """Another peer leads: `to`, or whoever is most complete. Writes meanwhile wait. Raises as
        `promote`."""
        if to is not None:
            await self._change_member(ChangeKind.TRANSFER, to, timeout_ms=timeout_ms)
            return
        self._refuse_when_unable()
        await self._change(Change(kind=ChangeKind.TRANSFER, peer_id=""), timeout_ms=timeout_ms)

    async def hand_over(self) -> None:
        """Before a stop: if this peer leads, the most complete follower takes over; returns when it
        did, or after an election timeout."""
        if self._driver is None or self._is_stopping or not self._driver.engine.is_leader:
            return
        if len(self.configuration.voters) == 1:
            return
        patience_ms = self.settings.election_ms_min
        self._followed.clear()
        self._give(d.TransferInput(self._clock.monotonic_ms() + patience_ms))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_ms / 1000):
                await self._followed.wait()

    # --- below ------------------------------------------------------------------------------

    async def _change_member(self, kind: ChangeKind, peer_id: str, *, timeout_ms: int) -> int:
        left_ms = await self._barrier(timeout_ms=timeout_ms)
        member = self.configuration.find_peer(peer_id)
        if member is None:
            names = ", ".join(it.peer_id for it in self.configuration.members)
            raise NotFound(f"there is no member {peer_id}; there are {names}")
        return await self._change(_change_of(kind, member), timeout_ms=left_ms)

    async def _barrier(self, *, timeout_ms: int) -> int:
        """Afterwards the configuration is not older than the call, and what an earlier change made
        and a later one undid before it is not taken for this one. The ms that are left."""
        until_ms = self._clock.monotonic_ms() + timeout_ms
        await self.read_barrier(timeout_ms=timeout_ms)
        return max(until_ms - self._clock.monotonic_ms(), 0)

    async def _change(self, change: Change, *, timeout_ms: int) -> int:
        self._refuse_when_unable()
        ticket = self._callers.changes.open()
        self._give(d.ChangeInput(ticket, change, self._clock.monotonic_ms() + timeout_ms))
        late = OutcomeUnknown
        return await self._callers.changes.wait(ticket, timeout_ms=timeout_ms, late=late)

    def wants_to_join(self, change: Change) -> None:
        """See neighbours.Sink."""
        if change.key not in self._joiners:
            task = asyncio.create_task(self._add_joiner(change), name=f"raft-join-{change.peer_id}")
            self._joiners[change.key] = task
            task.add_done_callback(lambda _: self._joiners.pop(change.key, None))

    async def _add_joiner(self, change: Change) -> None:
        """Until it is a member, or its connection or its token is gone."""
        while self._neighbours.is_guest(change.key):
            try:
                await self._change(change, timeout_ms=limits.MEMBERSHIP_MS_DEFAULT)
            except PeerStopping:
                return
            except ReplicanteError as error:
                # Asked again, whatever it was: to add it twice is to add it once.
                self._neighbours.tell_refused(change.peer_id, error.message)
            await asyncio.sleep(_JOIN_RETRY_S)


def _change_of(kind: ChangeKind, member: Member) -> Change:
    return Change(
        kind=kind,
        peer_id=member.peer_id,
        incarnation=member.incarnation,
        address=member.raft_address,
    )

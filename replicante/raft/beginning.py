"""How this peer comes to its cluster: by a birth, by a token, or long ago. Writes the log's header.

Used by neighbours, on the loop. Rule: what birth asks for is durable before anybody is told of it.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.errors import WrongIdentity
from replicante.raft.birth import Birth, BirthNote
from replicante.raft.commit_thread import CommitThread
from replicante.raft.data_dir import write_genesis, write_lock
from replicante.raft.frames import Hello, Refusal
from replicante.raft.join_token import JoinToken
from replicante.raft.joining import Joining
from replicante.raft.link_observations import HelloRefused
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import Member, Roster
from replicante.raft.settings import PeerSettings
from replicante.raft.welcome import judge_member


class Beginning:
    def __init__(
        self,
        settings: PeerSettings,
        header: LogHeader,
        store: LmdbLog,
        *,
        token: JoinToken | None,
        locked: Callable[[], None],
        born: Callable[[], None],
    ) -> None:
        """locked, born: called when the lock, or the first entry, is durable."""
        self.header = header
        self._store = store
        self._locked = locked
        self._born = born
        self._birth: Birth | Joining | None = None
        if not header.cluster_id and token is not None:
            self._birth = Joining(token)
        elif not header.cluster_id:
            self._birth = Birth(
                cluster_name=settings.cluster_name,
                own=Member(settings.peer_id, header.incarnation, settings.address),
                expected=settings.expected,
                locked=header.birth_lock,
            )

    @property
    def is_over(self) -> bool:
        """This peer has a cluster."""
        return self._birth is None

    @property
    def note(self) -> BirthNote:
        """What its greetings say of it."""
        if self._birth is not None:
            return self._birth.note
        return BirthNote((), self.header.birth_lock, is_born=True)

    def judge(self, hello: Hello, roster: Roster) -> Refusal | None:
        if self._birth is None:
            return judge_member(hello, self.header, roster)
        return self._birth.judge(hello, self.header)

    def meet(self, member: Member, note: BirthNote) -> None:
        """Raises WrongIdentity: this peer must not start."""
        if self._birth is not None:
            self._birth.meet(member, note)

    def wrong(self, observation: HelloRefused) -> WrongIdentity | None:
        """What a stranger's cluster means for a peer that has none."""
        return None if self._birth is None else self._birth.wrong(observation)

    async def advance(self, committer: CommitThread) -> None:
        """Writes what birth asks for: the lock, then the first entry."""
        birth = self._birth
        while birth is not None and self._birth is birth:
            if birth.genesis is not None:
                await self._write_genesis(committer, birth, birth.genesis)
            elif birth.lock_wanted is not None:
                await self._write_lock(committer, birth, birth.lock_wanted)
            else:
                return

    async def _write_lock(
        self, committer: CommitThread, birth: Birth | Joining, payload: bytes
    ) -> None:
        def write() -> None:
            self.header = write_lock(self._store, self.header, payload)

        await committer.run(write)
        birth.lock(payload)
        self._locked()

    async def _write_genesis(
        self, committer: CommitThread, birth: Birth | Joining, genesis: bytes
    ) -> None:
        def write() -> None:
            self.header = write_genesis(
                self._store,
                self.header,
                genesis,
                generation=birth.generation,
                lineage=birth.lineage,
            )

        await committer.run(write)
        self._birth = None
        self._born()

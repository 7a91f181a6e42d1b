"""The members of the control plane, call by call. Reached as `client.members`."""

from __future__ import annotations

from replicante import limits
from replicante.client.call import Call
from replicante.client.calls import Calls
from replicante.client.encoding import encode_body, path_text, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.wire import paths
from replicante.wire.backups import BackupAnswer, BackupBody
from replicante.wire.durations import format_duration_ms
from replicante.wire.levels import LevelAnswer, LevelBody, LevelRaised
from replicante.wire.members import (
    ChangeAnswer,
    LearnerBody,
    MembersAnswer,
    TokenAnswer,
    TokenBody,
    TransferAnswer,
    TransferBody,
)


class Members:
    """A change that failed with `OutcomeUnknown` may simply be asked for again: nothing happens
    twice. Only another token takes the place of the one before."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list(self, *, read: Read = LINEARIZABLE) -> MembersAnswer:
        """Voters and learners, as itself sees them now: one peer's own copy; of `read` only the
        deadline and the endpoint count. Raises `Unreachable`."""
        call = Call(
            method="GET",
            path=paths.RAFT_PEERS,
            timeout_ms=read.timeout_ms,
            endpoint=read.endpoint,
            is_local=True,
        )
        return await self._calls.run_as(MembersAnswer, call)

    async def token(
        self,
        peer_id: str,
        *,
        valid_ms: int = limits.JOIN_VALID_MS_DEFAULT,
        write: Write = DEFAULT_WRITE,
    ) -> TokenAnswer:
        """A token with which an empty data directory of this peer joins as a learner, once.
        Raises `Invalid`, and as `promote`."""
        body = TokenBody(id=peer_id, valid=format_duration_ms(valid_ms))
        return await self._calls.run_as(TokenAnswer, _post(paths.RAFT_TOKENS, body, write))

    async def add(
        self, peer_id: str, *, incarnation: str, address: str, write: Write = DEFAULT_WRITE
    ) -> ChangeAnswer:
        """A learner without a token: you vouch for the data directory. Raises as `token`."""
        body = LearnerBody(id=peer_id, incarnation=incarnation, address=address)
        return await self._calls.run_as(ChangeAnswer, _post(paths.RAFT_PEERS, body, write))

    async def promote(self, peer_id: str, *, write: Write = DEFAULT_WRITE) -> ChangeAnswer:
        """A learner votes from now on.

        Durable on a majority, of the members before and after, when it returns. Raises
        `MembershipRefused` with the reason, `NotFound` when there is no such member,
        `OutcomeUnknown`, and the definite ones of `kv.put`.
        """
        path = path_text(paths.raft_peer_path, peer_id, "promote")
        return await self._calls.run_as(ChangeAnswer, _post(path, None, write))

    async def remove(self, peer_id: str, *, write: Write = DEFAULT_WRITE) -> ChangeAnswer:
        """No member any more, and told so. Raises as `promote`."""
        path = path_text(paths.raft_peer_path, peer_id)
        call = write_call("DELETE", path, None, headers={}, write=write)
        return await self._calls.run_as(ChangeAnswer, call)

    async def transfer(
        self, to: str | None = None, *, write: Write = DEFAULT_WRITE
    ) -> TransferAnswer:
        """Another peer leads. Raises as `promote`."""
        call = _post(paths.RAFT_TRANSFER, TransferBody(to=to), write)
        return await self._calls.run_as(TransferAnswer, call)

    async def level(self, *, read: Read = LINEARIZABLE) -> LevelAnswer:
        """By which feature level all peers apply, and which one each member supports, as the peer
        that answers heard it. Raises as `kv.get`."""
        return await self._calls.run_as(LevelAnswer, read_call(paths.RAFT_LEVEL, read))

    async def raise_level(self, level: int, *, write: Write = DEFAULT_WRITE) -> LevelRaised:
        """All peers apply by this feature level from now on, for ever.

        Raises `FeatureLevelUnsupported` while a member does not support it or is not heard,
        `FeatureLevelNotAbove`, and as `kv.put`.
        """
        body = encode_body(LevelBody(level=level), path="level")
        call = write_call("PUT", paths.RAFT_LEVEL, body, headers={}, write=write)
        return await self._calls.write_as(LevelRaised, call)

    async def backup(self, name: str, *, write: Write = DEFAULT_WRITE) -> BackupAnswer:
        """The peer that answers copies its whole state, of an instant after this
        call began (a linearizable read), into a new folder of its own disk. Raises
        `Invalid` for a name that was used, `DiskFull`, `NoLeader`, `ReadTimeout`."""
        call = _post(paths.RAFT_BACKUP, BackupBody(name=name), write)
        return await self._calls.run_as(BackupAnswer, call)


def _post(path: str, body: object, write: Write) -> Call:
    encoded = None if body is None else encode_body(body, path="id")
    return write_call("POST", path, encoded, headers={}, write=write)

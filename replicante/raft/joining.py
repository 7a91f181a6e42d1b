"""An empty data directory that becomes a learner of a cluster that exists (ADR 0022). Pure.

Takes the place of `birth.Birth` in neighbours.

It writes nothing before a member of exactly the token's cluster has shown the first entry: whose
hash is the cluster's id, so nobody can give it another one. It is born with that entry in every
generation: all of them begin with it, and the leader of a later one, whose log does not go back so
far, sends a copy of the state.
"""

from __future__ import annotations

from replicante.errors import InvalidConfig, WrongIdentity
from replicante.raft.birth import BirthNote
from replicante.raft.frames import Hello, Refusal
from replicante.raft.join_token import JoinToken, decode_token
from replicante.raft.link_observations import HelloRefused
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Member, cluster_id_of
from replicante.raft.settings import PeerSettings
from replicante.raft.welcome import judge_host


def token_of(settings: PeerSettings) -> JoinToken | None:
    """Raises InvalidConfig for a token that cannot be meant for this peer."""
    if not settings.join:
        return None
    token = decode_token(settings.join)
    if token.peer_id != settings.peer_id:
        raise InvalidConfig(
            f"this join token is for {token.peer_id}, this peer is {settings.peer_id}",
            hints=(f"make one for it: replicante raft token {settings.peer_id}",),
        )
    if token.cluster_name != settings.cluster_name:
        raise InvalidConfig(
            f"this join token is for cluster {token.cluster_name}, [peer] cluster says"
            f" {settings.cluster_name}",
        )
    has_none = not token.authorities and not settings.authorities
    if not has_none and set(token.authorities).isdisjoint(settings.authorities):
        raise InvalidConfig(
            "the cluster of this join token has another certificate authority, or one of the two"
            " has none",
            hints=("set [raft] tls_ca_file to the authority of the cluster",),
        )
    if not set(settings.peers) - {settings.peer_id}:
        raise InvalidConfig(
            "a join token needs the address of a member to ask",
            hints=("name one or more in [raft] peers, as p1=10.0.0.1:16116",),
        )
    return token


class Joining:
    """Fits `Birth`: when `genesis` is set, the first entry can be written."""

    def __init__(self, token: JoinToken) -> None:
        self._token = token
        self.lock_wanted: bytes | None = None
        self.genesis: bytes | None = None
        self.generation, self.lineage = token.generation, token.lineage

    @property
    def note(self) -> BirthNote:
        return BirthNote(())

    def judge(self, hello: Hello, header: LogHeader) -> Refusal | None:
        return judge_host(hello, header, self._token)

    def wrong(self, refused: HelloRefused) -> WrongIdentity:
        """The peer at an address of the settings is of another cluster than the token."""
        return WrongIdentity(
            refused.message,
            hints=("name members of the token's cluster in [raft] peers", "or make another token"),
        )

    def lock(self, payload: bytes) -> None:
        raise AssertionError("there is nothing to agree on: the cluster exists")

    def meet(self, member: Member, note: BirthNote) -> None:
        """Raises WrongIdentity for a first entry of another cluster."""
        if self.genesis is not None or not note.is_born:
            return
        if cluster_id_of(note.locked) != self._token.cluster_id:
            raise WrongIdentity(
                f"{member.peer_id} shows the first entry of another cluster than the join token"
                f" names (id {cluster_id_of(note.locked)}, in the token {self._token.cluster_id})"
            )
        self.genesis = note.locked

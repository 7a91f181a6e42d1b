"""Which greetings are welcome: of members, of who knows newer ones, of who was invited. Pure.

Called by neighbours.

Rule: the log decides, not a list that somebody typed. Who is refused learns why, and whether it
may hope: a peer that was removed for certain is told exactly that (ADR 0021).
"""

from __future__ import annotations

from replicante.raft.frames import Hello, Refusal, RefusalCode
from replicante.raft.join_token import JoinToken, digest_of
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Roster


def judge_listed(hello: Hello, header: LogHeader, *, expected: tuple[str, ...]) -> Refusal | None:
    """By a peer that waits for the birth of its cluster."""
    refusal = _judge_cluster(hello, header)
    if refusal is None and hello.peer_id not in expected:
        return _not_a_member(hello)
    return refusal


def _judge_cluster(hello: Hello, header: LogHeader) -> Refusal | None:
    if hello.cluster_name != header.cluster_name:
        return Refusal(
            code=RefusalCode.CLUSTER_NAME,
            message=f"{header.peer_id} belongs to cluster {header.cluster_name},"
            f" {hello.peer_id} to {hello.cluster_name}",
        )
    return None


def judge_host(hello: Hello, header: LogHeader, token: JoinToken) -> Refusal | None:
    """By a peer that wants to join the cluster of this token."""
    refusal = _judge_cluster(hello, header)
    if refusal is not None:
        return refusal
    if hello.cluster_id != token.cluster_id:
        return Refusal(
            code=RefusalCode.CLUSTER_ID,
            message=f"{hello.peer_id} belongs to another cluster than the join token"
            f" (id {hello.cluster_id or 'not born yet'}, in the token {token.cluster_id})",
        )
    if (hello.generation, hello.lineage) != (token.generation, token.lineage):
        return Refusal(
            code=RefusalCode.GENERATION,
            message=f"{hello.peer_id} is of generation {hello.generation}, the join token of"
            f" {token.generation}: a recovery lies between them",
        )
    return None


def judge_member(hello: Hello, header: LogHeader, roster: Roster) -> Refusal | None:
    """By a born peer."""
    refusal = _judge_cluster(hello, header)
    if refusal is not None:
        return refusal
    if hello.cluster_id and hello.cluster_id != header.cluster_id:
        return Refusal(
            code=RefusalCode.CLUSTER_ID,
            message=f"{hello.peer_id} belongs to another cluster of the same name"
            f" (id {hello.cluster_id}, here {header.cluster_id})",
        )
    # Who shows a token is not born yet, and names the generation that the token is of.
    has_history = bool(hello.cluster_id or hello.join)
    if has_history and hello.generation != header.generation:
        return Refusal(
            code=RefusalCode.GENERATION,
            message=f"{hello.peer_id} is of generation {hello.generation},"
            f" this cluster of {header.generation}: it was recovered without that peer",
        )
    if has_history and hello.lineage != header.lineage:
        return Refusal(
            code=RefusalCode.GENERATION,
            message=f"{hello.peer_id} and {header.peer_id} come from two recoveries to generation"
            f" {header.generation}: they have different histories and never meet",
        )
    if roster.knows(f"{hello.peer_id}/{hello.incarnation}"):
        return None
    if hello.cluster_id and hello.configuration_index > roster.index:
        return None  # it may be a member of a configuration that this peer does not have yet
    return _judge_stranger(hello, roster)


def is_invited(hello: Hello, roster: Roster) -> bool:
    """It brings the secret of a token for its name; the leader decides whether that ran out."""
    return bool(hello.join) and any(
        it.peer_id == hello.peer_id and it.digest == digest_of(hello.join)
        for it in roster.configuration.invited
    )


def _judge_stranger(hello: Hello, roster: Roster) -> Refusal | None:
    same_name = next((it for it in roster.known if it.peer_id == hello.peer_id), None)
    if same_name is not None and not (hello.was_member and roster.is_committed):
        return Refusal(
            code=RefusalCode.INCARNATION,
            message=f"this cluster knows {hello.peer_id} with another data directory"
            f" (incarnation {same_name.incarnation}, not {hello.incarnation}): a peer that"
            " lost its disk may not come back under its old identity; remove it and join it"
            " as a new learner",
        )
    if is_invited(hello, roster):
        return None
    if hello.was_member and roster.is_committed:
        return Refusal(
            code=RefusalCode.REMOVED,
            message=f"{hello.peer_id} was removed from this cluster: the configuration of entry"
            f" {roster.index} does not list it",
        )
    if hello.join:
        return Refusal(
            code=RefusalCode.TOKEN,
            message=f"the join token of {hello.peer_id} was used, was replaced by a newer one, or"
            " is not known here yet: make another with replicante raft token",
        )
    return _not_a_member(hello)


def _not_a_member(hello: Hello) -> Refusal:
    return Refusal(
        code=RefusalCode.NOT_A_MEMBER,
        message=f"{hello.peer_id} is not a member of this cluster: list it in [raft] peers of "
        "every peer before the cluster is born, or join it as a learner afterwards",
    )

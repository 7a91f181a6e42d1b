"""What a peer says of itself in every greeting. Pure; called by neighbours."""

from __future__ import annotations

from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.raft.birth import BirthNote
from replicante.raft.join_token import JoinToken
from replicante.raft.link_board import LocalIdentity
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Roster
from replicante.raft.settings import PeerSettings


def is_member(header: LogHeader, roster: Roster) -> bool:
    """Of the newest configuration in its log."""
    return roster.configuration.find(f"{header.peer_id}/{header.incarnation}") is not None


def introduce(
    header: LogHeader,
    settings: PeerSettings,
    roster: Roster,
    *,
    note: BirthNote,
    token: JoinToken | None,
) -> LocalIdentity:
    """token: with which it joins; shown until it is a member."""
    shown = None if token is None or is_member(header, roster) else token
    origin = header if shown is None else shown
    return LocalIdentity(
        cluster_name=header.cluster_name,
        cluster_id=ClusterId(header.cluster_id),
        generation=origin.generation,
        lineage=origin.lineage,
        peer_id=PeerId(header.peer_id),
        incarnation=Incarnation(header.incarnation),
        raft_address=settings.address,
        http_address=settings.http_address,
        birth=note.encode(),
        configuration_index=roster.index,
        was_member=roster.was_member,
        join="" if shown is None else shown.secret,
    )

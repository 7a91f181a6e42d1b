"""Puts together what a peer says about itself. Pure; called by peer for each status."""

from __future__ import annotations

from replicante import limits
from replicante.raft.driver import Driver
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Configuration, Member
from replicante.raft.neighbours import Neighbours
from replicante.raft.state_machine import DurableStateMachine
from replicante.raft.status import PeerInfo, Role, Status


def unborn_status(header: LogHeader, machine: DurableStateMachine) -> Status:
    """Before genesis there is no term, no leader and no entry."""
    return Status(
        peer_id=header.peer_id,
        incarnation=header.incarnation,
        cluster_name=header.cluster_name,
        cluster_id=header.cluster_id,
        generation=header.generation,
        role=Role.FOLLOWER,
        leader_id=None,
        term=0,
        commit_index=0,
        applied_index=machine.applied_index,
        durable_index=machine.durable_index,
        first_index=0,
        last_index=0,
        clock_ms=0,
        staleness_ms=None,
        is_ready=False,
        is_disk_full=machine.is_disk_full,
        is_log_full=False,
        durability="fsync",
        pending_proposals_count=0,
        peers=(),
    )


def status_of(
    driver: Driver,
    neighbours: Neighbours,
    *,
    staleness_ms: int | None,
    is_ready: bool,
    is_disk_full: bool,
    is_log_full: bool,
) -> Status:
    engine, header, machine = driver.engine, neighbours.header, driver.host.machine
    return Status(
        peer_id=header.peer_id,
        incarnation=header.incarnation,
        cluster_name=header.cluster_name,
        cluster_id=header.cluster_id,
        generation=header.generation,
        role=engine.role,
        leader_id=engine.leader_key.partition("/")[0] if engine.leader_key else None,
        term=engine.term,
        commit_index=engine.commit_index,
        applied_index=machine.applied_index,
        durable_index=machine.durable_index,
        first_index=driver.log.first_index,
        last_index=driver.log.last_index,
        clock_ms=driver.clock_ms,
        staleness_ms=staleness_ms,
        is_ready=is_ready,
        is_disk_full=is_disk_full or machine.is_disk_full,
        is_log_full=is_log_full,
        durability="fsync",
        pending_proposals_count=driver.pending_count,
        quarantine=driver.agreement.quarantine,
        disputed_index=driver.agreement.disputed_index,
        peers=tuple(
            _peer_info(driver, neighbours, engine.configuration, member)
            for member in engine.configuration.members
        ),
    )


def is_ready(driver: Driver, *, staleness_ms: int | None) -> bool:
    """It knows a leader, has caught up with it, and can be trusted to answer."""
    if driver.host.machine.is_disk_full or not driver.has_session:
        return False
    return driver.engine.leader_key is not None and (
        staleness_ms is not None and staleness_ms <= limits.STALE_STREAM_MS
    )


def _peer_info(
    driver: Driver, neighbours: Neighbours, configuration: Configuration, member: Member
) -> PeerInfo:
    is_self = member.key == driver.identity.key
    return PeerInfo(
        peer_id=member.peer_id,
        incarnation=member.incarnation,
        raft_address=neighbours.address_of(member),
        http_address=neighbours.http_address_of(member.peer_id),
        is_voter=configuration.is_voter(member.key),
        is_connected=is_self or neighbours.is_connected(member.peer_id),
        match_index=_match_index(driver, member),
        level_max=_level_max(driver, member),
        differs_at=_differs_at(driver, member),
        evidence=driver.agreement.evidence.get(member.key, {}),
    )


def _level_max(driver: Driver, member: Member) -> int | None:
    if member.key == driver.identity.key:
        return driver.host.machine.level_max
    standing = driver.agreement.standings.get(member.key)
    return None if standing is None else standing.level_max


def _differs_at(driver: Driver, member: Member) -> int | None:
    quarantine = driver.agreement.quarantine
    if member.key == driver.identity.key and quarantine is not None:
        return quarantine.index
    return driver.agreement.differs_at.get(member.key)


def _match_index(driver: Driver, member: Member) -> int | None:
    if not driver.engine.is_leader:
        return None
    if member.key == driver.identity.key:
        return driver.log.durable_index
    return driver.engine.progress[member.key].match_index

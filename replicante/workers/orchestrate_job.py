"""One cycle of one cluster: gather, decide, record, act, record what came of it. Called by the
supervisor.

Rules: nothing is sent to anybody before the record of it is committed under the fence; nothing is
kept between two cycles that is not in the tables. So a crash between any two steps leads to a cycle
that asks for the same things under the same ids, and a worker that lost its fence writes nothing.
Before anything leaves, the fence is looked at once more; who keeps no epoch is asked for something
only after the fence was confirmed by a write.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from replicante import errors
from replicante.agents.protocol import SendAnswer, Sent
from replicante.model.actions import NAction, NActionPhase, OActionPhase
from replicante.model.change import Change, ChangeCode
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.discovery import DiscoveredNode
from replicante.model.namespace import Namespace, NamespaceStatus
from replicante.model.objects import ObjectKind, StoredObject
from replicante.model.platform import Platform
from replicante.orchestrate.actions.dispatch import submission_accepted, submission_failed
from replicante.orchestrate.actions.oaction_kinds import (
    PlatformCall,
    platform_failed,
    platform_said,
)
from replicante.orchestrate.cycle import CycleResult, run_cycle
from replicante.orchestrate.gathering import Moment, cycle_inputs
from replicante.orchestrate.recording import change
from replicante.platforms.client import PlatformSays
from replicante.state import queries, record_queries
from replicante.state.fences import Fence
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_commands import RecordCycle, Revisions, record_change
from replicante.state.record_parts import cycle_parts
from replicante.state.record_queries import ClusterRecords
from replicante.storage.kv import Reader
from replicante.workers.doors import Rooms
from replicante.workers.gather import Gatherer
from replicante.workers.holdings import Hold
from replicante.workers.scribe import Scribe


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a cycle begins with, all of one view."""

    namespace: Namespace
    spec: ClusterSpec
    platform: Platform | None
    records: ClusterRecords
    under: tuple[int, int]
    """Revisions of the spec and of the namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleDone:
    result: CycleResult | None
    """None: there was nothing to work on any more."""
    refusal: Rejected | None = None
    """Why nothing was written, or sent; the cycle is to begin anew."""
    revision: int = 0
    """Of the spec that was decided on."""


async def orchestrate(rooms: Rooms, scribe: Scribe, gatherer: Gatherer, hold: Hold) -> CycleDone:
    """Raises as `Scribe.read` and `Scribe.write`."""
    fence = hold.fence
    before = await scribe.read(lambda view: _read(view, fence))
    if before is None:
        return CycleDone(result=None)
    hold.keep_sent({action.action_id for action in before.records.nactions})
    moment = Moment(
        epoch=fence.token,
        sent_ids=hold.sent_ids,
        now_ms=rooms.peer.clock_ms,
        wall_now_ms=rooms.clock.wall_ms(),
    )
    observations = await gatherer.gather(
        before.records, epoch=fence.token, at_ms=moment.now_ms, ca_bundle=before.namespace.ca_bundle
    )
    # Read again: what people decided during the look counts, a pause above all. The write names
    # the revisions of this view, so it needs no second confirmation.
    read = scribe.look(lambda view: _read(view, fence))
    if read is None:
        return CycleDone(result=None)
    inputs, revisions = scribe.look(
        lambda view: cycle_inputs(
            view,
            namespace=read.namespace,
            spec=read.spec,
            is_platform_usable=read.platform is not None and read.platform.is_active,
            observations=observations,
            moment=moment,
        )
    )
    result = run_cycle(inputs)
    if not result.changes:
        # Every cycle writes its report, but the one that finds another worker in charge.
        return CycleDone(result=result, refusal=Rejected(RejectCode.STALE_TOKEN))
    writing = _Writing(scribe=scribe, fence=fence, under=read.under)
    try:
        refusal = await writing.record(result.changes, revisions, answers=before.records.request)
    except (errors.Invalid, errors.BodyTooLarge) as exc:
        # What cannot be recorded is not done; that is told where people look for it.
        report = msgspec.structs.replace(
            result.report, is_success=False, error=f"the cycle cannot be recorded: {exc.message}"
        )
        told = change(None, report, ChangeCode.ORCHESTRATE_REPORT)
        refusal = await writing.record([told], revisions, answers=before.records.request)
        return CycleDone(result=result, refusal=refusal, revision=read.under[0])
    if refusal is None:
        refusal = await _act(rooms, writing, hold, read, result)
    return CycleDone(result=result, refusal=refusal, revision=read.under[0])


async def _act(
    rooms: Rooms, writing: _Writing, hold: Hold, read: _Read, result: CycleResult
) -> Rejected | None:
    """Everything at once: each agent and platform is waited for by itself."""
    unfenced = result.decision.unfenced if result.decision is not None else ()
    is_unguarded = any(it.node_id in unfenced for it in (*result.submissions, *result.cancels))
    if (result.calls or is_unguarded) and not await hold.confirm():
        return Rejected(RejectCode.STALE_TOKEN)
    outside = _Outside(rooms=rooms, hold=hold, read=read)
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(outside.submit(action)) for action in result.submissions]
        said = [group.create_task(outside.call(call)) for call in result.calls]
        for action in result.cancels:
            group.create_task(outside.cancel(action))
    if not result.submissions and not result.calls:
        return None
    # Read again: a person may have cancelled what was being sent, which then stays cancelled.
    fence = hold.fence
    records = await writing.scribe.read(
        lambda view: record_queries.cluster_records(view, fence.ns, fence.name)
    )
    now_ms, wall_ms = rooms.peer.clock_ms, rooms.clock.wall_ms()
    changes = [
        *_sent_changes(
            records,
            zip(result.submissions, (it.result() for it in sent), strict=True),
            now_ms=now_ms,
            wall_ms=wall_ms,
        ),
        *_called_changes(records, zip(result.calls, (it.result() for it in said), strict=True)),
    ]
    if changes:
        # What came of it is so whatever was declared meanwhile. Refused or lost: the next cycle
        # sees at the agents what came of it.
        await dataclasses.replace(writing, under=None).record(
            changes, records.revisions, answers=None
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """What leaves this peer in one cycle: nothing that the fence might not cover any more."""

    rooms: Rooms
    hold: Hold
    read: _Read

    async def submit(self, action: NAction) -> Sent:
        node = _nodes_of(self.read)[action.node_id]
        if not self.hold.is_sure:
            return Sent(answer=SendAnswer.STALE_EPOCH, message="the fence may be over")
        self.hold.sends(action.action_id)
        return await self.rooms.agents.submit(
            action,
            node,
            epoch=self.hold.fence.token,
            begin_within_ms=self._time_left_ms(action),
            ca_bundle=self.read.namespace.ca_bundle,
        )

    def _time_left_ms(self, action: NAction) -> int | None:
        """What is sent again after its time tells the agent so: it does not begin, and says it."""
        if action.deadline_ms is None:
            return None
        return max(0, action.deadline_ms - self.rooms.peer.clock_ms)

    async def cancel(self, action: NAction) -> None:
        node = _nodes_of(self.read).get(action.node_id)
        if node is not None and self.hold.is_sure:
            await self.rooms.agents.cancel(
                action,
                node,
                epoch=self.hold.fence.token,
                ca_bundle=self.read.namespace.ca_bundle,
            )

    async def call(self, call: PlatformCall) -> PlatformSays | None:
        """None: it was not asked."""
        if not self.hold.is_sure:
            return None
        if self.read.platform is None:
            return PlatformSays(failure="its platform is missing")
        return await self.rooms.platforms.carry_out(self.read.platform, call)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    scribe: Scribe
    fence: Fence
    under: tuple[int, int] | None

    async def record(
        self, changes: Iterable[Change], revisions: Revisions, *, answers: int | None
    ) -> Rejected | None:
        """In several writes when it is much; the last one holds what was decided.
        Raises as `Scribe.write`; Invalid, BodyTooLarge for what cannot be recorded."""
        fence = self.fence
        parts = cycle_parts(record_change(one, revisions) for one in changes)
        for i, part in enumerate(parts):
            is_last = i == len(parts) - 1
            command = RecordCycle(
                fence, part, answers=answers if is_last else None, under=self.under
            )
            outcome = await self.scribe.write(command, why=f"cycle {fence.ns}/{fence.name}")
            if not isinstance(outcome, Applied):
                return outcome
        return None


def _sent_changes(
    records: ClusterRecords,
    sent: Iterable[tuple[NAction, Sent]],
    *,
    now_ms: int,
    wall_ms: int,
) -> list[Change]:
    present = {action.action_id: action for action in records.nactions}
    changes: list[Change] = []
    for submitted, outcome in sent:
        action = present.get(submitted.action_id)
        if action is None or action.phase is not NActionPhase.PENDING_SCHEDULE:
            continue
        if outcome.answer is SendAnswer.TAKEN:
            accepted = submission_accepted(action, now_ms=now_ms, wall_ms=wall_ms)
            changes += [] if accepted is None else [accepted]
        elif outcome.answer is not SendAnswer.STALE_EPOCH:
            failed = submission_failed(
                action,
                message=outcome.message,
                is_refused=outcome.answer is SendAnswer.REFUSED,
            )
            changes.append(failed)
    return changes


def _called_changes(
    records: ClusterRecords, said: Iterable[tuple[PlatformCall, PlatformSays | None]]
) -> list[Change]:
    present = {action.action_id: action for action in records.oactions}
    changes: list[Change] = []
    for call, answer in said:
        action = present.get(call.action_id)
        if answer is None or action is None or action.phase is not OActionPhase.RUNNING:
            continue
        if answer.failure is None:
            after = platform_said(action, answer.value)
        else:
            after = platform_failed(action, message=answer.failure)
        changes.append(change(action, after, ChangeCode.OACTION_UPDATE, cause=action.action_id))
    return changes


def _read(view: Reader, fence: Fence) -> _Read | None:
    scope = (fence.ns, fence.name)
    stored = queries.object_get(view, ObjectKind.CLUSTER_SPEC, scope)
    namespace = queries.object_get(view, ObjectKind.NAMESPACE, scope[:1])
    if stored is None or namespace is None or stored.is_deleting:
        return None
    spec = ClusterSpec.from_spec(stored.spec)
    platform = None
    # Nodes of a platform elsewhere would never be discovered here, so none is ordered.
    if spec.platform_name is not None and not spec.is_platform_elsewhere:
        owner = (spec.ns_id, spec.platform_name)
        platform = _platform(queries.object_get(view, ObjectKind.PLATFORM, owner))
    return _Read(
        namespace=_namespace(namespace),
        spec=spec,
        platform=platform,
        records=record_queries.cluster_records(view, *scope),
        under=(stored.revision, namespace.revision),
    )


def _namespace(stored: StoredObject) -> Namespace:
    spec = stored.spec
    if stored.is_deleting:
        spec = {**spec, "status": str(NamespaceStatus.DELETING)}
    return Namespace.from_spec(spec)


def _platform(stored: StoredObject | None) -> Platform | None:
    if stored is None or stored.is_deleting:
        return None
    return Platform.from_spec(stored.spec)


def _nodes_of(read: _Read) -> dict[str, DiscoveredNode]:
    discovery = read.records.discovery
    return {} if discovery is None else {node.node_id: node for node in discovery.nodes}

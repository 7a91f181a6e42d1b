"""Actions as requests and answers: asked for by /apply, shown by the action paths. Called by
`routes_objects` and `routes_actions`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from replicante import errors
from replicante.api.call import Call, Reply
from replicante.api.reads import read_options, read_with
from replicante.api.rejections import rejection
from replicante.ids import format_stamp
from replicante.model.action_requests import ActionOn, ActionRequest, read_action_request
from replicante.model.actions import ActionHistoryEntry, NAction, NActionPhase, OAction, Requester
from replicante.model.civil_time import format_rfc3339
from replicante.model.codec import Value, encode_value
from replicante.model.objects import API_VERSION
from replicante.state import record_queries
from replicante.state.action_commands import CreateAction
from replicante.state.object_verdicts import missing_cluster
from replicante.state.outcome import Applied
from replicante.state.record_queries import StoredAction
from replicante.storage.kv import View
from replicante.wire import headers
from replicante.wire.actions import ActionAnswer, ActionStep, ActionSummary
from replicante.wire.durations import format_duration_ms
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


def chosen_id(ctx: Context, call: Call) -> str:
    """A UUID for an action that was sent without one. A repeat of the request under its
    Idempotency-Key gets the same: it asks for the same action."""
    key = call.header(headers.IDEMPOTENCY_KEY)
    digits = ctx.entropy.token()
    if key is not None:
        digits = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    digits = f"{digits[:12]}8{digits[13:16]}8{digits[17:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def read_request(on: ActionOn, body: dict[str, Json]) -> ActionRequest:
    """Raises Invalid with every violation."""
    return read_action_request(on, body, api_version=API_VERSION)


def create_command(request: ActionRequest, *, action_id: str) -> CreateAction:
    """action_id: where the request names none."""
    names = (request.ns_id, request.cluster_id, request.action_id or action_id)
    body: dict[str, Value] = {
        "args": request.args,
        "kind": request.kind,
        "metadata": request.metadata,
        "requester": str(Requester.CORE_API),
    }
    if request.on is ActionOn.NODE:
        body["node_id"] = request.node_id
    elif request.timeout_ms is not None:
        body["timeout_ms"] = request.timeout_ms
    encoded = encode_value(body, path=("spec",))
    return CreateAction(request.on, names, encoded, request.is_approved)


def applied_answer(
    ctx: Context, request: ActionRequest, *, action_id: str, applied: Applied
) -> dict[str, Value]:
    """The reference of the action, as the original gives it, and the phase that it is in now."""
    found_id = request.action_id or action_id
    with ctx.state.view() as view:
        stored = record_queries.action_get(
            view, request.on, request.ns_id, request.cluster_id, found_id
        )
    reference = _reference(request, found_id)
    phase = reference["status"] if stored is None else str(stored.action.phase)
    return {
        **reference,
        "status": phase,
        "revision": format_stamp(applied.revision),
        "is_created": applied.is_created,
        "is_changed": applied.is_changed,
        "is_dry_run": False,
    }


async def dry_run(ctx: Context, call: Call, request: ActionRequest, *, action_id: str) -> Reply:
    """What apply would answer now; nothing is proposed, so nothing is promised."""
    command = create_command(request, action_id=action_id)
    options = read_options(
        {name: text for name, text in call.query.items() if name == headers.Q_TIMEOUT}
    )

    def look(view: View) -> errors.ReplicanteError | None:
        ns, cluster = command.names[:2]
        refusal = missing_cluster(view, ns, cluster)
        if refusal is not None:
            return rejection(refusal, command)
        if record_queries.action_get(view, request.on, *command.names) is not None:
            return errors.ActionExists()
        return None

    seen = await read_with(ctx, options, look)
    if seen.value is not None:
        raise seen.value
    answer = {
        **_reference(request, command.names[2]),
        "revision": format_stamp(0),
        "is_created": True,
        "is_changed": True,
        "is_dry_run": True,
    }
    return seen.reply(answer)


def answer_of(
    stored: StoredAction, on: ActionOn, history: tuple[ActionHistoryEntry, ...]
) -> ActionAnswer:
    action = stored.action
    on_node = action if isinstance(action, NAction) else None
    scheduled_ms = _first_run_ms(history) if on_node is None else on_node.scheduled_wall_ms
    timeout_ms = action.timeout_ms if isinstance(action, OAction) else None
    return ActionAnswer(
        api_version=API_VERSION,
        kind=on.title,
        ns_id=action.ns_id,
        cluster_id=action.cluster_id,
        node_id=None if on_node is None else on_node.node_id,
        action_id=action.action_id,
        action=action.kind,
        args=action.args,
        metadata=action.metadata,
        requester=str(action.requester),
        cause=action.cause,
        created_time=format_rfc3339(action.created_wall_ms),
        approved_time=_time(action.approved_wall_ms),
        scheduled_time=_time(scheduled_ms),
        finished_time=_time(action.finished_wall_ms),
        state={"phase": str(action.phase), "error": action.error, "payload": action.payload},
        attempts=0 if on_node is None else on_node.attempts_count,
        sent=on_node is not None and on_node.sent_epoch is not None,
        asked=dict(action.asked),
        timeout=None if timeout_ms is None else format_duration_ms(timeout_ms),
        history=tuple(map(_step, history)),
        revision=format_stamp(stored.revision),
    )


def summary_of(stored: StoredAction) -> ActionSummary:
    action = stored.action
    return ActionSummary(
        ns_id=action.ns_id,
        cluster_id=action.cluster_id,
        node_id=action.node_id if isinstance(action, NAction) else None,
        action_id=action.action_id,
        kind=action.kind,
        phase=str(action.phase),
        created_time=format_rfc3339(action.created_wall_ms),
        finished_time=_time(action.finished_wall_ms),
        revision=format_stamp(stored.revision),
    )


def _reference(request: ActionRequest, action_id: str) -> dict[str, Value]:
    """In the shape of every answer to /apply, with the original's fields beside it."""
    phase = NActionPhase.PENDING_SCHEDULE if request.is_approved else NActionPhase.PENDING_APPROVE
    ids: dict[str, Value] = {"ns_id": request.ns_id, "cluster_id": request.cluster_id}
    if request.on is ActionOn.NODE:
        ids["node_id"] = request.node_id
    ids["action_id"] = action_id
    return {
        **ids,
        "apiVersion": API_VERSION,
        "kind": request.on.title,
        "metadata": {"name": action_id},
        "spec": {**ids, "action": request.kind, "args": request.args},
        "status": str(phase),
    }


def _first_run_ms(history: tuple[ActionHistoryEntry, ...]) -> int | None:
    return next((step.wall_ms for step in history if step.phase == "RUNNING"), None)


def _step(entry: ActionHistoryEntry) -> ActionStep:
    return ActionStep(
        time=format_rfc3339(entry.wall_ms),
        origin=str(entry.origin),
        phase=entry.phase,
        payload=entry.payload,
        error=entry.error,
    )


def _time(wall_ms: int | None) -> str | None:
    return None if wall_ms is None else format_rfc3339(wall_ms)

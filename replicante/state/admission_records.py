"""What is let in of actions and records: people's steps and what the control plane found. Pure.

Called by `envelope`. The control plane's own writes pass the same gate: what apply cannot store is
refused here, where the worker that built it can say so.
"""

from __future__ import annotations

from replicante.errors import Invalid
from replicante.limits import (
    DISCOVERED_NODES_MAX,
    REASON_BYTES_MAX,
    RECORD_CHANGES_MAX,
    VALUE_BYTES_MAX,
)
from replicante.model.action_requests import ActionOn
from replicante.model.change import RecordKind
from replicante.model.codec import load_value
from replicante.state.action_commands import ActionCommand, CreateAction
from replicante.state.admission import (
    check_canonical,
    check_name,
    check_positive,
    check_scope,
    check_size,
    check_text,
)
from replicante.state.fences import FenceOn
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordChange,
    RecordCommand,
    RecordCycle,
    RequestWork,
)
from replicante.state.record_tables import NAMES_COUNT
from replicante.state.tables import OBJECT_KEY_BYTES_MAX
from replicante.storage.keys import encoded_key_bytes

CAUSE_BYTES_MAX = 256


def check_action(command: ActionCommand) -> None:
    if isinstance(command, CreateAction):
        _check_names(command.names, "scope", count=3)
        check_size(command.body, "spec", bytes_max=VALUE_BYTES_MAX)
        _check_map(command.body, "spec")
        return
    count = 4 if command.on is ActionOn.NODE else 3
    _check_names(command.names, "scope", count=count)
    check_text(command.reason, "reason", bytes_max=REASON_BYTES_MAX)


def check_record(command: RecordCommand) -> None:
    match command:
        case DropRecords(ns, name) | RequestWork(_, ns, name):
            _check_names((ns, name), "scope", count=2)
        case RecordCycle():
            _check_cycle(command)
        case ConfirmDiscovery(ns, name, gone, reason):
            _check_names((ns, name), "scope", count=2)
            check_text(reason, "reason", bytes_max=REASON_BYTES_MAX)
            if not 1 <= len(gone) <= DISCOVERED_NODES_MAX:
                raise Invalid(
                    f"1 to {DISCOVERED_NODES_MAX} nodes are named",
                    path="gone",
                    limit=DISCOVERED_NODES_MAX,
                )
            for i, node_id in enumerate(gone):
                check_name(node_id, f"gone[{i}]")


def _check_cycle(command: RecordCycle) -> None:
    fence = command.fence
    check_scope((fence.ns, fence.name), "fence", count=2)
    check_positive(fence.token, "fence.token", what="a token")
    count = len(command.changes) + len(command.specs)
    if count > RECORD_CHANGES_MAX:
        raise Invalid(
            f"a cycle writes at most {RECORD_CHANGES_MAX} records, not {count}",
            path="changes",
            limit=RECORD_CHANGES_MAX,
        )
    for i, change in enumerate(command.changes):
        _check_change(change, f"changes[{i}]")
        is_inside = change.names[:2] == (fence.ns, fence.name)
        if fence.on is FenceOn.PLATFORM:
            is_discovery = change.kind is RecordKind.CLUSTER_DISCOVERY
            is_inside = is_discovery and change.names[0] == fence.ns
        if not is_inside:
            raise Invalid("a record that the fence does not cover", path=f"changes[{i}].names")
    if fence.on is FenceOn.CLUSTER and (command.specs or command.run is not None):
        raise Invalid("specs and runs come under the fence of a platform", path="specs")
    for i, (cluster, spec) in enumerate(command.specs):
        check_scope((fence.ns, cluster), f"specs[{i}]", count=2)
        _check_map(spec, f"specs[{i}]")
    if command.run is not None:
        _check_map(command.run, "run")
    if command.answers is not None:
        check_positive(command.answers, "answers", what="a revision")
    for revision in command.under or ():
        check_positive(revision, "under", what="a revision")


def _check_change(change: RecordChange, path: str) -> None:
    _check_names(change.names, f"{path}.names", count=NAMES_COUNT[change.kind])
    if change.cause is not None:
        check_text(change.cause, f"{path}.cause", bytes_max=CAUSE_BYTES_MAX)
    if change.after is not None:
        check_size(change.after, f"{path}.after", bytes_max=VALUE_BYTES_MAX)
        _check_map(change.after, f"{path}.after")


def _check_names(names: tuple[str, ...], path: str, *, count: int) -> None:
    check_scope(names, path, count=count)
    # The keys of indexes and histories hold a stamp besides.
    size = encoded_key_bytes(*names, 0)
    if size > OBJECT_KEY_BYTES_MAX:
        raise Invalid(
            f"the names are {size} bytes as a row key; the limit is {OBJECT_KEY_BYTES_MAX}",
            path=path,
            limit=OBJECT_KEY_BYTES_MAX,
        )


def _check_map(encoded: bytes, path: str) -> None:
    check_canonical(encoded, path)
    if type(load_value(encoded)) is not dict:
        raise Invalid("a map is needed", path=path)

"""The declaration inside a cluster spec: the shape wanted, and how one may move towards it. Pure.

Called by `cluster_spec`. Fields and defaults of the original, and what decisions of ours need.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante.model.cluster_definition import ClusterDefinition, read_definition
from replicante.model.cluster_policies import (
    MaintenanceWindow,
    Policies,
    policies_spec,
    read_length,
    read_policies,
    read_windows,
)
from replicante.model.codec import Path, Value
from replicante.model.node_search import NodeSearch, read_node_search
from replicante.model.violations import Violations, describe
from replicante.wire.durations import format_duration_ms


class Approval(enum.StrEnum):
    GRANTED = "granted"
    REQUIRED = "required"


class ExpandMode(enum.StrEnum):
    AUTO = "Auto"
    """The store admits new nodes by itself."""
    ADD = "Add"
    """A member admits the new node."""
    JOIN = "Join"
    """The new node joins by itself."""


class InitialiseMode(enum.StrEnum):
    AUTO = "Auto"
    """The store initialises itself."""
    SINGLE_NODE = "SingleNode"
    """One node is told to begin the cluster."""


class Controller(enum.StrEnum):
    """Programs beside us that change the roles of a store. The names are those that agents tell."""

    SENTINEL = "sentinel"


class ControllerUse(enum.StrEnum):
    OBSERVE = "observe"
    """Roles are left to it: what we would do is said, and not done."""
    THROUGH = "through"
    """It is asked to change roles. They are never changed past it, also while it is not seen."""


class Step(enum.StrEnum):
    """The steps of convergence, in the order in which a cycle asks them. Stored."""

    FAILOVER = "failover"
    REJOIN = "rejoin"
    SCALE_UP = "scale_up"
    CLUSTER_INIT = "cluster_init"
    CLUSTER_EXPAND = "cluster_expand"
    PROTECT_WRITES = "protect_writes"
    REPLACE_NODE = "replace_node"
    SCALE_DOWN = "scale_down"


OFF_BY_DEFAULT = frozenset({Step.REPLACE_NODE, Step.SCALE_DOWN})
"""They take nodes away: switched on by name."""
GRACE_NAMES = {
    Step.FAILOVER: "failover",
    Step.REJOIN: "rejoin",
    Step.SCALE_UP: "scale_up",
    Step.CLUSTER_INIT: "init",
    Step.CLUSTER_EXPAND: "expand",
    Step.PROTECT_WRITES: "protect_writes",
    Step.REPLACE_NODE: "replace_node",
    Step.SCALE_DOWN: "scale_down",
}
"""As declarations spell them; three are the original's."""
GRACE_MS_DEFAULT = 300_000
_POLICIES = Policies()
_CONTROLLERS = dict.fromkeys(Controller, ControllerUse.OBSERVE)
_GRACE_MS = dict.fromkeys(Step, GRACE_MS_DEFAULT) | {
    # The quiet period guards a failover; these only wait for their effect to be seen.
    Step.FAILOVER: 10_000,
    Step.REJOIN: 10_000,
    Step.PROTECT_WRITES: 10_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    is_active: bool = True
    """False: no convergence; the cluster is watched and its actions are carried on."""
    approval: Approval = Approval.GRANTED
    """Given to the actions of convergence."""
    definition: ClusterDefinition | None = None
    expand_mode: ExpandMode = ExpandMode.AUTO
    expand_target: NodeSearch | None = None
    """Selects the member to add from or join to; None: the best one."""
    initialise_mode: InitialiseMode = InitialiseMode.AUTO
    initialise_args: Value = None
    initialise_search: NodeSearch | None = None
    graces_ms: Mapping[Step, int] = field(default_factory=lambda: dict(_GRACE_MS))
    """A step that acted does not act again for so long."""
    steps: frozenset[Step] = frozenset(Step) - OFF_BY_DEFAULT
    """Those that are on."""
    is_unfenced_allowed: bool = False
    """Automation may act where an agent keeps no epoch."""
    controllers: Mapping[Controller, ControllerUse] = field(
        default_factory=lambda: dict(_CONTROLLERS)
    )
    """What is done beside a controller of roles that is not ours."""
    policies: Policies = _POLICIES
    windows: tuple[MaintenanceWindow, ...] = ()
    """Empty: planned work at any time. A recovery never waits for one."""

    def to_spec(self) -> dict[str, Value]:
        return {
            "active": self.is_active,
            "approval": str(self.approval),
            "definition": None if self.definition is None else self.definition.to_value(),
            "expand": {
                "mode": str(self.expand_mode),
                "target_member": _search_spec(self.expand_target),
            },
            "initialise": {
                "mode": str(self.initialise_mode),
                "action_args": self.initialise_args,
                "search": _search_spec(self.initialise_search),
            },
            "graces": {
                name: format_duration_ms(self.graces_ms[step]) for step, name in GRACE_NAMES.items()
            },
            "steps": {str(step): step in self.steps for step in Step},
            "allow_unfenced": self.is_unfenced_allowed,
            "controllers": {str(it): str(use) for it, use in self.controllers.items()},
            "policies": policies_spec(self.policies),
            "maintenance_windows": [window.to_spec() for window in self.windows],
        }


def read_declared(
    value: Value, path: Path, *, cluster_id: str, violations: Violations
) -> Declaration:
    """What `spec.declaration` says; its faults go to `violations`."""
    fields = violations.mapping(
        value,
        path,
        fields=(
            *("active", "approval", "definition", "expand", "initialise", "graces"),
            *("steps", "allow_unfenced", "controllers", "policies", "maintenance_windows"),
        ),
    )
    expand_path, initialise_path = (*path, "expand"), (*path, "initialise")
    expand = violations.mapping(
        fields.get("expand", {}), expand_path, fields=("mode", "target_member")
    )
    initialise = violations.mapping(
        fields.get("initialise", {}), initialise_path, fields=("mode", "action_args", "search")
    )
    return Declaration(
        is_active=violations.boolean(fields.get("active", True), (*path, "active"), default=True),
        approval=violations.choice(
            fields.get("approval", "granted"),
            (*path, "approval"),
            Approval,
            default=Approval.REQUIRED,
        ),
        definition=read_definition(
            fields.get("definition"),
            (*path, "definition"),
            cluster_id=cluster_id,
            violations=violations,
        ),
        expand_mode=violations.choice(
            expand.get("mode", "Auto"), (*expand_path, "mode"), ExpandMode, default=ExpandMode.AUTO
        ),
        expand_target=read_node_search(
            expand.get("target_member"), (*expand_path, "target_member"), violations
        ),
        initialise_mode=violations.choice(
            initialise.get("mode", "Auto"),
            (*initialise_path, "mode"),
            InitialiseMode,
            default=InitialiseMode.AUTO,
        ),
        initialise_args=_read_args(
            initialise.get("action_args"), (*initialise_path, "action_args"), violations
        ),
        initialise_search=read_node_search(
            initialise.get("search"), (*initialise_path, "search"), violations
        ),
        graces_ms=_read_graces(fields.get("graces", {}), (*path, "graces"), violations),
        steps=_read_steps(fields.get("steps", {}), (*path, "steps"), violations),
        is_unfenced_allowed=violations.boolean(
            fields.get("allow_unfenced", False), (*path, "allow_unfenced"), default=False
        ),
        controllers=_read_controllers(
            fields.get("controllers", {}), (*path, "controllers"), violations
        ),
        policies=read_policies(fields.get("policies", {}), (*path, "policies"), violations),
        windows=read_windows(
            fields.get("maintenance_windows", []), (*path, "maintenance_windows"), violations
        ),
    )


def _read_args(value: Value, path: Path, violations: Violations) -> Value:
    if value is not None and not isinstance(value, dict):
        violations.add(path, f"must be a map or null, not {describe(value)}")
    return value


def _read_graces(value: Value, path: Path, violations: Violations) -> dict[Step, int]:
    fields = violations.mapping(value, path, fields=tuple(GRACE_NAMES.values()))
    return {
        step: read_length(fields.get(name), (*path, name), _GRACE_MS[step], violations)
        for step, name in GRACE_NAMES.items()
    }


def _read_steps(value: Value, path: Path, violations: Violations) -> frozenset[Step]:
    fields = violations.mapping(value, path, fields=tuple(str(step) for step in Step))
    return frozenset(
        step
        for step in Step
        if violations.boolean(
            fields.get(str(step), step not in OFF_BY_DEFAULT), (*path, str(step)), default=False
        )
    )


def _read_controllers(
    value: Value, path: Path, violations: Violations
) -> dict[Controller, ControllerUse]:
    fields = violations.mapping(value, path, fields=tuple(str(it) for it in Controller))
    return {
        it: violations.choice(
            fields.get(str(it), str(ControllerUse.OBSERVE)),
            (*path, str(it)),
            ControllerUse,
            default=ControllerUse.OBSERVE,
        )
        for it in Controller
    }


def _search_spec(search: NodeSearch | None) -> Value:
    return None if search is None else search.to_spec()

"""Rules about who may act at all, here and now: modes, switches, approval, windows, ownership.
Pure.

Called by `safety.rules`. A person who asks for an action by name has decided what these rules ask;
ownership and namespaces bind people too.
"""

from __future__ import annotations

from replicante.model.action_kinds import PLATFORM_KINDS
from replicante.model.cluster_declaration import Approval
from replicante.model.codec import Value
from replicante.model.modes import Mode
from replicante.model.namespace import NamespaceStatus
from replicante.orchestrate.proposal import Purpose
from replicante.orchestrate.safety.case import Case, Finding, Rule, allow, ask, deny


def _mode_active(case: Case) -> Finding:
    situation = case.situation
    status = situation.namespace.status
    if status is not NamespaceStatus.ACTIVE:
        return deny(
            f"the namespace is {status}; set it to Active to let anything be done",
            namespace_status=str(status),
        )
    if case.proposal.is_asked_for and situation.mode is not Mode.PAUSED:
        return allow("a person asked for it")
    if situation.mode is not Mode.ACTIVE:
        return deny(
            f"the mode is {situation.mode} ({situation.mode_reason}); set it to active to let"
            " automation act",
            mode=str(situation.mode),
        )
    return allow("the mode is active")


def _step_switched_on(case: Case) -> Finding:
    declaration = case.situation.view.spec.declaration
    if case.proposal.is_asked_for:
        return allow("a person asked for it")
    if not case.situation.view.spec.is_active:
        return deny("the cluster spec is not active; set spec.active to true")
    if not declaration.is_active:
        return deny("the declaration is not active; set spec.declaration.active to true")
    if case.proposal.step not in declaration.steps:
        step = case.proposal.step_name
        return deny(f"the step is off; set spec.declaration.steps.{step} to true", step=step)
    return allow("declaration and step are on")


def _approval_granted(case: Case) -> Finding:
    proposal = case.proposal
    if proposal.is_approval_wanted:
        # What was approved since is of the time before, so a longer wait is asked about anew.
        wanted_ms = proposal.wanted_ms
        since: dict[str, Value] = {} if wanted_ms is None else {"wanted_ms": wanted_ms}
        return ask(
            "whoever asked for it wants it approved, or asked or approved so long ago that a person"
            " says whether it is wanted still",
            **since,
        )
    if proposal.is_asked_for:
        return allow("a person asked for it")
    if case.situation.view.spec.declaration.approval is Approval.REQUIRED:
        price: dict[str, Value] = {}
        if not proposal.loss.is_none:
            price["known_min"] = proposal.loss.known_min
        return ask("spec.declaration.approval is required: a person approves each action", **price)
    return allow("spec.declaration.approval is granted")


def _worker_owns_cluster(case: Case) -> Finding:
    situation = case.situation
    if situation.epoch < situation.state.epoch:
        return deny(
            "another worker decided under a greater epoch; this one must stop",
            own=situation.epoch,
            stored=situation.state.epoch,
        )
    return allow("no greater epoch is stored", epoch=situation.epoch)


def _maintenance_window(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    windows = situation.view.spec.declaration.windows
    if not proposal.is_disruptive or proposal.purpose is Purpose.RECOVERY:
        return allow("only planned work that disturbs waits for a window")
    if proposal.is_asked_for:
        return allow("a person asked for it")
    if not windows:
        return allow("no windows are declared")
    if not any(window.holds_at(situation.wall_now_ms) for window in windows):
        return deny(
            "it is outside of every maintenance window; it waits for the next",
            wall_now_ms=situation.wall_now_ms,
            windows=[window.to_spec() for window in windows],
        )
    return allow("a maintenance window is open")


def _platform_usable(case: Case) -> Finding:
    if case.proposal.action_kind not in PLATFORM_KINDS:
        return allow("no platform is needed")
    if not case.situation.is_platform_usable:
        return deny("its platform is missing or not active; apply it, or set it active")
    return allow("the platform is active")


SCOPE_RULES = (
    Rule(
        name="mode_active",
        promise="Automation starts nothing unless namespace and cluster are in active mode.",
        judge=_mode_active,
        is_mode=True,
    ),
    Rule(
        name="step_switched_on",
        promise="A step acts only when spec, declaration and step are switched on.",
        judge=_step_switched_on,
    ),
    Rule(
        name="approval_granted",
        promise="What is declared to need approval waits for a person.",
        judge=_approval_granted,
        measures=("known_min", "wanted_ms"),
    ),
    Rule(
        name="worker_owns_cluster",
        promise="A worker that lost the cluster to another decides nothing.",
        judge=_worker_owns_cluster,
    ),
    Rule(
        name="maintenance_window",
        promise="Planned work that disturbs happens inside the declared windows.",
        judge=_maintenance_window,
    ),
    Rule(
        name="platform_usable",
        promise="No node is asked of a platform that is missing or not active.",
        judge=_platform_usable,
    ),
)

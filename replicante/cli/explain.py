"""`replicante explain|plan cluster`: why nothing or something is done, and what comes next."""

from __future__ import annotations

import click

from replicante.cli import render
from replicante.cli.common import Target, client_options, example, read_options
from replicante.client import Read
from replicante.wire.explain import ExplainAnswer, PlanAnswer, PlannedStep
from replicante.wire.values import Json


@click.group(epilog=example("replicante explain cluster default redis-main"))
def explain() -> None:
    """Why is it as it is? From the decisions that are stored."""


@explain.command(
    "cluster",
    epilog=example(
        "replicante explain cluster default redis-main",
        "replicante explain cluster default redis-main --at 0000000000012345678",
    ),
)
@click.argument("ns", metavar="NS")
@click.argument("name")
@click.option("--at", metavar="EVENT", help="Explain the decision that stood at this event.")
@client_options
@read_options
def explain_cluster(ns: str, name: str, *, at: str | None, target: Target, read: Read) -> None:
    """What is seen, which conditions hold, what is blocked by which rule, what would have to
    change."""
    found = target.run(lambda client: client.clusters.explain(ns, name, at=at, read=read))
    target.show(found, text=lambda: explain_text(found))


@click.group(epilog=example("replicante plan cluster default redis-main"))
def plan() -> None:
    """What comes next? From the last decision."""


@plan.command("cluster", epilog=example("replicante plan cluster default redis-main"))
@click.argument("ns", metavar="NS")
@click.argument("name")
@client_options
@read_options
def plan_cluster(ns: str, name: str, *, target: Target, read: Read) -> None:
    """The steps that convergence wants, in order: effect, worst loss, and what stands against
    them."""
    found = target.run(lambda client: client.clusters.plan(ns, name, read=read))
    target.show(found, text=lambda: plan_text(found))


def explain_text(found: ExplainAnswer) -> str:
    parts = [
        _line(f"{found.ns_id}/{found.cluster_id}: {found.summary}"),
        _line(f"mode {found.mode} ({found.mode_reason}), decided at {found.decided_at}"),
    ]
    if found.seen:
        seen = [
            (
                it.node_id,
                it.answer,
                it.status,
                "; ".join(it.roles) + ("" if it.is_fresh else " (as last known)"),
            )
            for it in found.seen
        ]
        parts += ["", render.table(("NODE", "AGENT", "STATUS", "ROLES"), seen)]
    if found.conditions:
        holding = [(it.name, it.subject or None, it.message) for it in found.conditions]
        parts += ["", render.table(("CONDITION", "OF", "WHAT"), holding)]
    parts += _steps_text(found.steps)
    if found.candidates:
        judged = [
            (
                it.get("node_id"),
                "yes" if it.get("is_eligible") else "no",
                it.get("offset"),
                _reasons(it.get("reasons")),
            )
            for it in found.candidates
        ]
        parts += ["", render.table(("CANDIDATE", "MAY", "OFFSET", "WHY NOT"), judged)]
    if found.needs:
        parts += ["", "for more to be done:", *(_line(f"- {need}") for need in found.needs)]
    elif found.idle:
        resting = [(it.get("step"), it.get("reason")) for it in found.idle]
        parts += ["", render.table(("STEP", "IDLE BECAUSE"), resting)]
    return "\n".join(parts)


def plan_text(found: PlanAnswer) -> str:
    head = f"{found.ns_id}/{found.cluster_id}: plan {found.plan_id}"
    mode = f"mode {found.mode} ({found.mode_reason}), decided at {found.decided_at}"
    options = [_line(f"a person may {it.get('text')}") for it in found.options]
    steps = _steps_text(found.steps) or ["", "nothing is to be done"]
    return "\n".join([_line(head), _line(mode), *steps, *options])


def _steps_text(steps: tuple[PlannedStep, ...]) -> list[str]:
    lines: list[str] = []
    for step in steps:
        lines += [
            "",
            _line(f"{step.number}. {step.effect}: {step.outcome.replace('_', ' ')}"),
            _line(f"   step {step.step}, worst loss: {step.worst_loss}"),
        ]
        if step.action_id is not None:
            lines.append(_line(f"   action {step.action_id}"))
        for blocked in step.blocked_by:
            verb = "asks" if blocked.ruling == "need_approval" else "forbids"
            lines.append(_line(f"   {blocked.rule} {verb}: {blocked.reason}"))
    return lines


def _reasons(value: Json) -> str | None:
    return "; ".join(map(str, value)) if isinstance(value, list) and value else None


def _line(text: str) -> str:
    return render.shown(text)

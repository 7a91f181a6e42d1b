"""Writes the reference page of decisions off the code: steps, rules, conditions, actions.

Called by generate.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from replicante.model.cluster_declaration import OFF_BY_DEFAULT
from replicante.orchestrate.actions.oaction_kinds import OACTION_KINDS
from replicante.orchestrate.conditions import CONDITIONS
from replicante.orchestrate.converge.steps import STEPS
from replicante.orchestrate.safety.rules import RULES

INTRO = """# Decisions

A cycle asks every step what it wants, and every rule what it says of it. All of it is in the
decision record: `replicante explain cluster NS NAME`. Why it is built so:
[the room's design](../../replicante/orchestrate/DESIGN.md).

## Steps

In this order. Each is switched in `spec.declaration.steps`.

| step | by default | what it wants |
|---|---|---|"""
RULES_INTRO = """
## Safety rules

Each allows, asks for approval, or denies, with reason and evidence; the gravest counts.

| rule | what it promises |
|---|---|"""
CONDITIONS_INTRO = """
## Conditions

A condition holds or does not; it clears by itself.

| condition | meaning |
|---|---|"""
ACTIONS_INTRO = """
## Orchestrator actions

| kind | what it does |
|---|---|"""


def decisions_page() -> str:
    steps = [
        f"| `{step}` | {'off' if step in OFF_BY_DEFAULT else 'on'} | {_purpose(propose)} |"
        for step, propose in STEPS.items()
    ]
    rules = [f"| `{rule.name}` | {rule.promise} |" for rule in RULES]
    conditions = [f"| `{name}` | {text} |" for name, text in sorted(CONDITIONS.items())]
    actions = [f"| `{kind}` | {found.summary} |" for kind, found in sorted(OACTION_KINDS.items())]
    parts = [INTRO, *steps, RULES_INTRO, *rules, CONDITIONS_INTRO, *conditions, ACTIONS_INTRO]
    return "\n".join([*parts, *actions, ""])


def _purpose(propose: Callable[..., object]) -> str:
    """The first sentence of the file of a step, after its kind."""
    module = importlib.import_module(propose.__module__)
    text = " ".join((module.__doc__ or "").split()).split(" Pure.")[0]
    sentence = text.partition(": ")[2]
    return sentence[:1].upper() + sentence[1:]

"""Decides whether an agent's answer can be taken into the records. Pure; called by the cycle.

An answer that cannot be stored would make the write of the whole cycle fail, in every cycle: one
lying agent would stop the work on its cluster. So it is judged before anything is made of it. A
fault in what it says of itself or its shards makes the answer garbage; an action that cannot be
stored is left out alone, and stays what it was here.
"""

from __future__ import annotations

import msgspec

from replicante.errors import Invalid
from replicante.limits import (
    NAME_BYTES_MAX,
    OBSERVATION_BYTES_MAX,
    OBSERVED_ACTION_BYTES_MAX,
    OBSERVED_ACTIONS_MAX,
    OBSERVED_SHARDS_MAX,
)
from replicante.model.observation import AgentAnswer, Observation, SeenAction
from replicante.model.violations import Violations


def trusted(observation: Observation) -> Observation:
    """The observation, or what of it can be kept."""
    if observation.answer is not AgentAnswer.ANSWERED:
        return _without_answer(observation, observation.answer, observation.message)
    fault = _fault(msgspec.structs.replace(observation, actions=()))
    if fault is not None:
        return _without_answer(observation, AgentAnswer.GARBAGE, fault)
    actions = tuple(it for it in observation.actions if _is_storable(it))
    return msgspec.structs.replace(observation, actions=actions[:OBSERVED_ACTIONS_MAX])


def _without_answer(observation: Observation, answer: AgentAnswer, message: str) -> Observation:
    return Observation(
        node_id=observation.node_id,
        at_ms=observation.at_ms,
        answer=answer,
        # Texts of strangers: short, and valid UTF-8.
        message=message[:NAME_BYTES_MAX].encode("utf-8", "replace").decode(),
    )


def _fault(observation: Observation) -> str | None:
    if observation.node is None:
        return "it says nothing of its node"
    shards = observation.shards or ()
    if len(shards) > OBSERVED_SHARDS_MAX:
        return f"it names {len(shards)} shards, more than {OBSERVED_SHARDS_MAX}"
    violations = Violations()
    for i, shard in enumerate(shards):
        violations.name(shard.shard_id, ("shards", i, "shard_id"))
    try:
        violations.raise_if_any()
        size_bytes = len(observation.encode())
    except Invalid as exc:
        return f"its answer cannot be kept: {exc.message}"
    if len({shard.shard_id for shard in shards}) < len(shards):
        return "it names one shard twice"
    if size_bytes > OBSERVATION_BYTES_MAX:
        return f"its answer has {size_bytes} bytes, more than {OBSERVATION_BYTES_MAX}"
    return None


def _is_storable(seen: SeenAction) -> bool:
    violations = Violations()
    violations.name(seen.action_id, ("action_id",))
    try:
        violations.raise_if_any()
        return len(seen.encode()) <= OBSERVED_ACTION_BYTES_MAX
    except Invalid:
        return False

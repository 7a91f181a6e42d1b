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
from replicante.state.tables import OBJECT_KEY_BYTES_MAX
from replicante.storage.keys import encoded_key_bytes


def trusted(observation: Observation, *, scope: tuple[str, str]) -> Observation:
    """The observation, or what of it can be kept.  scope: namespace and cluster of its node."""
    if observation.answer is not AgentAnswer.ANSWERED:
        return _without_answer(observation, observation.answer, observation.message)
    fault = _fault(msgspec.structs.replace(observation, actions=()), scope)
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


def _fault(observation: Observation, scope: tuple[str, str]) -> str | None:
    if observation.node is None:
        return "it says nothing of its node"
    shards = observation.shards or ()
    if len(shards) > OBSERVED_SHARDS_MAX:
        return f"it names {len(shards)} shards, more than {OBSERVED_SHARDS_MAX}"
    for shard in shards:
        if not _is_shard_id(shard.shard_id):
            return "one of its shards has no id that could be kept"
        names = (*scope, observation.node_id, shard.shard_id)
        if encoded_key_bytes(*names, 0) > OBJECT_KEY_BYTES_MAX:
            return "the names of one of its shards are too long together"
    try:
        size_bytes = len(observation.encode())
    except Invalid as exc:
        return f"its answer cannot be kept: {exc.message}"
    if len({shard.shard_id for shard in shards}) < len(shards):
        return "it names one shard twice"
    if size_bytes > OBSERVATION_BYTES_MAX:
        return f"its answer has {size_bytes} bytes, more than {OBSERVATION_BYTES_MAX}"
    return None


def _is_shard_id(text: str) -> bool:
    """The words of its store, which may hold `/` and spaces: no name of ours, and never part of a
    path."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        return False
    is_control = any(ord(character) < 32 or ord(character) == 127 for character in text)
    return 0 < size_bytes <= NAME_BYTES_MAX and not is_control


def _is_storable(seen: SeenAction) -> bool:
    violations = Violations()
    violations.name(seen.action_id, ("action_id",))
    try:
        violations.raise_if_any()
        return len(seen.encode()) <= OBSERVED_ACTION_BYTES_MAX
    except Invalid:
        return False

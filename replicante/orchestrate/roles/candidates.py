"""Decides which copy of a shard could become its primary, and what that may cost. Pure.

Called by failover, by switchover, and by the forced options. Every copy gets an answer with its
reasons, so that "nobody is eligible" can be explained. Some of these a person may set aside; none
that its agent would refuse or that could not be undone, as a copy that is not whole.

The loss is a lower bound: what the primary took after it was last seen is not in any offset that we
know. That blind time is part of the price and is said. A copy whose link was open until the primary
ended has heard what was written in it, but for what was on its way; of one that had lost its link
before, or after a time in which nobody looked, that cannot be said (ADR 0094).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from replicante.limits import UNSEEN_MS_MAX
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import CandidateRecord, Loss, Unheard
from replicante.model.node import NodeStatus
from replicante.model.shard import Offset, Shard, ShardRole
from replicante.orchestrate.roles.suspicions import suspicion_key
from replicante.orchestrate.view import ClusterView

NO_PROMOTE_ATTRIBUTE = "replicante.io/no-promote"
"""A node attribute: true keeps the node out of every election."""


class Override(enum.StrEnum):
    """What a person may set aside; in the args of stored actions: a text is never reused."""

    KEPT_OUT = "kept_out"
    OTHER_HISTORY = "other_history"
    NOT_COMPARABLE = "not_comparable"
    """Its offset is unknown, or counts something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    reason: str
    override: Override | None = None
    """None: nobody may set it aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    copy: Shard
    hindrances: tuple[Hindrance, ...]
    """Why it may not; empty: it may."""
    loss: Loss

    @property
    def node_id(self) -> str:
        return self.copy.node_id

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(it.reason for it in self.hindrances)

    @property
    def is_eligible(self) -> bool:
        return not self.hindrances

    @property
    def overrides(self) -> tuple[str, ...] | None:
        """What is to be set aside for it; None: something may not be."""
        found = {it.override for it in self.hindrances}
        if None in found:
            return None
        return tuple(str(it) for it in Override if it in found)

    def is_fit(self, overrides: Collection[str]) -> bool:
        """Nothing stands against it but these."""
        return all(it.override in overrides for it in self.hindrances)

    def record(self, step: str) -> CandidateRecord:
        offset = self.copy.commit_offset
        return CandidateRecord(
            step=step,
            node_id=self.node_id,
            is_eligible=self.is_eligible,
            reasons=self.reasons,
            offset=None if offset is None else offset.value,
            loss=self.loss,
        )


def severity(loss: Loss) -> tuple[int, int]:
    """By which one loss is worse than another: what nobody heard weighs more than what was seen."""
    return len(loss.unheard_of), loss.known_min or 0


def candidates(
    view: ClusterView, state: ConvergeState, *, shard_id: str, replaces: str, now_ms: int
) -> tuple[Candidate, ...]:
    """Every copy but the one to be replaced; the best first.

    Best: eligible, then the greatest offset, then who heard the primary to its end, then the id.
    """
    copies = view.copies(shard_id)
    # What the one to be replaced told last as the primary, where it is none any more.
    led = state.led.get(shard_id)
    old = next((copy for copy in copies if copy.node_id == replaces), None)
    is_primary = old is not None and old.role is ShardRole.PRIMARY
    # One that took over the history that others have went over to what a successor writes; one that
    # was started anew has less than it told, or counts in a history of its own.
    others = {it.history_id for it in copies if it.node_id != replaces}
    has_gone_over = (
        old is not None
        and led is not None
        and old.history_id != led.history_id
        and old.history_id in others
    )
    if led is not None and led.node_id == replaces and not is_primary and not has_gone_over:
        copies, old = (*copies, led), led
    found = [
        Candidate(
            copy=copy,
            hindrances=tuple(_hindrances(view, copy, old)),
            loss=_loss_of(view, state, copy, copies, old, replaces, now_ms),
        )
        for copy in copies
        if copy.node_id != replaces
    ]
    return tuple(sorted(found, key=_best_first))


def best(found: Iterable[Candidate], *, overrides: Collection[str] = ()) -> Candidate | None:
    return next((candidate for candidate in found if candidate.is_fit(overrides)), None)


def _hindrances(view: ClusterView, copy: Shard, old: Shard | None) -> Iterable[Hindrance]:
    node = view.nodes.get(copy.node_id)
    if node is None or copy.node_id not in view.node_ids:
        yield Hindrance(reason="it is not in discovery")
        return
    if node.node_status is not NodeStatus.HEALTHY:
        yield Hindrance(reason=f"it is {node.node_status}")
    if not copy.is_fresh:
        yield Hindrance(reason="its state is not fresh")
    order_id = view.taken_away().get(copy.node_id)
    if order_id is not None:
        yield Hindrance(
            reason=f"platform.deprovision {order_id} takes it away; cancel that if it is to stay"
        )
    if copy.role is not ShardRole.SECONDARY:
        yield Hindrance(reason=f"its role is {copy.other_role or copy.role}, not secondary")
    if node.member_address is None:
        yield Hindrance(reason="its member address is not known")
    if node.details is not None and node.details.attributes.get(NO_PROMOTE_ATTRIBUTE) is True:
        yield Hindrance(
            reason=f"the attribute {NO_PROMOTE_ATTRIBUTE} keeps it out", override=Override.KEPT_OUT
        )
    if copy.commit_offset is None:
        yield Hindrance(reason="its offset is not known", override=Override.NOT_COMPARABLE)
    elif (
        old is not None
        and old.commit_offset is not None
        and old.commit_offset.unit != copy.commit_offset.unit
    ):
        yield Hindrance(
            reason=f"its offset counts {copy.commit_offset.unit}, not {old.commit_offset.unit}",
            override=Override.NOT_COMPARABLE,
        )
    if old is not None and old.history_id != copy.history_id:
        yield Hindrance(
            reason="its offset counts in another history of writes",
            override=Override.OTHER_HISTORY,
        )


def _unheard(
    view: ClusterView, state: ConvergeState, copy: Shard, old: Shard | None, replaces: str
) -> tuple[Unheard | None, str]:
    """Its kind, and as `Loss.unheard`."""
    seen_ms = None if old is None else old.offset_ms
    if old is None or seen_ms is None:
        return Unheard.UNKNOWN, f"nobody knows what {replaces} had"
    link_ms = _link_ms(view, copy, replaces)
    heard = state.heard.get(copy.shard_id)
    was_heard = heard is not None and heard.primary == replaces and copy.node_id in heard.by
    if not was_heard and not _is_past(copy, old) and (link_ms is None or link_ms < seen_ms):
        told = f"{copy.node_id} had lost {replaces} already when that was seen last"
        return Unheard.LOST_BEFORE, told
    missed = state.suspicions.get(suspicion_key(copy.shard_id))
    if missed is None:
        return None, ""
    unseen_ms = missed.since_ms - max(seen_ms, seen_ms if link_ms is None else link_ms)
    if unseen_ms > view.spec.interval_ms + UNSEEN_MS_MAX:
        return Unheard.UNLOOKED, f"nobody looked for {unseen_ms} ms before {replaces} was missed"
    return None, ""


def _link_ms(view: ClusterView, copy: Shard, replaces: str) -> int | None:
    """Until when it had its link to the primary, or heard something on it; None: it does not
    say."""
    address, upstream = view.address_of(replaces), copy.upstream
    if upstream is None or upstream.silent_ms is None or copy.offset_ms is None:
        return None
    is_its_own = upstream.address is not None and upstream.address == address
    return copy.offset_ms - upstream.silent_ms if is_its_own else None


def _is_past(copy: Shard, old: Shard) -> bool:
    """It has read what the primary wrote after that was seen last."""
    own, told = copy.commit_offset, old.commit_offset
    if own is None or told is None or not _compares(old, copy, own):
        return False
    return own.value > told.value


def _loss_of(
    view: ClusterView,
    state: ConvergeState,
    copy: Shard,
    copies: tuple[Shard, ...],
    old: Shard | None,
    replaces: str,
    now_ms: int,
) -> Loss:
    kind, unheard = _unheard(view, state, copy, old, replaces)
    of = () if kind is None else tuple(f"{it} {replaces}" for it in kind.lesser)
    return msgspec.structs.replace(_loss(copy, copies, old, unheard, now_ms), unheard_of=of)


def _loss(
    copy: Shard, copies: tuple[Shard, ...], old: Shard | None, unheard: str, now_ms: int
) -> Loss:
    own = copy.commit_offset
    seen_ms = None if old is None else old.offset_ms
    blind_ms = None if seen_ms is None else max(0, now_ms - seen_ms)
    blind = "an unknown time" if blind_ms is None else f"{blind_ms} ms"
    tail = f"; what was written in the {blind} since the primary was last seen is not counted"
    tail += f", and {unheard}" if unheard else ""
    if own is None or (old is not None and _differs(old, copy, own)):
        lack = "is unknown" if own is None else "does not compare with that of the primary"
        return Loss(
            is_none=False,
            blind_ms=blind_ms,
            text=f"cannot be said: its offset {lack}{tail}",
            unheard=unheard,
        )
    known = max(
        other.commit_offset.value
        for other in copies
        if other.commit_offset is not None and _compares(other, copy, own)
    )
    behind = known - own.value
    return Loss(
        is_none=False,
        known_min=behind,
        unit=own.unit,
        blind_ms=blind_ms,
        text=f"at least {behind} {own.unit} by what was seen{tail}",
        unheard=unheard,
    )


def _differs(old: Shard, copy: Shard, own: Offset) -> bool:
    told = old.commit_offset
    return old.history_id != copy.history_id or (told is not None and told.unit != own.unit)


def _compares(other: Shard, copy: Shard, own: Offset) -> bool:
    offset = other.commit_offset
    return offset is not None and offset.unit == own.unit and other.history_id == copy.history_id


def _best_first(candidate: Candidate) -> tuple[bool, int, bool, str]:
    offset, is_unheard = candidate.copy.commit_offset, candidate.loss.unheard != ""
    behind = 0 if offset is None else -offset.value
    return (not candidate.is_eligible, behind, is_unheard, candidate.node_id)

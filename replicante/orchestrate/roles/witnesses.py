"""Reads off what copies see of a primary, and whom they hear in its place. Pure.

Called by `primaries`, and by the files of `memory`. A copy tells whom it follows and what it sees
of that one; an agent may leave out the address. A copy behind another copy hears whom that one
hears.
"""

from __future__ import annotations

from collections.abc import Collection

from replicante.model.shard import Shard, ShardRole, Sight
from replicante.orchestrate.view import ClusterView

UNTOLD = "a node whose address no agent tells"


def witnesses_of(
    view: ClusterView, shard_id: str, *, primary: str, is_gone: bool
) -> dict[str, Sight]:
    """Copies seen in this cycle that follow the primary; whom a copy follows must be known, else
    its link may be one to somebody else. While the primary itself says that it is none, no copy
    hears one in it.
    is_gone: its own side refuses, or it left: a link whose end is not told is no veto then, but
    may be one to a successor (`heard_instead`)."""
    address = view.address_of(primary)
    is_none = says_that_it_is_none(view.shards.get(primary, {}).get(shard_id))
    found: dict[str, Sight] = {}
    for copy in view.copies(shard_id):
        if copy.node_id == primary or not copy.is_fresh or copy.role is ShardRole.PRIMARY:
            continue
        sight, end = _link_of(copy)
        is_direct = end is not None and end == address
        # A link whose other end is not known may still be the one: it can veto, never prove.
        is_any = end is None or (address is None and view.node_at(end) is None)
        if is_none or not (is_direct or is_any):
            found[copy.node_id] = Sight.UNKNOWN
        elif is_direct:
            found[copy.node_id] = sight
        else:
            is_veto = sight is Sight.UP and not is_gone
            found[copy.node_id] = Sight.UP if is_veto else Sight.UNKNOWN
    return found


def is_there(view: ClusterView, shard_id: str, node_id: str | None) -> bool:
    """It calls itself primary, or copies hear it, and it does not say that it is none."""
    if node_id is None:
        return False
    is_claimant = any(it.node_id == node_id for it in view.primaries(shard_id))
    return is_claimant or is_heard_as_primary(view, shard_id, node_id)


def is_heard_as_primary(view: ClusterView, shard_id: str, node_id: str) -> bool:
    """Copies hear it, and it does not say that it is none."""
    return bool(hearing(view, shard_id, node_id)) and not has_yielded(view, shard_id, node_id)


def hearing(view: ClusterView, shard_id: str, node_id: str) -> tuple[str, ...]:
    """Copies seen in this cycle that hear this node."""
    address = view.address_of(node_id)
    return tuple(
        copy.node_id
        for copy in view.copies(shard_id)
        if copy.is_fresh and address is not None and _link_of(copy) == (Sight.UP, address)
    )


def has_yielded(view: ClusterView, shard_id: str, node_id: str | None) -> bool:
    """The one that was primary says itself that it is not, or is no part of the cluster any
    more: a node that is merely silent may still take writes."""
    if node_id is None:
        # Nobody was appointed, and another one said lately that it is primary.
        return False
    if node_id not in view.node_ids:
        return True
    copy = view.shards.get(node_id, {}).get(shard_id)
    return copy is not None and copy.is_fresh and copy.role is not ShardRole.PRIMARY


def _link_of(copy: Shard) -> tuple[Sight, str | None]:
    """What it sees of whom it follows, and the address of that one as far as its agent tells."""
    upstream = copy.upstream
    return (Sight.UNKNOWN, None) if upstream is None else (upstream.sight, upstream.address)


def says_that_it_is_none(own: Shard | None) -> bool:
    """It is a copy now, or becomes one of another node. A role that is the store's own says nothing
    of that, nor does one that repairs itself."""
    if own is None or not own.is_fresh:
        return False
    is_copying = own.role is ShardRole.RECOVERING and _link_of(own)[1] is not None
    return own.role is ShardRole.SECONDARY or is_copying


def heard_instead(
    view: ClusterView,
    shard_id: str,
    known: str,
    *,
    unseen: Collection[str],
    has_stepped_down: bool,
    is_gone: bool,
    did_hear: Collection[str],
) -> set[str]:
    """Whom copies that are seen hear in the place of the known primary, and nobody sees. A chain
    that was there before it went says nothing of one that has not stepped down: but a copy that
    heard it and hears another one now was told to.
    unseen: who was primary by its last word. did_hear: who heard the known one when it was seen
    last."""
    address = view.address_of(known)
    found: set[str] = set()
    for copy in view.copies(shard_id):
        end = _end_of_chain(view, copy) if copy.is_fresh else None
        if end is None or end in (known, address):
            continue
        may_be_known = end == UNTOLD or (address is None and view.node_at(end) is None)
        is_moved = copy.node_id in did_hear and not may_be_known
        if has_stepped_down or end in unseen or is_moved or (is_gone and may_be_known):
            found.add(end)
    return found


def _end_of_chain(view: ClusterView, copy: Shard) -> str | None:
    """The node, or the address of none, that it hears, over others that are seen or directly, and
    that is not seen itself; UNTOLD where an agent does not tell. None: it hears nobody, or one that
    is seen as primary."""
    passed: set[str] = set()
    current: Shard | None = copy
    while current is not None and current.node_id not in passed:
        passed.add(current.node_id)
        sight, address = _link_of(current)
        if sight is not Sight.UP or current.role is ShardRole.PRIMARY:
            return None
        if address is None:
            return UNTOLD
        source = view.node_at(address)
        above = None if source is None else view.shards.get(source, {}).get(copy.shard_id)
        if above is None or not above.is_fresh:
            return source or address
        current = above
    return None

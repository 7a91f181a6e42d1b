"""A replicated store whose servers die, hang and come back, with all writes. Not a test file.

It keeps what every server holds, write by write, and who took writes when, so that promises about
them can be judged without asking anybody. Roles change only by what agents carry out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from replicante.model import action_kinds
from replicante.model.node import WRITES_PROTECTED, NodeDetails, NodeStatus, StoreContact
from replicante.model.observation import SeenAction, SeenNode, SeenShard
from replicante.model.shard import Offset, ShardRole, Sight, Upstream

SHARD = "all"
_LAGS = (0, 0, 0, 1, 2)
_SLOW = (0, 20, 60)
_WRITES_MAX = 5


def member(node_id: str) -> str:
    return f"{node_id}:6379"


@dataclass(slots=True, kw_only=True)
class Server:
    node_id: str
    is_up: bool = True
    is_stopped: bool = False
    """The process is there and answers nobody."""
    follows: str | None = None
    """None: it is a primary, or it follows nowhere."""
    is_primary: bool = False
    is_protected: bool = False
    """As a primary it takes writes only while a copy hears it."""
    behind: int = 0
    """It is slow: so many writes behind whom it follows, while that is so."""
    history: str = "h0"
    held: list[int] = field(default_factory=list)
    """Writes, in their order; their number is the offset."""

    @property
    def answers(self) -> bool:
        return self.is_up and not self.is_stopped


class Stores:
    def __init__(self, *node_ids: str, chance: random.Random) -> None:
        """The first is the primary, the others follow it; nobody is protected."""
        self.chance = chance
        self.servers = {it: Server(node_id=it, follows=node_ids[0]) for it in node_ids}
        first = self.servers[node_ids[0]]
        first.follows, first.is_primary = None, True
        self.cuts: set[frozenset[str]] = set()
        """Pairs of servers that do not hear each other."""
        self.acknowledged: list[int] = []
        self.histories_count = 0
        self.disputes: list[tuple[str, ...]] = []
        """Who took writes at once."""
        self.primary_faults_count = 0

    def tick(self) -> None:
        """Copies read on, clients write."""
        for server in self.servers.values():
            source = self._source(server)
            if source is None:
                continue
            if source.history != server.history or server.held != source.held[: len(server.held)]:
                server.history, server.held = source.history, list(source.held)
            lag = server.behind + self.chance.choice(_LAGS)
            server.held += source.held[len(server.held) : max(len(source.held) - lag, 0)]
        writers = [it for it in self.servers.values() if self.takes_writes(it)]
        if len(writers) > 1:
            self.disputes.append(tuple(it.node_id for it in writers))
        for server in writers:
            for _ in range(self.chance.randrange(_WRITES_MAX + 1)):
                server.held.append(len(self.acknowledged))
                self.acknowledged.append(len(self.acknowledged))

    def takes_writes(self, server: Server) -> bool:
        has_copy = any(self._source(it) is server for it in self.servers.values())
        return server.is_primary and server.answers and (has_copy or not server.is_protected)

    def primaries(self) -> list[Server]:
        return [it for it in self.servers.values() if it.is_primary and it.answers]

    # --- faults ---

    def kill(self, server: Server) -> None:
        self._count(server)
        server.is_up = server.is_stopped = False

    def stop(self, server: Server) -> None:
        self._count(server)
        server.is_stopped = server.is_up

    def go_on(self, server: Server) -> None:
        server.is_stopped = False

    def come_back(self, server: Server) -> None:
        """Started by whoever supervises it: it never starts as a primary (ADR 0034)."""
        if not server.is_up:
            server.is_up, server.is_primary, server.is_stopped = True, False, False
            # It lost its place in the history, as Redis does; what it holds it still holds.
            server.history = self._new_history()

    def cut(self, one: Server, other: Server) -> None:
        if one is not other:
            self._count(one)
            self._count(other)
            self.cuts.add(frozenset((one.node_id, other.node_id)))

    def slow_down(self, server: Server) -> None:
        server.behind = self.chance.choice(_SLOW)

    def heal(self) -> None:
        self.cuts.clear()

    def _count(self, server: Server) -> None:
        self.primary_faults_count += server.is_primary

    # --- what agents tell and do ---

    def node(self, node_id: str) -> SeenNode:
        server = self.servers[node_id]
        contact = StoreContact.ANSWERS
        if not server.answers:
            contact = StoreContact.SILENT if server.is_up else StoreContact.REFUSED
        return SeenNode(
            status=NodeStatus.HEALTHY if server.answers else NodeStatus.UNAVAILABLE,
            details=NodeDetails(addresses={"member": member(node_id)}, store_id="sim"),
            contact=contact,
        )

    def attributes(self, node_id: str) -> dict[str, bool] | None:
        server = self.servers[node_id]
        return {WRITES_PROTECTED: server.is_protected} if server.answers else None

    def shards(self, node_id: str) -> tuple[SeenShard, ...] | None:
        server = self.servers[node_id]
        if not server.answers:
            return None
        role = ShardRole.PRIMARY if server.is_primary else ShardRole.SECONDARY
        upstream = None
        if not server.is_primary:
            address = "nowhere:1" if server.follows is None else member(server.follows)
            upstream = Upstream(address=address, sight=self.sight(server))
        offset = Offset(value=len(server.held), unit="writes")
        return (
            SeenShard(
                shard_id=SHARD,
                role=role,
                commit_offset=offset,
                history_id=server.history,
                upstream=upstream,
            ),
        )

    def sight(self, server: Server) -> Sight:
        if server.follows is None:
            return Sight.REFUSED
        source = self.servers[server.follows]
        if frozenset((server.node_id, source.node_id)) in self.cuts or source.is_stopped:
            return Sight.DOWN
        if not source.is_up:
            return Sight.REFUSED
        # A copy that lost its own source serves nobody, and the link stays closed.
        return Sight.UP if source.is_primary else Sight.DOWN

    def carry_out(self, node_id: str, action: SeenAction) -> bool:
        """Whether its wish is fulfilled."""
        server, args = self.servers[node_id], action.args if isinstance(action.args, dict) else {}
        match action.kind:
            case action_kinds.STORE_PROMOTE:
                return self._promote(server, args)
            case action_kinds.STORE_FENCE:
                if not server.answers:
                    server.is_up = server.is_stopped = False
                return not server.is_up
            case action_kinds.STORE_REJOIN:
                return self._rejoin(server, args)
            case action_kinds.STORE_PROTECT:
                server.is_protected = server.answers and bool(args["protect_writes"])
                return server.answers
            case _:
                return True

    def _promote(self, server: Server, args: dict) -> bool:
        if not server.answers or len(server.held) < int(args["offset"]):
            return False
        if not server.is_primary:
            server.is_primary, server.follows = True, None
            server.history = self._new_history()
            server.is_protected = bool(args.get("protect_writes"))
        return True

    def _new_history(self) -> str:
        self.histories_count += 1
        return f"h{self.histories_count}"

    def _rejoin(self, server: Server, args: dict) -> bool:
        if server.is_stopped:
            return False
        self.come_back(server)
        server.is_primary, server.is_protected = False, bool(args.get("protect_writes"))
        server.follows = next(it for it in self.servers if member(it) == args["node"])
        return self._source(server) is not None

    def _source(self, server: Server) -> Server | None:
        """Whom it reads from now."""
        if server.is_primary or not server.answers or server.follows is None:
            return None
        source = self.servers[server.follows]
        is_heard = self.sight(server) is Sight.UP
        return source if is_heard and source.is_primary else None

    def copies_of(self, server: Server) -> Iterator[Server]:
        yield from (it for it in self.servers.values() if self._source(it) is server)

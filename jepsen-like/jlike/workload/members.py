"""Members come and go while a set grows: spares are taken in with a token, learn, vote; any member,
the leader too, is removed, and comes back on an empty disk. What was acknowledged stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from jlike.check import members
from jlike.history import Kind, Operation, Value
from jlike.http import API, Answer, Http
from jlike.peers import Peer
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage, read_outcome
from jlike.workload.sets import Sets

VOTERS_MIN = 3
LEADER_SHARE = 0.4
GROWTH_SHARE = 0.6
STEP_S = 60.0
"""For a new member to be ready, to vote, for a removed one to end; then its change is given up."""
NOT_FOUND = 404
POLL_S = 0.2
REST_S = 1.0
NOT_TAKEN = Outcome(kind=Kind.INFO, error="not done in time, or load ended")


class Members(Sets):
    name = "members"
    kinds = ("add", "read", "grow", "shrink", "voters")
    deeds = frozenset({"grow", "shrink"})
    needs_processes = True
    spares = 2

    async def act(self, stage: Stage) -> None:
        """One change at a time; each is asked of whichever member until it is done."""
        stage.tell("first", sorted(stage.peers.ids))
        while not stage.stop.is_set():
            await stage.pause(REST_S)
            if stage.stop.is_set():
                return
            may_shrink = len(stage.peers.ids) > VOTERS_MIN
            may_grow = bool(stage.peers.spares)
            if may_grow and (not may_shrink or self._wants_growth(stage)):
                peer_id = stage.chance.choice(sorted(stage.peers.spares))
                await stage.deed("grow", peer_id, self._grow(stage, peer_id), peer=peer_id)
            elif may_shrink:
                leader = stage.leader()
                peer_id = stage.chance.choice(stage.peers.ids)
                if leader in stage.peers.ids and stage.chance.random() < LEADER_SHARE:
                    peer_id = leader or peer_id
                await stage.deed("shrink", peer_id, self._shrink(stage, peer_id), peer=peer_id)

    def _wants_growth(self, stage: Stage) -> bool:
        """What never succeeded yet comes first, so that a short run has both."""
        done = stage.recorder.succeeded
        has_grown, has_shrunk = ((self.name, it) in done for it in ("grow", "shrink"))
        if has_grown != has_shrunk:
            return has_shrunk
        return stage.chance.random() < GROWTH_SHARE

    async def _grow(self, stage: Stage, peer_id: str) -> Outcome:
        peer = stage.peers[peer_id]
        body = {"id": peer_id}
        made = await _until_done(stage, "POST", f"{API}/raft/tokens", body)
        if made is None:
            return NOT_TAKEN
        members_ = ",".join(f"{it}={stage.peers[it].advertised}" for it in stage.peers.ids)
        command = peer.command
        peer.kill()  # a fault that had chosen it as a member may have started it again
        peer.wipe()
        peer.command = (*command, "--raft-peers", members_, "--raft-join", made.body["token"])
        peer.start()
        peer.command = command  # a token is good once, and a peer that was born needs none
        if not await _until(stage, lambda: _is_ready(stage, peer)):
            return await self._given_up(stage, peer)
        if await _until_done(stage, "POST", f"{API}/raft/peers/{peer_id}/promote") is None:
            return await self._given_up(stage, peer)
        stage.peers.take_in(peer_id)
        return Outcome(kind=Kind.OK, value=peer_id)

    @staticmethod
    async def _given_up(stage: Stage, peer: Peer) -> Outcome:
        """It may be a member or not. It goes on when the load ends, for the others may need it."""
        if not stage.stop.is_set():
            await _until_gone(stage, peer.id)
            peer.kill()
        return NOT_TAKEN

    async def _shrink(self, stage: Stage, peer_id: str) -> Outcome:
        """Value: [peer, whether it still answered a linearizable read, and without what was written
        after its removal]. Right until it is told it may answer such reads, for a majority vouches
        for each."""
        peer = stage.peers[peer_id]
        stage.peers.let_go(peer_id)  # nobody asks it, and no new fault hits it
        if not await _until_gone(stage, peer_id):
            stage.peers.take_in(peer_id)
            return NOT_TAKEN
        path, written = f"{API}/kv/{self.own(self.name)}-removed", stage.recorder.now_ns()
        if await _until_done(stage, "PUT", path, {"value": written}) is None:
            return NOT_TAKEN
        answer = await stage.http.ask(peer.url, "GET", path)
        is_stale = answer.status == NOT_FOUND or (
            answer.kind is Kind.OK and answer.body["value"] != written
        )
        await _until(stage, lambda: _has_ended(peer))
        peer.kill()
        return Outcome(kind=Kind.OK, value=[peer_id, is_stale])

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f != "voters":
            return await super().perform(http, url, f, value)
        answer = await http.ask(url, "GET", f"{API}/raft/peers")
        found = (answer.body or {}).get("peers") or []
        return read_outcome(answer, sorted(it["peer"] for it in found if it["is_voter"]))

    def final(self) -> Sequence[tuple[str, Value]]:
        return [*super().final(), ("voters", None)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        found = list(operations)
        return [
            *super().check(it for it in found if it.f in ("add", "read")),
            members.check(found),
        ]


async def _until_gone(stage: Stage, peer_id: str) -> bool:
    path = f"{API}/raft/peers/{peer_id}"
    return await _until_done(stage, "DELETE", path, is_gone_fine=True) is not None


async def _until_done(
    stage: Stage, method: str, path: str, body: Value = None, *, is_gone_fine: bool = False
) -> Answer | None:
    """Asks one member after the other; a repeat of a change is harmless. None: not in time."""
    done: list[Answer] = []

    async def ask() -> bool:
        url = stage.peers[stage.chance.choice(stage.peers.ids)].url
        answer = await stage.http.ask(url, method, path, body)
        if answer.kind is Kind.OK or (is_gone_fine and answer.code == "not_found"):
            done.append(answer)
        return bool(done)

    return done[0] if await _until(stage, ask) else None


async def _until(stage: Stage, is_so: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(int(STEP_S / POLL_S)):
        if await is_so():
            return True
        if stage.stop.is_set():
            return False
        await stage.pause(POLL_S)
    return False


async def _is_ready(stage: Stage, peer: Peer) -> bool:
    return (await stage.http.ask(peer.url, "GET", "/introspect/ready")).kind is Kind.OK


async def _has_ended(peer: Peer) -> bool:
    return not peer.is_alive

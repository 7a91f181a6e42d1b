"""Damaged files on a minority: the peer must refuse to start, and comes back as a new member.

Called by `jlike.nemesis`. What is damaged here must be noticed, so a peer that starts on it is a
violation; and so is one that says nothing of use. The way back is the one of the manual: remove the
old member, wipe, join with a token, promote.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from jlike.history import Kind
from jlike.http import API, Answer
from jlike.nemesis_disk import Breach
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers

REFUSES_S = 40.0
REJOINS_S = 90.0
POLL_S = 0.2
PAGE_BYTES = 4_096
FILES = ("log/data.mdb", "state/data.mdb")


async def corrupt(plan: Plan, peers: Peers) -> bool:
    """It counts when every victim refused its files. Raises Breach otherwise; but nobody refuses
    who was ended meanwhile, by a workload that restarts peers. Whom the others do not take in again
    in time, under the faults that hit them, stays lost until `bring_back`."""
    for it in (peers[name] for name in plan.victims):
        if not peers.can_spare(it.id):
            return False  # nobody could take it in again
        peers.away.add(it.id)
        it.kill()
        file, act = DAMAGES[plan.how]
        act(it.data / file)
        said_before = it.log_bytes
        it.excuse()
        it.start()
        refusal = await _refusal(it, said_before)
        was_ended = it.was_ended
        peers.lost.add(it.id)
        reason = await _back(it, peers)
        if refusal and not was_ended:
            raise Breach(f"{it.id}, {plan.how}: {refusal}")
        if reason or was_ended:
            return False
    return True


async def bring_back(peers: Peers) -> list[str]:
    """When all is healed nothing stands in the way any more. Result: who is not taken in again all
    the same, and its last words."""
    reasons = [await _back(peers[it], peers) for it in sorted(peers.lost)]
    return [it for it in reasons if it]


async def _back(peer: Peer, peers: Peers) -> str:
    """Empty, or why not."""
    is_member = peer.id in peers.by_id  # a workload may have removed it, and will take it in itself
    try:
        if is_member:
            await rejoin(peer, peers)
    except TimeoutError as error:
        peer.kill()
        return str(error)
    peers.lost.discard(peer.id)
    peers.away.discard(peer.id)
    peer.expect()
    return ""


async def _refusal(peer: Peer, said_before: int) -> str:
    """What was wrong with it; empty: it refused as it should."""
    if not await peer.ends(seconds=REFUSES_S):
        return "started on damaged files"
    said = peer.said_since(said_before)
    if peer.exit_code is None or peer.exit_code <= 0:
        return f"ended with {peer.exit_code}, not by itself"
    if "Traceback" in said or str(peer.data) not in said:
        return f"does not say what is wrong with which files: {said[-300:]}"
    return ""


async def rejoin(peer: Peer, peers: Peers) -> None:
    """Its old identity goes, its directory too, and a token lets it in. Raises TimeoutError."""
    peer.kill()
    try:
        async with asyncio.timeout(REJOINS_S):
            await _take_in_again(peer, peers)
    except TimeoutError:
        words = f"{peer.id} was not taken in again within {REJOINS_S:.0f} s: {peer.last_words}"
        raise TimeoutError(words) from None


async def _take_in_again(peer: Peer, peers: Peers) -> None:
    await _until_ok(peers, peer, "DELETE", f"/raft/peers/{peer.id}", is_fine=_is_gone)
    made = await _until_ok(peers, peer, "POST", "/raft/tokens", {"id": peer.id, "valid": "10m"})
    shutil.rmtree(peer.data, ignore_errors=True)
    peer.joining = ("--raft-join", made.body["token"])
    peer.start()
    await _until_ok(peers, peer, "POST", f"/raft/peers/{peer.id}/promote")
    peer.joining = ()


def _is_gone(answer: Answer) -> bool:
    return answer.kind is Kind.OK or answer.status == 404


def _is_ok(answer: Answer) -> bool:
    return answer.kind is Kind.OK


async def _until_ok(
    peers: Peers,
    peer: Peer,
    method: str,
    path: str,
    body: object = None,
    *,
    is_fine: Callable[[Answer], bool] = _is_ok,
) -> Answer:
    """Asked of each other peer in turn: some may be under a fault of their own. A peer that ended
    meanwhile, because it was too early, is started again."""
    others = [it for it in peers.ids if it != peer.id]
    while True:
        for it in others:
            answer = await peers.ask(it, method, f"{API}{path}", body)
            if is_fine(answer):
                return answer
            await asyncio.sleep(POLL_S)
        if peer.joining:
            peer.start()


# --- damages -------------------------------------------------------------------------------------


def _flip(file: Path) -> None:
    """One bit in the second half of each page but the first two, where records are."""
    text = bytearray(file.read_bytes())
    for page in range(2, len(text) // PAGE_BYTES):
        begin = page * PAGE_BYTES
        if any(text[begin : begin + PAGE_BYTES]):
            text[begin + PAGE_BYTES * 3 // 4] ^= 1
    file.write_bytes(bytes(text))


def _garble(file: Path) -> None:
    file.write_bytes(b"\x5a\xc3" * (file.stat().st_size // 2))


def _shorten(file: Path) -> None:
    """Whole pages are missing at its end."""
    os.truncate(file, file.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


_LOG, _STATE = FILES
DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "log bits flipped": (_LOG, _flip),
    "log garbled": (_LOG, _garble),
    "log shortened": (_LOG, _shorten),
    "log emptied": (_LOG, _empty),
    "state garbled": (_STATE, _garble),
    "state shortened": (_STATE, _shorten),
}

"""Holders of leases that pause for longer than they hold, and a resource that asks for the token.

Called by sim_state_clients. Promises: one holder at a time, for as long as was said; tokens grow;
with a token of the past nothing is prolonged, given back or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replicante.model.codec import encode_value
from replicante.state.commands import KvPut
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease, LeaseRenew
from replicante.state.outcome import Applied, Outcome, Rejected
from replicante.storage.kv import View
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_work import FINISHER, Asked, Question, Work

_NAMES = ("a", "b")
_OWNER = encode_value({})


@dataclass(slots=True)
class _Grant:
    name: str
    token: int
    told_at: int
    since_us: int
    is_given_back: bool = False


class LeaseWork(Work):
    name = "lease"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: dict[int, _Grant] = {}
        self._late: dict[int, list[_Grant]] = {}
        self._newest: dict[str, _Grant] = {}
        """name → the grant with the greatest token that anybody was told of"""
        self._left = list(_NAMES)
        """What the finisher has not held yet."""

    # --- asking --------------------------------------------------------------------------------

    def next(self, client: int, peer: SimPeer) -> Question | None:
        held, late = self._held.get(client), self._late.setdefault(client, [])
        late.sort(key=lambda it: self._newest[it.name].token <= it.token)
        if late and self.comes_back(is_replaced=self._newest[late[0].name].token > late[0].token):
            self.count("late_token_used")
            return self._use(late.pop(0))
        if held is None:
            return self._acquire(self.chance.pick(_NAMES))
        if self.chance.happens(0.35):
            self.count("holder_paused")
            late.append(held)
            del self._held[client]
            return None
        return self._use(held)

    def finish(self, peer: SimPeer) -> Question | None:
        held = self._held.get(FINISHER)
        if held is not None:
            return self._release(held)
        return self._acquire(self._left[0]) if self._left else None

    def _acquire(self, name: str) -> Question:
        command = LeaseAcquire(name, self.options.held_ms, _OWNER)
        return Question("acquire", [name, self.lasts_us() * 1_000], command)

    def _use(self, grant: _Grant) -> Question:
        name, token = grant.name, grant.token
        match self.chance.pick(["renew", "renew", "write", "write", "release"]):
            case "renew":
                value = [name, _text(token), self.lasts_us() * 1_000]
                return Question("renew", value, LeaseRenew(name, token))
            case "write":
                written = KvPut(_key(name), encode_value(_text(token)), lease=token)
                return Question("write", [name, _text(token)], written)
            case _:
                return self._release(grant)

    def _release(self, grant: _Grant) -> Question:
        grant.is_given_back = True
        command = LeaseRelease(grant.name, grant.token)
        return Question("release", [grant.name, _text(grant.token)], command)

    # --- answers -------------------------------------------------------------------------------

    def done(self, asked: Asked, outcome: Outcome, view: View) -> tuple[bool, Any]:
        name = asked.question.value[0]
        command = asked.question.command
        if isinstance(command, LeaseAcquire):
            if isinstance(outcome, Rejected):
                self.count("lease_held")
                return False, None
            assert isinstance(outcome, Applied)
            self._granted(asked, name, outcome.revision)
            return True, _text(outcome.revision)
        token = int(asked.question.value[1])
        if asked.question.f == "release":
            self._forget(asked.client, token)
        if isinstance(outcome, Rejected):
            self.count("stale_token")
            self._forget(asked.client, token)
            return False, None
        newest = self._newest[name]
        if newest.token > token and newest.told_at < asked.asked_at:
            text = f"{asked.question.f} of {name} with {token}, {newest.token} holds it"
            self.fail("an old token does nothing", text)
        if asked.question.f == "renew" and newest.token == token:
            newest.since_us = max(newest.since_us, asked.asked_us)
        if asked.question.f == "release" and asked.client == FINISHER:
            self._left.pop(0)
        return True, asked.question.value

    def refused(self, asked: Asked) -> None:
        if asked.question.f == "release":
            self._forget(asked.client, int(asked.question.value[1]))

    def lost(self, asked: Asked) -> None:
        self.refused(asked)

    def _granted(self, asked: Asked, name: str, token: int) -> None:
        before = self._newest.get(name)
        if before is not None and before.told_at < asked.asked_at and token <= before.token:
            self.fail("tokens grow", f"lease {name}: {token} after {before.token}")
        grant = _Grant(name, token, self.at + 1, asked.asked_us)
        if asked.client in self._held:
            self._late.setdefault(asked.client, []).append(self._held[asked.client])
        self._held[asked.client] = grant
        if before is None or before.token < token:
            self._newest[name] = grant
        if before is None or before.token > token or before.is_given_back:
            return
        self.count("lease_ran_out")
        elapsed_us = self.schedule.now_us - before.since_us
        if elapsed_us < self.lasts_us():
            text = f"lease {name}: {elapsed_us} of {self.options.held_ms * 1_000} µs"
            self.fail("a lease has one holder", text)

    def _forget(self, client: int, token: int) -> None:
        if client in self._held and self._held[client].token == token:
            del self._held[client]


def _key(name: str) -> bytes:
    return f"fenced/{name}".encode()


def _text(token: int) -> str:
    return f"{token:019d}"

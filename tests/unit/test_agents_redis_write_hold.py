"""What becomes of a primary that refuses writes for Sentinel, however the wish for it ends."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_agents_redis_after_hang import GUARDED, FakeServer
from test_agents_redis_facts import PRIMARY, REPLICA
from test_agents_redis_settings import N1, N2, says

from replicante.agents.sdk import StoreContact, again, done, failed
from replicante.agents.stores.redis.after_hang import AfterHang
from replicante.agents.stores.redis.facts import Facts, read_facts
from replicante.agents.stores.redis.membership import Membership
from replicante.agents.stores.redis.sentinels import Council
from replicante.agents.stores.redis.settings import KeptSettings
from replicante.agents.stores.redis.talk import NoContact
from replicante.agents.stores.redis.through_sentinel import SentinelActions
from replicante.agents.stores.redis.write_hold import NOBODY, WriteHold
from replicante.limits import (
    SENTINEL_IDLE_STEPS_MAX,
    SENTINEL_STEPS_MAX,
    SENTINEL_UNCLEAR_LOOKS_MAX,
)
from replicante.model.action_kinds import CONTROLLER_SWITCHOVER
from replicante.testing.clock import ManualClock

OURS = read_facts(PRIMARY)
USUAL = {"min-replicas-to-write": "0", "min-replicas-max-lag": "10"}
PROTECTED = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
HELD = {"min-replicas-to-write": str(NOBODY), "min-replicas-max-lag": "1"}
QUIET = tuple(says(port) for port in (1, 2, 3))
BUSY = tuple(says(port, is_failing_over=True) for port in (1, 2, 3))
MOVED = tuple(says(port, primary=N2) for port in (1, 2, 3))
SPLIT = (says(1), says(2, primary=N2), says(3, is_failing_over=True))
AT_ODDS = (says(1), says(2, primary=N2), says(3, primary=("127.0.0.1", 7003)))
LEFT_ALONE = QUIET[:1]
REPLACED = "Sentinels name 127.0.0.1:7002; this server was not told and refuses every write"


class Server(FakeServer):
    address = N1

    async def facts(self) -> Facts:
        if self.is_silent:
            raise NoContact(StoreContact.SILENT, "it says nothing")
        return self.seen


class FakeSentinels:
    """Three, of which those in `says` answer."""

    def __init__(self) -> None:
        self.says = QUIET
        self.asked_count = 0

    async def council(self) -> Council:
        return Council(name="main", known_count=3, says=self.says)

    async def choices(self, _council: Council) -> tuple:
        return ()

    async def fail_over(self, _council: Council) -> None:
        self.asked_count += 1
        self.says = BUSY


class Agent:
    """What one process has; another one over the same folder is the next."""

    def __init__(self, folder: Path, server: Server, sentinels: FakeSentinels) -> None:
        self.server, self.sentinels = server, sentinels
        self.after_hang = AfterHang(server=server, clock=ManualClock())
        self.hold = WriteHold(
            server=server,
            sentinels=sentinels,
            after_hang=self.after_hang,
            kept=KeptSettings(folder),
            folder=folder,
        )
        kinds = SentinelActions(
            server=server,
            membership=Membership(folder, prepare=lambda _: None),
            sentinels=sentinels,
            hold=self.hold,
        ).kinds()
        (self.kind,) = (it for it in kinds if it.kind == CONTROLLER_SWITCHOVER)
        self.payload = None

    async def step(self):
        step = await self.kind.run(self.kind.args(), self.payload)
        self.payload = step.payload
        return step

    async def begin(self) -> None:
        """Until Sentinel was asked."""
        while self.sentinels.asked_count == 0:
            await self.step()
        assert self.server.settings == HELD

    async def looks(self, count: int) -> None:
        for _ in range(count):
            await self.hold.look()


@pytest.fixture
def agent(tmp_path) -> Agent:
    return Agent(tmp_path, Server(OURS, PROTECTED), FakeSentinels())


def follows(server: Server) -> None:
    server.seen = read_facts(REPLICA)


async def test_an_action_that_goes_on_is_not_interfered_with(agent):
    await agent.begin()
    agent.sentinels.says = QUIET
    await agent.looks(SENTINEL_IDLE_STEPS_MAX * 2)
    assert agent.server.settings == HELD


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_writes_are_let_in_after_a_cancel_when_sentinel_does_nothing(
    agent, tmp_path, is_restarted
):
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    if is_restarted:
        agent = Agent(tmp_path, agent.server, agent.sentinels)
    await agent.looks(SENTINEL_IDLE_STEPS_MAX * 2)
    assert agent.server.settings == HELD, "Sentinel may be about to replace it"
    agent.sentinels.says = QUIET
    await agent.looks(SENTINEL_IDLE_STEPS_MAX)
    assert agent.server.settings == HELD, "who was asked is given a moment"
    await agent.looks(1)
    assert agent.server.settings == PROTECTED


async def test_writes_are_let_in_after_a_cancel_when_the_server_was_replaced(agent):
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.sentinels.says = MOVED
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX - 1)
    assert agent.hold.why is None, "a Sentinel may be about to tell it"
    await agent.looks(1)
    assert agent.hold.why == REPLACED
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX * 2)
    assert agent.server.settings == HELD, "it was replaced and does not know it yet"
    assert agent.hold.why == REPLACED
    follows(agent.server)
    await agent.looks(1)
    assert agent.server.settings == PROTECTED
    assert agent.hold.why is None


async def replaced_and_not_told(agent):
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.sentinels.says = MOVED
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX)
    assert agent.hold.why == REPLACED


@pytest.mark.parametrize("told", [LEFT_ALONE, AT_ODDS], ids=["away", "at_odds"])
async def test_that_a_server_was_replaced_is_told_until_its_sentinels_say_otherwise(agent, told):
    await replaced_and_not_told(agent)
    agent.sentinels.says = told
    await agent.looks(1)
    assert agent.hold.why == REPLACED, "nobody said otherwise"
    agent.sentinels.says = QUIET
    await agent.looks(1)
    assert agent.hold.why is None


async def test_the_next_agent_tells_that_a_server_was_replaced(agent, tmp_path):
    await replaced_and_not_told(agent)
    agent = Agent(tmp_path, agent.server, agent.sentinels)
    assert agent.hold.why is None
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX)
    assert agent.hold.why == REPLACED


async def test_an_action_on_a_server_that_was_replaced_speaks_for_it(agent):
    await replaced_and_not_told(agent)

    async def goes_on():
        return again()

    await agent.hold.used_by(goes_on)
    assert agent.hold.why is None


@pytest.mark.parametrize("told", [LEFT_ALONE, SPLIT], ids=["away", "at_odds"])
async def test_an_action_that_fails_because_its_sentinels_stay_away_leaves_no_limit(agent, told):
    await agent.begin()
    agent.sentinels.says = told
    for _ in range(SENTINEL_STEPS_MAX * 2):
        step = await agent.step()
        if step.phase.is_final:
            break
    assert step.error is not None
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX + 1)
    assert agent.server.settings == PROTECTED


async def test_a_primary_of_which_nobody_knows_takes_writes_beside_a_replica_only(tmp_path):
    alone = dataclasses.replace(OURS, replicas=())
    agent = Agent(tmp_path, Server(alone, USUAL), FakeSentinels())
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.sentinels.says = LEFT_ALONE
    await agent.looks(SENTINEL_UNCLEAR_LOOKS_MAX)
    assert agent.server.settings == HELD
    await agent.looks(1)
    assert agent.server.settings == GUARDED, "a successor has taken its replicas"


async def test_a_server_that_is_silent_when_the_action_ends_is_looked_after_when_it_goes_on(agent):
    await agent.begin()
    agent.server.is_silent = True
    while not (await agent.step()).phase.is_final:
        pass
    agent.sentinels.says = QUIET
    await agent.looks(SENTINEL_IDLE_STEPS_MAX * 2)
    agent.server.is_silent = False
    await agent.looks(SENTINEL_IDLE_STEPS_MAX + 1)
    assert agent.server.settings == PROTECTED


@pytest.mark.parametrize("end", [done(), failed("no")])
async def test_any_end_of_an_action_leaves_what_it_held(agent, end):
    await agent.begin()

    async def ended():
        return end

    await agent.hold.used_by(ended)
    follows(agent.server)
    await agent.looks(1)
    assert agent.server.settings == PROTECTED


async def test_a_defect_in_a_step_leaves_what_it_held(agent):
    await agent.begin()

    async def broken():
        raise RuntimeError("no such luck")

    with pytest.raises(RuntimeError):
        await agent.hold.used_by(broken)
    follows(agent.server)
    await agent.looks(1)
    assert agent.server.settings == PROTECTED


async def test_an_agent_that_lost_its_folder_knows_a_limit_that_it_left(agent, tmp_path):
    await agent.begin()
    agent.sentinels.says = QUIET
    (tmp_path / "other").mkdir()
    next_one = Agent(tmp_path / "other", agent.server, agent.sentinels)
    await next_one.looks(SENTINEL_IDLE_STEPS_MAX + 2)
    assert agent.server.settings == USUAL


async def test_what_somebody_set_otherwise_meanwhile_is_left_alone(agent):
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.server.settings = dict(USUAL)
    follows(agent.server)
    await agent.looks(2)
    assert agent.server.settings == USUAL
    assert not list(agent.hold._path.parent.glob("write_hold*"))


async def test_a_second_switchover_keeps_what_was_there_before_the_first(agent):
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.payload, agent.sentinels.says, agent.sentinels.asked_count = None, QUIET, 0
    await agent.begin()
    agent.sentinels.says = MOVED
    agent.server.seen = dataclasses.replace(read_facts(REPLICA), follows=N2)
    while not (step := await agent.step()).phase.is_final:
        pass
    assert step.error is None
    assert agent.server.settings == PROTECTED


async def test_a_guard_of_a_machine_that_stood_still_is_found_again(tmp_path):
    agent = Agent(tmp_path, Server(OURS, GUARDED), FakeSentinels())
    await agent.begin()
    await agent.kind.cancel(agent.payload)
    agent.sentinels.says = QUIET
    await agent.looks(SENTINEL_IDLE_STEPS_MAX + 1)
    assert agent.server.settings == GUARDED
    await agent.after_hang._guard()
    await agent.after_hang._lift()
    assert agent.server.settings == USUAL


async def test_a_step_that_wants_another_keeps_it(agent):
    await agent.begin()

    async def goes_on():
        return again()

    await agent.hold.used_by(goes_on)
    follows(agent.server)
    await agent.looks(2)
    assert agent.server.settings == HELD

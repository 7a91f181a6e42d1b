"""The agent SDK: the protocol, the fence, and actions that outlive the agent."""

from __future__ import annotations

import asyncio
import shutil

import msgspec
import pytest
from agent_harness import FixedStore, calling

from replicante import limits
from replicante.agents import sdk
from replicante.agents.sdk.catalogue import TEST_FAIL, TEST_LOOP, TEST_SUCCESS
from replicante.agents.sdk.server import BOOT_HEADER, INCARNATION_HEADER
from replicante.errors import InvalidConfig

KIND = "x.example.com/act"


def action(run, *, args=sdk.NoArgs, kind: str = KIND) -> sdk.ActionKind:
    return sdk.ActionKind(kind=kind, description="A test.", run=run, args=args)


class Gate:
    """A handler that wants another step until it is opened; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.is_open = False

    async def __call__(self, _args, before):
        self.calls.append(before)
        if self.is_open:
            return sdk.done({"calls": len(self.calls)})
        return sdk.again({"calls": len(self.calls)}, pause_ms=60_000)


async def test_the_three_calls_have_the_fields_of_the_protocol(tmp_path):
    async with calling(tmp_path, FixedStore(), version="1.2") as agent:
        _, node, _ = await agent.get("info/node")
        assert (node["node_id"], node["node_status"], node["store_id"]) == (
            "n1",
            "HEALTHY",
            "fixed",
        )
        assert node["agent_version"]["number"] == "1.2"
        assert node["address"] == {"member": "127.0.0.1:1"}
        _, store, _ = await agent.get("info/store")
        assert store == {"cluster_id": "c1", "attributes": {}}
        _, shards, _ = await agent.get("info/shards")
        (shard,) = shards["shards"]
        assert (shard["shard_id"], shard["role"]) == ("s", "primary")
        assert shard["commit_offset"] == {"value": 3, "unit": "writes"}


async def test_a_stopped_store_still_has_a_node_with_its_facts(tmp_path):
    async with calling(tmp_path, FixedStore(is_up=False)) as agent:
        status, node, _ = await agent.get("info/node")
        assert (status, node["node_status"]) == (200, "UNAVAILABLE")
        assert node["attributes"] == {"fixed/known-while-stopped": 7}
        for path in ("info/store", "info/shards"):
            status, body, _ = await agent.get(path)
            assert status == 503 and body["error"] is True
            assert "connection refused" in body["error_msg"]


async def test_an_older_epoch_is_refused_also_for_reads_and_by_the_next_process(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        status, _, headers = await agent.get("info/node", epoch=7)
        assert (status, headers["Replicante-Epoch"]) == (200, "7")
        assert (await agent.get("info/node", epoch=6))[0] == 412
    async with calling(tmp_path, FixedStore()) as agent:
        assert (await agent.get("info/shards", epoch=6))[0] == 412
        assert await agent.submit(TEST_SUCCESS, action_id="late", epoch=6) == 412
        assert (await agent.get("action/late"))[0] == 404
        assert (await agent.get("info/shards", epoch=7))[0] == 200


async def test_an_agent_tells_who_it_is_and_takes_only_what_is_meant_for_it(tmp_path):
    folder = tmp_path / "agent"

    async def marks():
        """Of one process."""
        async with calling(folder, FixedStore()) as agent:
            _, _, headers = await agent.get("info/node")
            again = (await agent.get("nothing"))[2]
            found = [headers[INCARNATION_HEADER], headers[BOOT_HEADER]]
            assert [again[INCARNATION_HEADER], again[BOOT_HEADER]] == found
            return found

    first, second = await marks(), await marks()
    assert first[0] == second[0] and first[1] != second[1], "a restart"
    shutil.rmtree(folder)
    third = await marks()
    assert third[0] != first[0], "what it kept is lost"
    async with calling(folder, FixedStore()) as agent:
        assert await agent.submit(TEST_SUCCESS, action_id="a", to=first[0]) == 421
        assert (await agent.get("action/a"))[0] == 404
        assert await agent.submit(TEST_SUCCESS, action_id="a", to=third[0]) == 200


async def test_two_agents_never_work_in_one_folder(tmp_path):
    async with calling(tmp_path, FixedStore()):
        with pytest.raises(BlockingIOError, match="another agent"):
            async with calling(tmp_path, FixedStore()):
                pass
    async with calling(tmp_path, FixedStore()) as agent:
        assert (await agent.get("info/node"))[0] == 200


async def test_who_names_no_epoch_may_read_but_not_act_once_epochs_were_seen(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        assert await agent.submit(TEST_SUCCESS, action_id="before") == 200
        await agent.get("info/node", epoch=1)
        assert (await agent.get("info/node"))[0] == 200
        assert await agent.submit(TEST_SUCCESS, action_id="after") == 412
        assert (await agent.post("action/before/cancel", {}))[0] == 412


@pytest.mark.parametrize("epoch", ["x", "-1", "1.0", "9" * 20, ""])
async def test_an_epoch_that_is_no_number_is_refused(tmp_path, epoch):
    async with calling(tmp_path, FixedStore()) as agent:
        assert (await agent.get("info/node", epoch=epoch))[0] == 400


async def test_an_id_is_taken_once(tmp_path):
    gate = Gate()
    gate.is_open = True
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        assert await agent.submit(KIND, action_id="a") == 200
        await agent.until_phase("a", "DONE")
        assert await agent.submit(KIND, action_id="a") == 409
    assert len(gate.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "x.example.com/unknown"},
        {"kind": TEST_LOOP, "args": {"target": "ten"}},
        {"kind": TEST_SUCCESS, "created_time": "2026-12-01T06:00:00+02:00"},
        {"kind": TEST_SUCCESS, "deadline_time": 5},
        {"kind": TEST_SUCCESS, "id": ""},
        {"kind": TEST_SUCCESS, "metadata": {"a": 1}},
        {"kind": 5},
        [],
    ],
)
async def test_an_order_that_cannot_be_meant_is_refused(tmp_path, body):
    async with calling(tmp_path, FixedStore()) as agent:
        status, answer, _ = await agent.post("action", body)
        assert status == 400 and answer["error_msg"]
        assert (await agent.get("actions/queue"))[1] == {"actions": []}


async def test_an_order_without_id_gets_one(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        _, body, _ = await agent.post("action", {"kind": TEST_SUCCESS})
        assert (await agent.until_phase(body["id"], "DONE"))["kind"] == TEST_SUCCESS


async def test_the_steps_of_one_action_leave_its_payload_and_history(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        await agent.submit(TEST_LOOP, {"target": 3}, action_id="a")
        found = await agent.until_phase("a", "DONE")
    assert found["state"]["payload"] == {"count": 3, "target": 3}
    assert [step["phase"] for step in found["history"]] == ["NEW", "RUNNING", "DONE"]
    assert found["finished_time"] is not None


async def test_one_action_at_a_time_in_the_order_of_submission(tmp_path):
    gate = Gate()
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        await agent.submit(KIND, action_id="first")
        await agent.submit(TEST_SUCCESS, action_id="second")
        await agent.until_phase("first", "RUNNING")
        _, queue, _ = await agent.get("actions/queue")
        assert [(it["id"], it["phase"]) for it in queue["actions"]] == [
            ("first", "RUNNING"),
            ("second", "NEW"),
        ]
        gate.is_open = True
        await agent.submit(TEST_FAIL, action_id="third")
        await agent.until_phase("third", "FAILED")
        _, ended, _ = await agent.get("actions/finished")
        assert [it["id"] for it in ended["actions"]] == ["third", "second", "first"]


async def test_an_action_goes_on_in_the_next_process_with_its_last_payload(tmp_path):
    gate = Gate()
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        await agent.submit(KIND, action_id="a")
        await agent.until("a", lambda found: found["state"]["payload"] == {"calls": 1})
    gate.is_open = True
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        found = await agent.until_phase("a", "DONE")
    assert gate.calls == [None, {"calls": 1}]
    assert found["state"]["payload"] == {"calls": 2}


async def test_a_step_that_was_cut_off_is_begun_anew(tmp_path):
    begun = asyncio.Event()
    befores = []

    async def hang_once(_args, before):
        befores.append(before)
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return sdk.done()

    async with calling(tmp_path, FixedStore(), [action(hang_once)]) as agent:
        await agent.submit(KIND, action_id="a")
        await begun.wait()
    async with calling(tmp_path, FixedStore(), [action(hang_once)]) as agent:
        await agent.until_phase("a", "DONE")
    assert befores == [None, None]


async def test_cancel_ends_what_is_new_at_once_and_what_runs_after_its_step(tmp_path):
    gate = Gate()
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        await agent.submit(KIND, action_id="runs")
        await agent.submit(KIND, action_id="waits")
        await agent.until_phase("runs", "RUNNING")
        assert (await agent.post("action/waits/cancel", {}))[1]["phase"] == "CANCELLED"
        await agent.post("action/runs/cancel", {})
        await agent.until_phase("runs", "CANCELLED")
        assert (await agent.post("action/none/cancel", {}))[0] == 404
        await agent.submit(TEST_SUCCESS, action_id="next")
        await agent.until_phase("next", "DONE")
        assert (await agent.post("action/next/cancel", {}))[1]["phase"] == "DONE"


async def test_an_action_whose_deadline_passed_does_not_begin(tmp_path):
    gate = Gate()
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        body = {"id": "a", "kind": KIND, "deadline_time": "2020-01-01T00:00:00Z"}
        await agent.post("action", body)
        found = await agent.until_phase("a", "FAILED", "DONE", "RUNNING")
    assert "deadline" in found["state"]["error"]["error_msg"]
    assert gate.calls == []


async def test_a_time_to_begin_counts_from_when_the_agent_took_it(tmp_path):
    gate = Gate()
    async with calling(tmp_path, FixedStore(), [action(gate)]) as agent:
        await agent.post("action", {"id": "a", "kind": KIND, "begin_within_ms": 0})
        late = await agent.until_phase("a", "FAILED", "DONE", "RUNNING")
        assert gate.calls == []
        body = {"id": "b", "kind": KIND, "begin_within_ms": 3_600_000}
        await agent.post("action", {**body, "created_time": "2020-01-01T00:00:00Z"})
        found = await agent.until_phase("b", "RUNNING")
        gate.is_open = True
    assert "deadline" in late["state"]["error"]["error_msg"]
    assert found["deadline_time"] > found["scheduled_time"]


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "60s", 10**12])
async def test_a_time_to_begin_that_is_none_is_refused(tmp_path, wrong):
    async with calling(tmp_path, FixedStore(), []) as agent:
        body = {"id": "a", "kind": TEST_SUCCESS, "begin_within_ms": wrong}
        assert (await agent.post("action", body))[0] == 400


async def test_a_handler_that_breaks_fails_its_action_and_not_the_agent(tmp_path):
    async def broken(_args, _before):
        raise RuntimeError("no such luck")

    async with calling(tmp_path, FixedStore(), [action(broken)]) as agent:
        await agent.submit(KIND, action_id="a")
        found = await agent.until_phase("a", "FAILED")
        assert "no such luck" in found["state"]["error"]["error_msg"]
        await agent.submit(TEST_SUCCESS, action_id="b")
        await agent.until_phase("b", "DONE")


async def test_an_agent_refuses_more_actions_than_may_wait(tmp_path):
    async with calling(tmp_path, FixedStore(), [action(Gate())]) as agent:
        for number in range(limits.AGENT_ACTIONS_WAITING_MAX):
            assert await agent.submit(KIND, action_id=f"a{number}") == 200
        assert await agent.submit(KIND, action_id="more") == 429


async def test_actions_are_not_taken_from_other_machines_without_their_certificates(tmp_path):
    async with calling(tmp_path, FixedStore(), host="0.0.0.0") as agent:
        assert (await agent.get("info/node"))[0] == 200
        assert await agent.submit(TEST_SUCCESS, action_id="a") == 403
        assert (await agent.post("action/a/cancel", {}))[0] == 403


async def test_the_catalogue_names_each_kind_with_the_schema_of_its_arguments(tmp_path):
    class Args(msgspec.Struct):
        size: int

    async with calling(tmp_path, FixedStore(), [action(Gate(), args=Args)]) as agent:
        _, found, _ = await agent.get("actions/available")
    by_kind = {item["kind"]: item for item in found["actions"]}
    assert {TEST_SUCCESS, TEST_FAIL, TEST_LOOP, KIND} == set(by_kind)
    assert by_kind[KIND]["description"] == "A test."
    assert "size" in str(by_kind[KIND]["args"])


@pytest.mark.parametrize("kind", ["no-domain", "a b/c", "replicante.io/mine", TEST_FAIL])
def test_kinds_that_are_malformed_reserved_or_taken_are_refused_at_the_start(kind, tmp_path):
    settings = sdk.AgentSettings(node_id="n", data_dir=tmp_path)
    with pytest.raises(InvalidConfig):
        sdk.Agent(settings, FixedStore(), [action(Gate(), kind=kind)])


async def test_an_agent_that_does_not_judge_stops_says_no(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        assert (await agent.get("checks/can-stop"))[1]["can_stop"] is False


async def test_a_defect_of_what_the_store_watches_ends_the_agent(tmp_path):
    class Broken(FixedStore):
        async def watch(self):
            raise RuntimeError("it watches no more")

    settings = sdk.AgentSettings(node_id="n1", data_dir=tmp_path)
    async with sdk.Agent(settings, Broken()) as agent:
        with pytest.raises(RuntimeError, match="it watches no more"):
            await agent.wait()


async def test_an_agent_goes_on_when_its_store_has_nothing_to_watch(tmp_path):
    async with calling(tmp_path, FixedStore()) as agent:
        await agent.submit("agent.replicante.io/test.success", action_id="a")
        assert (await agent.until_phase("a", "DONE", "FAILED"))["state"]["phase"] == "DONE"

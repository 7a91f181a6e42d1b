from __future__ import annotations

import pytest
from test_client_over_api import cluster

from replicante import errors
from replicante.client import (
    TxnAbsent,
    TxnDelete,
    TxnGet,
    TxnPresent,
    TxnPut,
    TxnRevisionEquals,
    TxnRevisionGreater,
    TxnRevisionLess,
    TxnValueEquals,
)
from replicante.testing.fake_peer import Trouble


async def test_a_transaction_does_all_of_one_branch():
    async with cluster() as (client, _, _second):
        item = await client.kv.put("a", {"n": 1})
        done = await client.kv.txn(
            compares=[
                TxnPresent(key="a"),
                TxnAbsent(key="b"),
                TxnRevisionEquals(key="a", revision=item.revision),
                TxnValueEquals(key="a", value={"n": 1}),
            ],
            then=[TxnGet(key="a"), TxnPut(key="b", value=2), TxnDelete(key="a")],
            otherwise=[TxnPut(key="c", value=3)],
        )
        assert done.is_success
        assert [one.value for one in done.results[:1]] == [{"n": 1}]
        assert [one.key async for one in client.kv.list()] == ["b"]
        refused = await client.kv.txn(
            compares=[
                TxnRevisionLess(key="b", revision=item.revision),
                TxnRevisionGreater(key="b", revision=item.revision),
            ],
            otherwise=[TxnGet(key="nothing")],
        )
        assert not refused.is_success
        assert (refused.results[0].revision, refused.results[0].value) == (None, None)


async def test_a_transaction_whose_answer_is_lost_happens_once():
    async with cluster() as (client, first, _):
        first.trouble = Trouble.LOST_AFTER
        done = await client.kv.txn(compares=[TxnAbsent(key="a")], then=[TxnPut(key="a", value=1)])
        assert done.is_success
        first.trouble = Trouble.NONE
        assert (await client.kv.get("a")).revision == done.results[0].revision


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"then": [TxnPut(key="a", value=float("nan"))]}, "then[0].value"),
        ({"otherwise": [TxnPut(key="a", value=[b"x"])]}, "otherwise[0].value[0]"),
        ({"compares": [TxnValueEquals(key="a", value={1: 2})]}, "compares[0].value"),
    ],
)
async def test_a_value_that_no_body_carries_is_refused(request_, path):
    async with cluster() as (client, first, _):
        with pytest.raises(errors.Invalid) as caught:
            await client.kv.txn(**request_)
        assert caught.value.path == path
        assert first.proposals_count == 0


async def test_a_lost_lease_refuses_a_transaction():
    async with cluster() as (client, _, _second):
        with pytest.raises(errors.StaleToken):
            await client.kv.txn(then=[TxnPut(key="a", value=1, lease="5")])

"""A user of the SDK: does what each line of its input says, and tells what the SDK told.

Started by `jlike.workload.sdk` as a process of its own, with the URLs of all peers as arguments. A
line is {"id", "peer", "f", "key", "value"}; peer: number of the URL that this user names first. An
answer is {"id", "kind": ok|fail|info, "value", "error"}. The SDK may repeat, go to other peers and
wait as it likes: what it says in the end is what counts. The only file of the suite that imports
what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from replicante import errors
from replicante.client import Client, TxnPut, TxnValueEquals


async def main(urls: list[str]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client([*urls[at:], *urls[:at]]))
            for at in range(len(urls))
        ]
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(_answer(clients, json.loads(line)))


async def _answer(clients: list[Client], order: dict[str, Any]) -> None:
    told: dict[str, Any] = {"id": order["id"], "kind": "ok", "value": None, "error": ""}
    client = clients[order["peer"]]
    try:
        told["value"] = await _carry_out(client, order["f"], order["key"], order["value"])
    except errors.ReplicanteError as error:
        told["kind"] = "fail" if error.definite else "info"
        told["error"] = error.code
    print(json.dumps(told), flush=True)


async def _carry_out(client: Client, f: str, key: str, value: Any) -> Any:
    match f:
        case "read":
            found = await client.kv.find(key)
            return None if found is None else found.value
        case "write":
            await client.kv.put(key, value)
            return True
        case "cas":
            old, new = value
            done = await client.kv.txn(
                compares=[TxnValueEquals(key=key, value=old)], then=[TxnPut(key=key, value=new)]
            )
            return done.is_success
        case "append":
            return (await client.queues.send(key, value)).id
        case _:
            raise ValueError(f)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

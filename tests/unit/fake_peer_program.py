"""Stands for a peer process in tests of the supervisor: takes the arguments of `replicante server`.

Writes peer.json, answers every request with a problem that says "not found", and ends as it is told
to. FAKE_PEER chooses what is wrong with it: `p2=exit:3,p3=deaf,p1=mute`. Not a test file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from replicante import lifeline
from replicante.peer_file import PeerFile, write_peer_file

PROBLEM = json.dumps(
    {
        "type": "urn:replicante:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "nothing",
        "code": "not_found",
        "definite": True,
    }
).encode()


def main() -> None:
    arguments = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
    peer = arguments["--peer-id"]
    faults = dict(item.split("=") for item in os.environ.get("FAKE_PEER", "").split(",") if item)
    fault = faults.get(peer, "")
    assert sys.argv[1] == "server"
    assert sys.argv[-1] == "--until-stdin-closes"
    lifeline.hold(sys.stdin.fileno())
    sys.stdout.write(f"{peer} starts\n")
    if fault.startswith("exit:"):
        sys.stdout.write("it says why")
        sys.exit(int(fault.removeprefix("exit:")))
    if fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder = Path(arguments["--peer-data-dir"])
    folder.mkdir(parents=True, exist_ok=True)
    http = arguments["--http-listen"]
    write_peer_file(
        folder, PeerFile(id=peer, pid=os.getpid(), raft=arguments["--raft-listen"], http=http)
    )
    asyncio.run(serve(int(http.rpartition(":")[2]), is_mute=fault == "mute"))


async def serve(port: int, *, is_mute: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            if is_mute:
                continue
            head = (
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
                f"Content-Length: {len(PROBLEM)}\r\n\r\n"
            )
            writer.write(head.encode() + PROBLEM)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    main()

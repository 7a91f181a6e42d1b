"""Asks agents as a person would: without an epoch, so only while no control plane leads them.
Called by the playground.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

import aiohttp

from replicante.errors import BadAnswer, Conflict, Unreachable
from replicante.limits import CLIENT_PAUSE_MS_MAX, REQUEST_DEADLINE_MS_MAX
from replicante.model.codec import Value

_PREFIX = "/api/unstable"
_ENDED = ("DONE", "FAILED", "CANCELLED")


class AgentsByHand:
    async def __aenter__(self) -> AgentsByHand:
        limit = aiohttp.ClientTimeout(total=REQUEST_DEADLINE_MS_MAX / 1_000)
        self._session = aiohttp.ClientSession(timeout=limit)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, agent_address: str, path: str) -> dict[str, Value] | None:
        """None: the agent has no such answer now.  Raises Unreachable, BadAnswer."""
        status, body = await self._call("GET", agent_address, path, None)
        return body if status == 200 else None

    async def until_answers(self, agent_address: str) -> dict[str, Value]:
        """`info/node`, once the store answers its agent.  Raises Unreachable after a minute."""
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_MS_MAX / 1_000):
                while True:
                    try:
                        node = await self.get(agent_address, "info/node")
                    except Unreachable:
                        node = None
                    if node is not None and node.get("contact") == "answers":
                        return node
                    await asyncio.sleep(CLIENT_PAUSE_MS_MAX / 1_000)
        except TimeoutError as exc:
            raise Unreachable(f"The agent at {agent_address} has no store that answers.") from exc

    async def act(self, agent_address: str, kind: str, args: Value) -> None:
        """Returns when it is done.  Raises Conflict with the agent's reason."""
        body = {"kind": kind, "args": args}
        status, answer = await self._call("POST", agent_address, "action", body)
        if status != 200:
            raise Conflict(f"{agent_address} refuses {kind}: {answer.get('error_msg')}")
        while True:
            _, found = await self._call("GET", agent_address, f"action/{answer['id']}", None)
            state = found.get("state")
            if isinstance(state, dict) and state.get("phase") in _ENDED:
                break
            await asyncio.sleep(CLIENT_PAUSE_MS_MAX / 1_000)
        if state["phase"] != "DONE":
            raise Conflict(f"{agent_address} failed {kind}: {state.get('error')}")

    async def _call(
        self, method: str, agent_address: str, path: str, body: Value
    ) -> tuple[int, dict[str, Value]]:
        url = f"{agent_address}{_PREFIX}/{path}"
        try:
            async with self._session.request(method, url, json=body) as response:
                found = await response.json() if response.content_length else {}
                status = response.status
        except aiohttp.ContentTypeError as exc:
            raise BadAnswer(f"{agent_address} does not speak as an agent does.") from exc
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise Unreachable(f"{agent_address}: {exc}") from exc
        if not isinstance(found, dict):
            raise BadAnswer(f"{agent_address} does not speak as an agent does.")
        return status, found

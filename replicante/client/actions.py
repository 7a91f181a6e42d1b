"""Actions on nodes and of the orchestrator. Reached as `client.nactions` and `client.oactions`.

They are created with `client.objects.apply`, as documents of the kinds NAction and OAction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import path_text, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.pages import every_item
from replicante.wire import headers, paths
from replicante.wire.actions import ActionAnswer, ActionMoved, ActionPage, ActionSummary


class Actions:
    """scope: namespace, cluster, for a node action its node, and the id of the action."""

    def __init__(self, calls: Calls, *, kind: str) -> None:
        self._calls = calls
        self._kind = kind

    async def get(self, *scope: str, read: Read = LINEARIZABLE) -> ActionAnswer:
        """One action with its history. Raises `NotFound`, and as `kv.get`."""
        path = path_text(paths.object_path, self._kind, *scope)
        return await self._calls.run_as(ActionAnswer, read_call(path, read))

    async def approve(
        self, *scope: str, reason: str = "", write: Write = DEFAULT_WRITE
    ) -> ActionMoved:
        """Lets an action begin that waits for it. Raises `NotFound`, `WrongPhase`, and as
        `kv.put`."""
        return await self._move("approve", scope, reason, write)

    async def reject(
        self, *scope: str, reason: str = "", write: Write = DEFAULT_WRITE
    ) -> ActionMoved:
        """Ends an action that waits for approval. Raises as `approve`."""
        return await self._move("reject", scope, reason, write)

    async def cancel(
        self, *scope: str, reason: str = "", write: Write = DEFAULT_WRITE
    ) -> ActionMoved:
        """Ends an action that is not finished. Raises as `approve`."""
        return await self._move("cancel", scope, reason, write)

    async def page(
        self,
        ns: str,
        cluster: str,
        *,
        node_id: str | None = None,
        is_ended_wanted: bool = False,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        cursor: str | None = None,
        read: Read = LINEARIZABLE,
    ) -> ActionPage:
        """Actions of a cluster in the order of their ids; `next` is the cursor of the rest. Raises
        as `kv.get`."""
        query = [(headers.Q_LIMIT, str(limit))]
        if is_ended_wanted:
            query.append((headers.Q_ALL, "true"))
        if node_id is not None:
            query.append((headers.Q_NODE_ID, node_id))
        if cursor is not None:
            query.append((headers.Q_CURSOR, cursor))
        path = path_text(paths.list_path, self._kind, ns, cluster)
        return await self._calls.run_as(ActionPage, read_call(path, read, query=query))

    def list(
        self,
        ns: str,
        cluster: str,
        *,
        node_id: str | None = None,
        is_ended_wanted: bool = False,
        read: Read = LINEARIZABLE,
    ) -> AsyncIterator[ActionSummary]:
        """All of them, page by page. node_id: for node actions. Raises as `kv.get`."""
        return every_item(
            lambda cursor: self.page(
                ns,
                cluster,
                node_id=node_id,
                is_ended_wanted=is_ended_wanted,
                cursor=cursor,
                read=read,
            )
        )

    async def _move(
        self, verb: str, scope: tuple[str, ...], reason: str, write: Write
    ) -> ActionMoved:
        path = f"{path_text(paths.object_path, self._kind, *scope)}/{verb}"
        query = [(headers.Q_REASON, reason)] if reason else []
        call = write_call("POST", path, None, headers={}, write=write, query=query)
        return await self._calls.write_as(ActionMoved, call)

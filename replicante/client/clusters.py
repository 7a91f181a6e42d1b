"""What the control plane knows of a cluster. Reached as `client.clusters`. The declared part of a
cluster is an object: `client.objects`."""

from __future__ import annotations

from collections.abc import Sequence

from replicante.client.calls import Calls
from replicante.client.encoding import encode_body, path_text, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.wire import headers, paths
from replicante.wire.clusters import (
    ApproveDiscovery,
    DiscoveryAnswer,
    DiscoveryApproved,
    PlatformRunAnswer,
    ReportAnswer,
    ViewAnswer,
    WorkRequested,
)
from replicante.wire.explain import ExplainAnswer, PlanAnswer

_KIND = "clusterspec"
_PLATFORM = "platform"


class Clusters:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def discovery(
        self, ns: str, cluster: str, *, read: Read = LINEARIZABLE
    ) -> DiscoveryAnswer:
        """What its platform says of it. Raises `NotFound` while it said nothing, and as
        `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/discovery"
        return await self._calls.run_as(DiscoveryAnswer, read_call(path, read))

    async def approve_discovery(
        self,
        ns: str,
        cluster: str,
        *,
        gone: Sequence[str],
        reason: str = "",
        write: Write = DEFAULT_WRITE,
    ) -> DiscoveryApproved:
        """Believes the answer that is held (`discovery().held`).

        gone: ids of all nodes that it leaves out: whoever names them has seen them. reason: for the
        event.  Raises `NotFound` when nothing is held, `RecordChanged` when others are missing,
        and as `kv.put`.
        """
        body = ApproveDiscovery(gone=list(gone), reason=reason)
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/discovery/approve"
        encoded = encode_body(body, path="gone")
        call = write_call("POST", path, encoded, headers={}, write=write)
        return await self._calls.write_as(DiscoveryApproved, call)

    async def view(self, ns: str, cluster: str, *, read: Read = LINEARIZABLE) -> ViewAnswer:
        """Everything that is known of it. Raises `NotFound`, and as `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/view"
        return await self._calls.run_as(ViewAnswer, read_call(path, read))

    async def orchestrate(
        self, ns: str, cluster: str, *, write: Write = DEFAULT_WRITE
    ) -> WorkRequested:
        """Asks for a cycle now. It is accepted when this returns; the report tells when it was
        done. Raises `NotFound`, and as `kv.put`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/orchestrate"
        call = write_call("POST", path, None, headers={}, write=write)
        return await self._calls.write_as(WorkRequested, call)

    async def report(self, ns: str, cluster: str, *, read: Read = LINEARIZABLE) -> ReportAnswer:
        """The report of the last cycle. Raises `NotFound` before the first, and as `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/orchestrate/report"
        return await self._calls.run_as(ReportAnswer, read_call(path, read))

    async def explain(
        self, ns: str, cluster: str, *, at: str | None = None, read: Read = LINEARIZABLE
    ) -> ExplainAnswer:
        """Why it is as it is. at: an event id; None: now. Raises `NotFound` where no decision is
        kept, and as `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/explain"
        query = () if at is None else ((headers.Q_AT, at),)
        return await self._calls.run_as(ExplainAnswer, read_call(path, read, query=query))

    async def plan(self, ns: str, cluster: str, *, read: Read = LINEARIZABLE) -> PlanAnswer:
        """What comes next. Raises `NotFound` before the first cycle, and as `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/plan"
        return await self._calls.run_as(PlanAnswer, read_call(path, read))


class Platforms:
    """What is asked of a platform. Reached as `client.platforms`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def discover(
        self, ns: str, platform: str, *, write: Write = DEFAULT_WRITE
    ) -> WorkRequested:
        """Asks for a discovery now; as `Clusters.orchestrate`."""
        path = f"{path_text(paths.object_path, _PLATFORM, ns, platform)}/discover"
        call = write_call("POST", path, None, headers={}, write=write)
        return await self._calls.write_as(WorkRequested, call)

    async def discovery(
        self, ns: str, platform: str, *, read: Read = LINEARIZABLE
    ) -> PlatformRunAnswer:
        """What became of the last discovery. Raises `NotFound` before the first, and as
        `kv.get`."""
        path = f"{path_text(paths.object_path, _PLATFORM, ns, platform)}/discovery"
        return await self._calls.run_as(PlatformRunAnswer, read_call(path, read))

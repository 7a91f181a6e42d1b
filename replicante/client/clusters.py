"""What the control plane knows of a cluster. Reached as `client.clusters`. The declared part of a
cluster is an object: `client.objects`."""

from __future__ import annotations

from replicante.client.calls import Calls
from replicante.client.encoding import path_text, read_call
from replicante.client.options import LINEARIZABLE, Read
from replicante.wire import paths
from replicante.wire.clusters import DiscoveryAnswer, ReportAnswer

_KIND = "clusterspec"


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

    async def report(self, ns: str, cluster: str, *, read: Read = LINEARIZABLE) -> ReportAnswer:
        """The report of the last cycle. Raises `NotFound` before the first, and as `kv.get`."""
        path = f"{path_text(paths.object_path, _KIND, ns, cluster)}/orchestrate/report"
        return await self._calls.run_as(ReportAnswer, read_call(path, read))

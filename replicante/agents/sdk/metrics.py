"""What an agent counts, and the text that is scraped. Called by `server` and `runner`.

Names are the original's where it has them. A registry of its own: several agents fit in a process.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from replicante.agents.sdk.values import Phase

STORE_CALL_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class AgentMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "repliagent_requests", "Requests answered.", ("route", "status"), registry=self.registry
        )
        self._ended = Counter(
            "repliagent_actions_ended", "Actions that ended.", ("kind", "phase"),
            registry=self.registry,
        )  # fmt: skip
        self.store_seconds = Histogram(
            "repliagent_store_ops_duration", "Seconds of a call to the store.", ("op",),
            buckets=STORE_CALL_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.store_errors = Counter(
            "repliagent_store_ops_error", "Calls to the store that failed.", ("op",),
            registry=self.registry,
        )  # fmt: skip

    def ended(self, kind: str, phase: Phase) -> None:
        self._ended.labels(kind=kind, phase=str(phase)).inc()

    def render(self) -> bytes:
        return generate_latest(self.registry)

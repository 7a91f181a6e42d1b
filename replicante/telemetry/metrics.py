"""Every metric, named and typed once, and the registry of one process. Used by `server` and `api`.

Nothing is registered at import: each `Metrics` object owns its registry, so that two peers fit in
one process (tests). Gauges about Raft are read from `Status` when somebody scrapes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from replicante.raft.status import Role, Status

SECONDS_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class MetricType(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """name: as scraped. A counter's name ends in `_total`."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


def _counter(name: str, help_text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.COUNTER, help=help_text, labels=labels)


def _gauge(name: str, help_text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.GAUGE, help=help_text, labels=labels)


def _histogram(name: str, help_text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.HISTOGRAM, help=help_text, labels=labels)


INFO = _gauge("replicante_info", "Always 1; what runs.", "peer", "version")
HTTP_REQUESTS = _counter(
    "replicante_http_requests_total", "Requests answered.", "method", "route", "status"
)
HTTP_SECONDS = _histogram(
    "replicante_http_request_duration_seconds",
    "Time from the parsed request line to the whole answer; streams and long polls left out.",
    "method",
    "route",
)
HTTP_INFLIGHT = _gauge("replicante_http_requests_in_flight", "Requests being worked on.")
HTTP_PROBLEMS = _counter("replicante_http_problems_total", "Problem answers.", "code")
HTTP_UNEXPECTED = _counter(
    "replicante_http_unexpected_errors_total", "Defects of ours that answered 500."
)
HTTP_MALFORMED = _counter(
    "replicante_http_malformed_total", "Connections that sent bytes that are no HTTP request."
)
WRITES = _counter(
    "replicante_writes_total",
    "Writes by result: applied, rejected (by the state), refused (never ordered), unknown.",
    "result",
)
WRITE_SECONDS = _histogram(
    "replicante_write_duration_seconds", "Time from admission to the applied outcome."
)
WORK = _counter(
    "replicante_work_total",
    "Work on clusters and platforms: done, refused (nothing was written), failed, cancelled.",
    "kind",
    "result",
)
WORK_SECONDS = _histogram(
    "replicante_work_duration_seconds", "Time of one cycle, discovery or removal.", "kind"
)
READS = _counter("replicante_reads_total", "Reads by consistency and result.", *(
    "consistency", "result",
))  # fmt: skip
STREAMS = _gauge("replicante_event_streams", "Event streams and long polls open.", "format")
STREAMS_ENDED = _counter(
    "replicante_event_streams_ended_total", "Event streams ended, by reason.", "format", "reason"
)
EVENTS_SENT = _counter("replicante_events_sent_total", "Events written to readers.", "format")
LOOP_LAG = _histogram(
    "replicante_loop_lag_seconds", "How late the event loop ran a timer: the longest slices."
)
RAFT_OBSERVATIONS = _counter(
    "replicante_raft_observations_total", "Observations of the Raft room, by kind.", "kind"
)
LOG_DROPPED = _gauge("replicante_log_lines_dropped", "Log lines dropped: stderr was too slow.")
CERTIFICATE_END = _gauge(
    "replicante_certificate_end_seconds",
    "When the certificate of this peer ends, in seconds since 1970; 0 without TLS.",
)
STORE_SIZE = _gauge("replicante_store_size", "Sizes of the stores, by name and unit.", "name")

QUEUE_MOVES = _counter(
    "replicante_queue_moves_total",
    "What became of jobs in what this peer applied since it started: enqueued, claimed, acked,"
    " nacked, returned (ran out), dead_lettered. Queues beyond the first 100 count under no name.",
    "queue",
    "move",
)
QUEUE_JOBS = _gauge(
    "replicante_queue_jobs",
    "Jobs by state: waiting, ready (of these, what a claim gets), claimed, dead. The first 100"
    " queues by name.",
    "queue",
    "state",
)
QUEUE_AGE = _gauge(
    "replicante_queue_oldest_age_seconds",
    "Age of the oldest job that is ready; not there when none is. The same queues.",
    "queue",
)
QUEUES_LEFT_OUT = _gauge(
    "replicante_queues_left_out",
    "Queues of which a figure is not told. jobs: those beyond the first 100, 2000 are counted at"
    " most; age: these, and those of the 100 behind many that use many priorities.",
    "figure",
)

RAFT_ROLE = _gauge("replicante_raft_role", "1 for the present role, 0 for the others.", "role")
RAFT_HAS_LEADER = _gauge("replicante_raft_has_leader", "1 when this peer knows a leader.")
RAFT_READY = _gauge("replicante_raft_ready", "1 when this peer is ready to serve.")
RAFT_DISK_FULL = _gauge("replicante_raft_disk_full", "1 while writes wait for room on the disk.")
RAFT_TERM = _gauge("replicante_raft_term", "Newest term that this peer knows.")
RAFT_GENERATION = _gauge("replicante_raft_generation", "Generation of the log.")
RAFT_COMMIT_INDEX = _gauge("replicante_raft_commit_index", "Newest entry known as committed.")
RAFT_APPLIED_INDEX = _gauge("replicante_raft_applied_index", "Newest entry applied here.")
RAFT_DURABLE_INDEX = _gauge("replicante_raft_durable_index", "Newest entry durable in the state.")
RAFT_FIRST_INDEX = _gauge("replicante_raft_first_index", "Oldest entry in the log.")
RAFT_LAST_INDEX = _gauge("replicante_raft_last_index", "Newest entry in the log.")
RAFT_CLOCK = _gauge("replicante_raft_clock_seconds", "Cluster clock.")
RAFT_STALENESS = _gauge(
    "replicante_raft_staleness_seconds",
    "Upper bound of the age of this peer's state; +Inf when it cannot prove one.",
)
RAFT_QUARANTINED = _gauge(
    "replicante_raft_quarantined",
    "1 when the state of this peer is not a majority's: it serves nobody until it is replaced.",
)
RAFT_DISPUTED = _gauge(
    "replicante_raft_states_disputed",
    "1 while the states of the voters differ and no majority says which is right.",
)
RAFT_PENDING = _gauge("replicante_raft_pending_proposals", "Proposals without an outcome yet.")
RAFT_PEER_CONNECTED = _gauge(
    "replicante_raft_peer_connected", "1 when the connection to the peer stands.", "to"
)
RAFT_PEER_MATCH = _gauge(
    "replicante_raft_peer_match_index", "Newest entry a follower holds durably (leader only).", "to"
)
RAFT_PEER_DIFFERS = _gauge(
    "replicante_raft_peer_state_differs", "1 when the state of the peer is known to be wrong.", "to"
)

METRICS: tuple[MetricSpec, ...] = (
    INFO, HTTP_REQUESTS, HTTP_SECONDS, HTTP_INFLIGHT, HTTP_PROBLEMS, HTTP_UNEXPECTED,
    HTTP_MALFORMED, WRITES, WRITE_SECONDS, WORK, WORK_SECONDS, READS, STREAMS, STREAMS_ENDED,
    EVENTS_SENT, LOOP_LAG, RAFT_OBSERVATIONS, LOG_DROPPED, CERTIFICATE_END, STORE_SIZE, QUEUE_MOVES,
    QUEUE_JOBS, QUEUE_AGE, QUEUES_LEFT_OUT, RAFT_ROLE,
    RAFT_HAS_LEADER, RAFT_READY, RAFT_DISK_FULL, RAFT_TERM, RAFT_GENERATION, RAFT_COMMIT_INDEX,
    RAFT_APPLIED_INDEX, RAFT_DURABLE_INDEX, RAFT_FIRST_INDEX, RAFT_LAST_INDEX, RAFT_CLOCK,
    RAFT_STALENESS, RAFT_QUARANTINED, RAFT_DISPUTED, RAFT_PENDING, RAFT_PEER_CONNECTED,
    RAFT_PEER_MATCH, RAFT_PEER_DIFFERS,
)  # fmt: skip
"""All of ours, in the order of the reference page; `process_*` and `python_*` come on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    moves: Mapping[tuple[str, str], int]
    """(queue, move) → how often."""
    jobs: Mapping[tuple[str, str], int]
    """(queue, state) → how many."""
    oldest_age_ms: Mapping[str, int]
    """Queue → age of the oldest job that is ready."""
    left_out: Mapping[str, int]
    """What is not told → of how many queues."""


class Metrics:
    """The metrics of one peer process. Called on the event loop's thread."""

    def __init__(self, *, peer_id: str, version: str) -> None:
        # A switch of the whole library; nobody graphs the birthday of a counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.http_requests = self._new_counter(HTTP_REQUESTS)
        self.http_seconds = self._new_histogram(HTTP_SECONDS, SECONDS_BUCKETS)
        self.http_inflight = self._new_gauge(HTTP_INFLIGHT)
        self.http_problems = self._new_counter(HTTP_PROBLEMS)
        self.http_unexpected = self._new_counter(HTTP_UNEXPECTED)
        self.http_malformed = self._new_counter(HTTP_MALFORMED)
        self.writes = self._new_counter(WRITES)
        self.write_seconds = self._new_histogram(WRITE_SECONDS, SECONDS_BUCKETS)
        self.work = self._new_counter(WORK)
        self.work_seconds = self._new_histogram(WORK_SECONDS, SECONDS_BUCKETS)
        self.reads = self._new_counter(READS)
        self.streams = self._new_gauge(STREAMS)
        self.streams_ended = self._new_counter(STREAMS_ENDED)
        self.events_sent = self._new_counter(EVENTS_SENT)
        self.loop_lag = self._new_histogram(LOOP_LAG, LAG_BUCKETS)
        self.log_dropped = self._new_gauge(LOG_DROPPED)
        self.certificate_end = self._new_gauge(CERTIFICATE_END)
        self._observations = self._new_counter(RAFT_OBSERVATIONS)
        self._new_gauge(INFO).labels(peer=peer_id, version=version).set(1)

    def sample_status(self, status: Callable[[], Status]) -> None:
        """From now on each scrape shows what `status()` says. Called once."""
        self.registry.register(_Sampled(lambda: _status_families(status())))

    def sample_sizes(self, sizes: Callable[[], Mapping[str, float]]) -> None:
        """sizes: name with its unit (`state_bytes`) → value; read at each scrape. Called once."""
        self.registry.register(_Sampled(lambda: [_size_family(sizes())]))

    def sample_queues(self, figures: Callable[[], QueueFigures]) -> None:
        """From now on each scrape shows what `figures()` says. Called once."""
        self.registry.register(_Sampled(lambda: _queue_families(figures())))

    def observed(self, observation: object) -> None:
        """Counts an observation of the Raft room under the name of its type."""
        self._observations.labels(kind=snake_case(type(observation).__name__)).inc()

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    def _new_counter(self, spec: MetricSpec) -> Counter:
        assert spec.type is MetricType.COUNTER and spec.name.endswith("_total")
        return Counter(spec.name, spec.help, spec.labels, registry=self.registry)

    def _new_gauge(self, spec: MetricSpec) -> Gauge:
        assert spec.type is MetricType.GAUGE
        return Gauge(spec.name, spec.help, spec.labels, registry=self.registry)

    def _new_histogram(self, spec: MetricSpec, buckets: tuple[float, ...]) -> Histogram:
        assert spec.type is MetricType.HISTOGRAM
        return Histogram(spec.name, spec.help, spec.labels, registry=self.registry, buckets=buckets)


def snake_case(name: str) -> str:
    """`LeaderChanged` → `leader_changed`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class _Sampled:
    """A collector that asks when it is scraped."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        return self._families()


def _queue_families(figures: QueueFigures) -> list[Metric]:
    moves = CounterMetricFamily(QUEUE_MOVES.name, QUEUE_MOVES.help, labels=QUEUE_MOVES.labels)
    for labels, count in figures.moves.items():
        moves.add_metric(labels, count)
    jobs: dict[tuple[str, ...], float] = {
        (queue, state): count for (queue, state), count in figures.jobs.items()
    }
    ages: dict[tuple[str, ...], float] = {
        (queue,): age_ms / 1_000 for queue, age_ms in figures.oldest_age_ms.items()
    }
    left_out: dict[tuple[str, ...], float] = {
        (figure,): count for figure, count in figures.left_out.items()
    }
    families = ((QUEUE_JOBS, jobs), (QUEUE_AGE, ages), (QUEUES_LEFT_OUT, left_out))
    return [moves, *(_family(spec, values) for spec, values in families)]


def _family(spec: MetricSpec, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _size_family(sizes: Mapping[str, float]) -> Metric:
    return _family(STORE_SIZE, {(name,): value for name, value in sizes.items()})


def _status_families(status: Status) -> list[Metric]:
    staleness = float("inf") if status.staleness_ms is None else status.staleness_ms / 1_000
    plain = {
        RAFT_HAS_LEADER: float(status.leader_id is not None),
        RAFT_READY: float(status.is_ready),
        RAFT_DISK_FULL: float(status.is_disk_full),
        RAFT_TERM: status.term,
        RAFT_GENERATION: status.generation,
        RAFT_COMMIT_INDEX: status.commit_index,
        RAFT_APPLIED_INDEX: status.applied_index,
        RAFT_DURABLE_INDEX: status.durable_index,
        RAFT_FIRST_INDEX: status.first_index,
        RAFT_LAST_INDEX: status.last_index,
        RAFT_CLOCK: status.clock_ms / 1_000,
        RAFT_STALENESS: staleness,
        RAFT_QUARANTINED: float(status.quarantine is not None),
        RAFT_DISPUTED: float(status.disputed_index is not None),
        RAFT_PENDING: status.pending_proposals_count,
    }
    return [
        _family(RAFT_ROLE, {(role.value,): float(role is status.role) for role in Role}),
        *(_family(spec, {(): value}) for spec, value in plain.items()),
        _family(
            RAFT_PEER_CONNECTED,
            {(peer.peer_id,): float(peer.is_connected) for peer in status.peers},
        ),
        _family(
            RAFT_PEER_DIFFERS,
            {(peer.peer_id,): float(peer.differs_at is not None) for peer in status.peers},
        ),
        _family(
            RAFT_PEER_MATCH,
            {
                (peer.peer_id,): peer.match_index
                for peer in status.peers
                if peer.match_index is not None
            },
        ),
    ]

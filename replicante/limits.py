"""Every bound, with its unit in its name and the reason next to it. Pure; for every room.

Hitting a bound has a designed answer (413, 429, 503, 507, 400 with the limit in the message),
and a test.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- names ------------------------------------------------------------
NAME_BYTES_MAX = 128
"""Long enough for any host name in use, short enough for keys made of several names."""
HOST_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
"""The name of a host, as DNS has it; at most 253 characters."""
PEER_ID_PATTERN = r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?"
"""Lower case, fit for file names, DNS labels and metric labels; at most 64."""
NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
"""Names of clusters, namespaces and objects: fit for paths and file names as they are."""

# --- values and requests
KV_KEY_BYTES_MAX = 384
"""Leaves room for table, namespace and escapes within ROW_KEY_BYTES_MAX."""
VALUE_BYTES_MAX = 1 * MIB
"""A value is coordination data, not a file: it is replicated, logged and held in memory."""
VALUE_DEPTH_MAX = 32
"""Far below any recursion limit, so that every peer can decode what one peer accepted."""
INTEGER_MIN = -(1 << 63)
"""64 bits: what msgpack, JSON readers of most languages and databases agree on."""
INTEGER_MAX = (1 << 63) - 1
"""As INTEGER_MIN; unsigned values above it are refused."""
REQUEST_BYTES_MAX = 1 * MIB
"""Size of one HTTP body and of one command's payload, before the envelope."""
REQUEST_OPERATIONS_MAX = 1_000
"""Operations of one batch; applied without a pause, so that a batch stays one slice."""
COMMAND_BYTES_MAX = REQUEST_BYTES_MAX + 64 * KIB
"""A command is the request's canonical bytes plus its envelope (tag, key, request id)."""
REQUEST_ID_BYTES_MAX = 128
"""A caller's request id is repeated in every log line of the request."""
ACTOR_BYTES_MAX = 256
"""Who asked, kept with the event: a name, a certificate subject, a path of roles."""
FINALISERS_MAX = 16
"""Each is a party that must agree before an object goes; more are a mistake."""
LABELS_MAX = 64
"""Labels of one object: they are for choosing, a description belongs elsewhere."""
SELECTOR_TERMS_MAX = 32
"""Terms of one label selector; each is compared with every object that is looked at."""
PAGE_ITEMS_MAX = 1_000
"""Rows of one page: a page is read in one view, within one slice of the loop."""
PAGE_ITEMS_DEFAULT = 100
"""Rows of a page when the caller names no limit."""
PAGE_BYTES_MAX = 4 * MIB
"""A page ends early, with `next`, when its rows would exceed this."""
IDEMPOTENCY_KEY_BYTES_MAX = 128
"""A UUID, a ULID or a hash with a prefix fits."""
IDEMPOTENCY_WINDOW_MS = 24 * 3_600 * 1_000
"""Outcomes are kept for a day of cluster time: longer than any sane retry."""
BLOCKING_WAIT_MS_MAX = 10 * 60 * 1_000
"""Longest wait of a blocking read; proxies seldom allow more."""
REQUEST_DEADLINE_MS_DEFAULT = 10_000
"""Several elections fit into it, so that a write outlives the loss of a leader."""
REQUEST_DEADLINE_MS_MAX = 60_000
"""A caller who waits longer holds a place in the queue that others need."""

# --- rows ------------------------------------------------------------
ROW_KEY_BYTES_MAX = 511
"""LMDB's compiled-in key bound; an encoded row key includes table and namespace."""

# --- Raft ------------------------------------------------------------
ENTRY_BYTES_MAX = 2 * MIB
"""One entry a tick: large enough for throughput, small enough to decode in one slice."""
ENTRY_COMMANDS_MAX = 1_024
"""Applying one entry stays below a 20 ms slice of the event loop at 12 µs a command."""
APPLY_COMMANDS_MAX = 1_024
"""Commands applied in one step before the loop gets a turn."""
"""Equals the proposals of one peer; bounds the time that one apply takes."""
APPEND_BYTES_MAX = 512 * KIB
"""Soft size of one append message: it ends after the entry that crosses this; one always fits."""
FRAME_BYTES_MAX = APPEND_BYTES_MAX + ENTRY_BYTES_MAX + 64 * KIB
"""An append message that an entry of full size made cross its soft size, and the fields around."""
APPEND_ENTRIES_MAX = 256
"""Entries of one append message, however small they are."""
APPEND_INFLIGHT_MAX = 8
"""Append messages to one follower that no answer has come for: hides the round trip."""
PROPOSALS_PENDING_MAX = 4_096
"""In-flight proposals of one peer, and outcomes a session remembers above its floor (ADR 0014)."""
PROPOSALS_PENDING_BYTES_MAX = 64 * MIB
"""Commands waiting on one peer; above it proposals are refused with 429."""
READS_PENDING_MAX = 16_384
"""Linearizable reads of one peer that wait for the leader's word; more are refused with 429."""
INBOX_MESSAGES_MAX = 4_096
"""Messages and proposals that one step of the driver has not taken yet."""
LINK_OUTBOX_BYTES_MAX = 16 * MIB
"""Frames that wait for one slow peer on one channel; above it they are dropped, Raft re-sends."""
HANDSHAKE_BYTES_MAX = 16 * KIB
"""Greatest frame that a connection may bring before it has named itself."""
HELLO_BIRTH_BYTES_MAX = 8 * KIB
"""The part of a greeting that tells of genesis: PEERS_MAX voters and the cluster's name."""
ADDRESS_BYTES_MAX = 260
"""A DNS name (253), a colon, a port."""
REFUSAL_MESSAGE_BYTES_MAX = 512
"""A sentence that says why a peer is refused, shown to its operator."""
LINK_LOOKUP_MS_MAX = 30_000
"""A name lookup may outlive the attempt that asked, so it gets longer than the resolver's own."""
DIAL_ADDRESSES_MAX = 8
"""Addresses of one name that one attempt tries."""
LINK_DIAL_MS_MAX = 3_000
"""A connection that is not made by then is tried again; resends of SYN come at 1 and 3 s."""
LINK_HANDSHAKE_MS_MAX = 3_000
"""A connection that has not named itself by then is closed."""
LINK_SILENCE_MS_MAX = 10_000
"""TCP gives a link up when what was sent stays unacknowledged for so long."""
LINK_CLOSE_MS_MAX = 250
"""What a stopping peer waits for its last frames to leave."""
REDIAL_MS_MIN = 2
"""A process that is killed closes its links before it stops listening: the redial that comes at
once meets a socket nobody serves, the next one is refused, which starts a pre-vote."""
REDIAL_MS_MAX = 1_000
"""Longest pause: a peer that comes back is found within a second."""
PEM_BYTES_MAX = 64 * KIB
"""A file with a key or with certificates: a chain of several fits many times."""
CERTIFICATE_DAYS_DEFAULT = 365
"""A peer's certificate is renewed once a year: often enough to be remembered."""
AUTHORITY_DAYS_DEFAULT = 3_650
"""A private authority outlives its machines; its key stays away from them."""
CERTIFICATE_DAYS_MAX = 36_500
"""More is a slip of the finger, and dates beyond the year 9999 cannot be written."""
CERTIFICATE_WARN_DAYS = 30
"""A certificate with less time than this is warned of: time for one working month's round."""
CERTIFICATE_SKEW_MS_MAX = 3_600 * 1_000
"""A certificate is valid this long before it was made: clocks of machines differ."""
FORWARDED_COMMANDS_MAX = 65_536
"""Commands of followers that wait for the leader's next blocks; more are dropped and sent again."""
FORWARDED_BYTES_MAX = 128 * MIB
"""Memory for them."""
RESEND_MS = 3_000
"""A forwarded command that was not applied by then is sent again. Connections lose nothing while
they stand, so this is rare, and a short time would double the load of a slow leader."""
SESSION_OUTCOMES_MAX = 4_096
"""Outcomes remembered above the floor of one session (ADR 0014)."""
SESSION_OUTCOME_BYTES_MAX = 1 * KIB
"""Longer outcomes are not remembered: after a jump over their entry they count as unknown."""
ROUNDS_KEPT_MAX = 4_096
"""Heartbeat rounds that wait for their echo: at a round a read, they span an election timeout."""
PEERS_MAX = 15
"""More voters make writes slower, not safer; five survive two failures."""
CHANGES_PENDING_MAX = 16
"""Changes of the members that wait on one peer; the leader makes one at a time."""
PROMOTE_LAG_ENTRIES_MAX = 256
"""Entries that a learner may lack when it begins to vote: sent within a few heartbeats, so that
the commits which now wait for it do not wait long."""
MEMBERSHIP_MS_DEFAULT = 10_000
"""A change of the members waits so long for a leader and its commit: several elections."""
REMOVED_MS_MAX = 1_000
"""Others may refuse a removed peer before the leader's commit has told it; then it ends."""
JOIN_REFUSED_MS_MAX = 30_000
"""A member that lags does not know of a fresh token yet; who is refused for longer gives up."""
JOIN_TOKEN_BYTES_MAX = 1_024
"""Names, ids and two digests, in letters that a terminal copies whole."""
JOIN_VALID_MS_DEFAULT = 3_600_000
"""An hour: long enough to prepare a machine, short for a secret that was pasted somewhere."""
JOIN_VALID_MS_MAX = 7 * 24 * 3_600_000
"""A token for longer would outlive the intention."""
INBOUND_LINKS_MAX = 4 * PEERS_MAX
"""Two channels a peer, and as many again while new connections replace old ones."""
STRANGERS_MAX = 2 * PEERS_MAX
"""Inbound connections that have not named themselves yet."""
HEARTBEAT_MS = 100
"""Six fit into the shortest election timeout: a pause of a busy machine makes no election."""
ELECTION_MS_MIN = 600
"""Shortest silence of a leader that starts an election."""
ELECTION_MS_MAX = 1_200
"""Each peer draws between the two, so that two candidates seldom meet."""
CLOCK_STEP_MS_MAX = ELECTION_MS_MIN
"""Most that one tick may advance the cluster clock: a pause does not count (ADR 0013)."""
CLOCK_TICK_MS = 10_000
"""While any deadline exists the clock is replicated at least this often."""
LOG_TAIL_BYTES_MAX = 16 * MIB
"""Newest log entries kept in memory for followers and apply; older ones are read from disk."""
LOG_KEPT_BYTES_DEFAULT = 64 * MIB
"""Entries that are kept although the state has what they did: a peer that was away catches up
from them, and a start reads and verifies them, which takes about a second."""
SNAPSHOT_CHUNK_BYTES = 256 * KIB
"""One message of a snapshot on its way: far below the outbox of a link, read in one slice."""
SNAPSHOT_WINDOW_BYTES = 2 * MIB
"""Of a snapshot, sent and not answered: hides the round trip, leaves the link room for entries."""
SNAPSHOT_IDLE_MS_MAX = 30_000
"""A snapshot that nobody takes is kept so long for the next one who needs it."""
SNAPSHOT_RETRY_MS = 5_000
"""After a snapshot could not be made, most likely for want of room."""
SNAPSHOT_EVERY_ENTRIES = 10_000
"""Entries after which the library saves the state of a machine in memory: what a start replays."""
LOG_HELD_FACTOR = 4
"""For a follower that takes a snapshot the log keeps up to this multiple of what it keeps else:
without it, a slow transfer would end behind the log and begin again without end."""
LOG_SEGMENT_BYTES = 1 * MIB
"""The log is trimmed by so much at once: deleting it takes a few milliseconds of one commit."""
LOG_SEGMENT_ENTRIES_MAX = 4_096
"""As LOG_SEGMENT_BYTES, where entries are small."""

# --- state ------------------------------------------------------------
STATE_MAP_BYTES_DEFAULT = 64 * GIB
"""Sparse: takes room as it fills. Far above what one peer should hold."""
LOG_MAP_BYTES_DEFAULT = 64 * GIB
"""Sparse, as the state is."""
CHECK_VIOLATIONS_MAX = 20
"""Told by one check of a data directory; whatever broke one row may have broken a million."""
RECOVERY_REASON_BYTES_MAX = 1_024
"""Why somebody forced a generation or skipped an entry: it stays in the log and in an event."""
LOG_RESERVE_BYTES = 64 * MIB
"""Preallocated, released on a full disk, so that term and trim always succeed."""
FLUSH_INTERVAL_MS = 250
"""State lags the durable log by this; a restart replays it."""
FLUSH_SLICE_ROWS_MAX = 500
"""Rows written before the flusher lets the loop run: about 0.5 ms."""
FLUSH_GIVE_WAY_MS = 10
"""Longest time that the end of an entry waits for the flusher to write its slices."""
MEMTABLE_BYTES_MAX = 64 * MIB
"""Unflushed rows in memory; above it the driver waits for the disk."""
MEMTABLE_ROW_OVERHEAD_BYTES = 160
"""What an unflushed row costs beside key and value: two objects, a slot, a place in a run."""
MEMTABLE_RUN_KEYS_MAX = 2_048
"""Keys sorted in one go (0.3 ms)."""
MEMTABLE_MERGED_KEYS_MAX = 32_768
"""Longest sorted run that shorter ones are merged into (1.5 ms)."""
FLUSH_RETRY_MS = 1_000
"""Pause before a flush that found no room is repeated."""
DISK_ROOM_BYTES_MIN = 64 * MIB
"""With less room than this on its file system, a commit that ends in EIO met a full disk: LMDB
reports a write that was cut short as EIO."""
STATE_USED_FRACTION_MAX = 0.9
"""Admission refuses writes (507) above this share of the map bound: copy-on-write of the rows
already accepted, and the deletes that make room, need the rest."""
DIGEST_INTERVAL_ENTRIES = 1_024
"""Digests are taken at multiples of this index, so that peers have common ones."""
DIGESTS_KEPT = 8
"""Last ones in status: peers that differ in progress still share some."""
EXPIRE_BATCH_MAX = 500
"""Due records that one entry sweeps; the leader ticks again while more are due."""
REQUESTS_KEPT_MAX = 100_000
"""Remembered outcomes of idempotency keys; the oldest go first."""

LEASE_MS_MIN = 1_000
"""Shorter than an election and a slow disk, a lease would be lost by holders in good health."""
LEASE_MS_MAX = 24 * 3_600 * 1_000
"""Who is gone for a day does not come back for its lock; release it by force."""
LEASE_OWNER_BYTES_MAX = 4 * KIB
"""Attributes for people and events, as a host and a version; not a document."""
LEASE_REASON_BYTES_MAX = 1 * KIB
"""A sentence, or a ticket's address."""
LEASE_WAIT_MS_MAX = BLOCKING_WAIT_MS_MAX
"""Longest wait of an acquire; a caller who wants more asks again."""
LEASE_WAITERS_MAX = 2_000
"""Waiting acquires of one peer; more are answered 503 and go to another peer."""
JOB_BODY_BYTES_MAX = 256 * KIB
"""A job says what to do; what it is done with belongs into a key or an object store."""
JOB_PRIORITY_MAX = 100
"""And as much below 0: enough for classes of service."""
JOB_ATTEMPTS_MAX = 1_000
"""A job that fails so often is never done; until then it costs what a job costs."""
JOB_ATTEMPTS_DEFAULT = 5
"""Claims without an acknowledgement before a job is a dead letter."""
JOB_HISTORY_ATTEMPTS_MAX = 20
"""The last attempts are told with a job; all of them are events."""
JOB_DELAY_MS_MAX = 30 * 24 * 3_600 * 1_000
"""A month; what is due later belongs into a calendar."""
JOB_VISIBILITY_MS_MIN = 1_000
"""Shorter than an election and a slow disk, claims would run out under workers in good health."""
JOB_VISIBILITY_MS_MAX = 12 * 3_600 * 1_000
"""Who works for longer extends."""
JOB_VISIBILITY_MS_DEFAULT = 30_000
"""Longer than most work, short enough to wait for after a crash."""
JOB_REASON_BYTES_MAX = 1 * KIB
"""A sentence, or a ticket's address."""
CLAIM_JOBS_MAX = 100
"""Of one claim; each is two rows and an event in one slice."""
CLAIM_WAIT_MS_MAX = BLOCKING_WAIT_MS_MAX
"""Longest wait of a claim; a worker that wants more asks again."""
CLAIM_WAITERS_MAX = 2_000
"""Waiting claims of one peer; more are answered 503 and go to another peer."""
READY_STARTS_MAX = 1_024
"""Queues of which apply remembers where a claim begins to look; in others it searches."""
QUEUES_MEASURED_MAX = 100
"""Queues that have metrics of their own at one peer: labels must not grow for ever."""
QUEUE_STEP_JOBS_MAX = 1_000
"""Jobs that one purge or one redrive moves; the answer says how many are left."""
TXN_ANSWER_BYTES_MAX = 1 * MIB
"""Values that the gets of one transaction may find; more is refused before anything is written."""

STAMPS_FREE_PER_COMMAND = 4
"""Ordinals that any command may use, however small it is."""
COMMAND_BYTES_PER_STAMP = 48
"""A command that may use more ordinals is padded to this many bytes for each of them."""
STAMPS_PER_EXPIRY_MAX = 4
"""Ordinals that the sweep may use for one due record."""
STAMPS_PER_DUE_JOB_MAX = 1
"""Ordinals that the sweep uses for a claim that ran out: its event."""
CONSUMERS_MAX = 100
"""Named consumers of the event log, expired ones too: all are looked at together."""
STAMPS_PER_CONSUMER = 2
"""Ordinals that the sweep uses for a consumer that expires: its write and its event."""
CONSUMER_SILENCE_MS_MAX = 7 * 24 * 3_600 * 1_000
"""A consumer that says nothing for this long, by the cluster clock, expires."""
CONSUMER_HELD_BYTES_MAX = GIB
"""A consumer that keeps more from being trimmed expires: a forgotten one fills nobody's disk."""
STAMPS_RESERVED = 16
"""Ordinals for events of the entry itself, as a new term."""
STAMPS_PER_ENTRY_MAX = (
    ENTRY_COMMANDS_MAX * STAMPS_FREE_PER_COMMAND
    + ENTRY_BYTES_MAX // COMMAND_BYTES_PER_STAMP
    + EXPIRE_BATCH_MAX * STAMPS_PER_EXPIRY_MAX
    + EXPIRE_BATCH_MAX * STAMPS_PER_DUE_JOB_MAX
    + CONSUMERS_MAX * STAMPS_PER_CONSUMER
    + STAMPS_RESERVED
)
"""Follows from the bounds above, whatever the commands of an entry are; it fits 16 bits."""
EVENT_VALUE_BYTES_MAX = 4 * KIB
"""A larger kv value is named in its event by size, not repeated."""
EVENTS_KEPT_COUNT_DEFAULT = 10_000_000
"""Older events are trimmed; a reader below the floor is told so with 410."""
EVENTS_KEPT_BYTES_DEFAULT = 8 * GIB
"""As the count, by encoded size."""
EVENTS_KEPT_MS_DEFAULT = 30 * 24 * 3_600 * 1_000
"""As the count, by age: thirty days."""
EVENTS_KEPT_COUNT_MIN = 1_000
"""What people may set, and the two below: a reader that reads must not fall out of the log."""
EVENTS_KEPT_BYTES_MIN = 1 * MIB
"""As the count, by encoded size."""
EVENTS_KEPT_MS_MIN = 60_000
"""As the count, by age."""
EVENT_FILTER_CODES_MAX = 32
"""Code prefixes of one reader: each event is compared with all of them."""

# --- HTTP ------------------------------------------------------------
HTTP_CONNECTIONS_MAX = 8_192
"""More are closed at once: half of a usual limit of open files stays for data and peers."""
REQUESTS_INFLIGHT_MAX = 4_096
"""Requests being worked on by one peer; more are answered 429."""
HTTP_BODY_BYTES_INFLIGHT_MAX = 64 * MIB
"""Request bodies held in memory at once, over all connections; more are answered 429."""
HTTP_BODY_READ_MS_MAX = 30_000
"""A body that takes longer to arrive is answered 408: a slow sender holds memory."""
HTTP_BODY_INLINE_BYTES_MAX = 16 * KIB
"""Larger bodies are parsed and checked on a thread, so that no slice of the loop exceeds 20 ms."""
HTTP_PAGE_SLICE_BYTES_MAX = 256 * KIB
"""Stored values of a page that are turned into an answer at once; then the loop serves others."""
HTTP_WRITE_MS_MAX = 10_000
"""A stream whose reader takes nothing for this long is cut off."""
HTTP_STOP_MS_MAX = 5_000
"""Requests in flight get this long to finish when the server stops."""
EVENT_STREAMS_MAX = 2_000
"""Streams and long polls of one peer; more are answered 503 and go to another peer."""
EVENT_CHUNK_BYTES_MAX = 64 * KIB
"""One write of a stream; between two the loop serves others, and no more than this is buffered."""
EVENT_SCAN_ITEMS_MAX = 500
"""Events looked at in one view, filtered ones too: a slice of the loop."""
EVENT_TAIL_BYTES_MAX = 16 * MIB
"""Newest events kept decoded for streams, with their encodings; older ones are read again."""
EVENT_PORTIONS_MAX = 64
"""Writes that are kept for other readers of the same place and filter; beyond it each reader joins
its own from lines that are still encoded once."""
EVENT_WAKES_AT_ONCE_MAX = 64
"""Readers that are woken together; a slice of the loop."""
EVENT_REST_MS_MAX = 200
"""Longest rest between two rounds of waking: what many readers add to the age of an event."""
EVENT_HEARTBEAT_MS = 5_000
"""Silence on a stream: short enough for proxies that close idle connections."""
STALE_STREAM_MS = 15_000
"""A stream of a peer that lost touch for this long ends, so that its reader goes elsewhere."""

# --- diagnostics ------------------------------------------------------------
LOG_LINES_QUEUED_MAX = 10_000
"""Lines that wait for stderr; more are dropped and counted: the loop never waits for it."""
LOOP_LAG_SAMPLE_MS = 50
"""Period of the timer whose lateness is the loop's lag: finds every slice that is longer."""

# --- client ------------------------------------------------------------
CLIENT_ENDPOINTS_MAX = 64
"""Far above PEERS_MAX; names may resolve to several addresses."""
CLIENT_CONNECTIONS_MAX = 512
"""Connections of one client; more concurrent calls wait for a free one."""
CLIENT_CONNECT_MS_MAX = 1_000
"""A peer that does not accept by then is left for another one."""
CLIENT_ATTEMPT_MS_MAX = 3_000
"""One attempt of a call: a peer that is silent for longer is left for another one."""
CLIENT_PAUSE_MS_MIN = 20
"""Pause after every endpoint was tried in vain; it doubles up to the most."""
CLIENT_PAUSE_MS_MAX = 500
"""Pause after every endpoint was tried in vain; it doubles from the least to the most."""
CLIENT_ANSWER_BYTES_MAX = 16 * MIB
"""Largest body that a client reads: above any page."""
CLIENT_EVENT_BYTES_MAX = 4 * MIB
"""One line of an event stream."""
CLIENT_STREAM_SILENCE_MS_MAX = 2 * EVENT_HEARTBEAT_MS + 2_500
"""A stream without event or heartbeat for this long is dead: two heartbeats were missed."""
EXPORT_UNSYNCED_BYTES_MAX = 1 * MIB
"""Lines of an event export between two fsyncs; one event more may go beyond it."""
EXPORT_QUEUED_ITEMS_MAX = 256
"""Followed events that wait while those before them are synced; more wait on the connection."""
EXPORT_READ_BYTES = 2 * EXPORT_UNSYNCED_BYTES_MAX + 2 * CLIENT_EVENT_BYTES_MAX
"""End of an export that is read and checked before it goes on: all that a crash can have left
half written, and the whole event before it."""

# --- orchestration ------------------------------------------------------------
INTERVAL_MS_MIN = 250
"""Cycles and discoveries closer together would keep an agent busy answering."""
INTERVAL_MS_MAX = 7 * 24 * 3_600 * 1_000
"""A cluster that is looked at less often than weekly is not watched."""
GRACE_MS_MAX = 30 * 24 * 3_600 * 1_000
"""Graces, quiet periods and windows beyond a month are mistakes."""
CONFIRMATIONS_MAX = 1_000
"""Observations in a row that a policy may ask for."""
MAINTENANCE_WINDOWS_MAX = 32
"""Windows of one cluster: each is compared with the time in every cycle."""
DEFINITION_GROUPS_MAX = 64
"""Node groups of one cluster."""
DEFINITION_NODES_MAX = 1_000
"""Nodes that a definition may ask for: a slip of the finger must not fill a data centre."""
OACTION_TIMEOUT_MS_DEFAULT = 24 * 3_600 * 1_000
"""An orchestrator action of a kind without a shorter one fails after a day, as the original's."""
PROVISION_TIMEOUT_MS = 3_600 * 1_000
"""A platform gets an hour until what it promised is seen, as the original's."""
ROLE_CHANGE_TIMEOUT_MS = 10 * 60 * 1_000
"""A switchover or failover that did not end by then has failed; what it sent is looked up."""
PLATFORM_ATTEMPTS_MAX = 5
"""Calls to a platform that fail in a row before their action does."""
ACTION_SEND_MS_MAX = 60_000
"""A node action is sent until then, and begun by its agent until then: the world moves on."""
DISCOVERY_CONFIRMATIONS_MIN = 3
"""Answers in a row that leave out a known node before it is believed to be gone."""
DISCOVERED_CLUSTERS_MAX = 10_000
"""Clusters in one answer of a platform."""
DISCOVERED_NODES_MAX = 1_000
"""Nodes of one cluster in an answer of a platform."""
SWITCHOVER_MS_MAX = 10_000
"""Writes may wait so long for a switchover; then the primary stays what it is."""
ACTION_METADATA_ITEMS_MAX = 64
"""Items of an action's metadata: they travel to its agent as they are."""
OACTION_TIMEOUT_MS_MAX = 30 * 24 * 3_600 * 1_000
"""An orchestrator action that may take longer than a month is a mistake."""
REASON_BYTES_MAX = 256
"""Why a person approved, rejected or cancelled: a sentence, kept in an event."""
DECISIONS_KEPT_MAX = 64
"""Decisions of one cluster that can be asked for; older ones are in the event log."""
ACTIONS_ENDED_KEPT_MAX = 256
"""Ended actions of one cluster that can be asked for; older ones are in the event log."""
ACTIONS_ENDED_KEPT_MS = 14 * 24 * 3_600 * 1_000
"""And for how long, as in the original."""
ACTIONS_FORGOTTEN_MAX = 32
"""Of those that are too old, by one cycle."""
RECORD_CHANGES_MAX = 1_000
"""Changes of one cycle: applied without a pause, as the operations of a batch."""
ADOPTED_ACTIONS_BYTES_MAX = 256 * KIB
"""Of actions that agents were asked for by others, taken in by one cycle; the next goes on."""
ADOPTED_ACTIONS_MAX = 200
"""Their number in one cycle."""
RECORD_PART_BYTES_MAX = 768 * KIB
"""Of the changes in one write of a cycle: with fence, specs and envelope less than a request."""
RECORDS_DROPPED_MAX = 200
"""Records of a cluster that one command removes: a large one goes in several entries."""
OBSERVED_SHARDS_MAX = 100
"""Shards of one node in one answer of its agent: each may be a record to write in that cycle."""
OBSERVED_ACTIONS_MAX = 200
"""Actions of one node in one look."""
OBSERVED_ACTION_BYTES_MAX = 32 * KIB
"""One action as its agent tells it; a larger one is left out."""
OBSERVATION_BYTES_MAX = 128 * KIB
"""What an agent says of its node, store and shards; more is garbage."""
WATCHFUL_INTERVAL_MS = 500
"""Between two looks while something is suspected or under way; quiet times have their own."""
AGENT_CALL_MS_MAX = 3_000
"""One look at one agent, all its calls together: a silent one holds up its own cycle only."""
AGENT_SUSPECT_MS_MAX = 500
"""The same for an agent that was silent AGENT_SILENCES_MAX times in a row: it is still looked at in
every cycle, because its return is what matters, but it costs little."""
AGENT_SILENCES_MAX = 3
"""Looks in a row that ended without an answer before an agent is waited for more briefly."""
AGENT_SILENCES_FULL_EVERY = 4
"""Each of this many looks at a silent agent waits in full: one that became slow is found again."""
AGENT_CALLS_INFLIGHT_MAX = 96
"""Agents that one peer speaks to at once, over all clusters."""
AGENT_SUSPECTS_INFLIGHT_MAX = 32
"""The same for those that were silent: they wait for each other, and nobody else for them."""
AGENT_LOOK_CALLS_INFLIGHT_MAX = 4
"""Calls of one look that are under way at once: with the two above, the connections of a peer."""
AGENT_CONTEXTS_KEPT_MAX = 64
"""TLS contexts for agents that one peer keeps: one a bundle of a namespace."""
AGENT_ANSWER_BYTES_MAX = 4 * MIB
"""One answer of an agent or a platform; what is larger is garbage."""
AGENT_ACTIONS_LOOKED_UP_MAX = 64
"""Actions whose details one look asks for, those that we wait for first."""
PLATFORM_CALL_MS_MAX = 30_000
"""One request to a platform: it may have to ask a cloud."""
WORK_LEASE_MS = 30_000
"""How long a worker holds its cluster without a renewal: three chances to renew it."""
WORK_RENEW_MS = 10_000
"""A lease is renewed this long after the last time: before a cycle begins and while it runs."""
WORK_LEASE_SURE_MS = WORK_LEASE_MS * 95 // 100
"""After the last renewal: what would leave this peer later is withheld (ADR 0013: less 5 %)."""
WORK_RELEASES_MS_MAX = 3_000
"""A worker that stops gives back what it can in this time; the rest runs out or is taken."""
WORK_PROPOSE_MS_MAX = 5_000
"""Time limit of one write of a cycle; what came of it is seen by the next."""
WORK_LOOP_MS = 250
"""How often the leader looks for due work: the shortest interval of a cluster."""
WORK_TARGETS_SLICE_MAX = 200
"""Targets whose due times are read in one view."""
WORK_TARGETS_INFLIGHT_MAX = 64
"""Cycles and discoveries that one peer runs at once."""
WORK_RETRY_MS_MIN = 500
"""Pause after work that could not be recorded; it doubles with each failure in a row."""
WORK_RETRY_MS_MAX = 30_000
"""Longest pause after failures in a row."""
SEARCH_MATCHERS_MAX = 32
"""Matchers of one node search."""
SEARCH_VALUES_MAX = 256
"""Values of one matcher."""
SEARCH_SORTS_MAX = 16
"""Sort rules of one node search."""

# --- agents ------------------------------------------------------------
AGENT_ACTIONS_WAITING_MAX = 50
"""Actions of one agent that did not end; more are refused: one is carried out at a time."""
AGENT_ACTIONS_LISTED_MAX = 50
"""Items of one list of actions, as the original's."""
AGENT_ACTIONS_KEPT_MS = 14 * 24 * 3_600 * 1_000
"""Ended actions can be asked for during two weeks, as the original's."""
AGENT_STEP_MS_MAX = 60_000
"""One step of an action; what takes longer is several steps."""
AGENT_STORE_CALL_MS_MAX = 2_000
"""A store that does not answer its own agent by then is unavailable: less than a caller waits."""
AGENT_REQUEST_BYTES_MAX = 256 * KIB
"""Arguments and metadata of one action."""
REDIS_CALL_MS_MAX = 800
"""One question to a Redis server beside its agent; several fit into AGENT_STORE_CALL_MS_MAX."""
REDIS_BRIEF_MS_MAX = 300
"""The same for one that was silent when it was asked last, and for a replica's primary."""
REDIS_HEARD_MS_MAX = 1_000
"""After so much silence on its link a primary, which speaks each second, is asked."""
REDIS_SILENT_STEPS_MAX = 50
"""Steps in which a replica waits for a primary that it does not hear: ten seconds at five a second.
Longer, and the action would stand in the way of replacing that primary."""
REDIS_STEPS_MAX = 1_500
"""Steps in which an action waits for its Redis server to copy: five minutes at five a second."""

assert ENTRY_BYTES_MAX >= COMMAND_BYTES_MAX + 16 * KIB, "the largest command fits an entry"
assert ENTRY_COMMANDS_MAX * 15 < 1 << 16, "ordinals of an entry fit into a stamp"
assert HEARTBEAT_MS * 3 < ELECTION_MS_MIN < ELECTION_MS_MAX
assert STAMPS_PER_ENTRY_MAX < 1 << 16, "ordinals of an entry fit into a stamp"
CLASH_MS_MAX = 20_000
"""How long a peer is told that another process speaks for it before it gives up: longer than links
of its own last process can outlive a crash of the machine."""
assert CLASH_MS_MAX > LINK_SILENCE_MS_MAX

"""Bounds of the log, of elections, links, proposals, reads and copies of the state. Pure."""

from __future__ import annotations

from replicante.limits.requests import COMMAND_BYTES_MAX
from replicante.limits.units import KIB, MIB

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
INBOX_BYTES_MAX = 32 * MIB
"""Messages of other peers among them: above it their connections are not read until a step took
all. A peer that waits for its disk holds so much, one frame and one read of a socket a link."""
LINK_OUTBOX_BYTES_MAX = 16 * MIB
"""Frames that wait for one slow peer on one channel; above it they are dropped, Raft re-sends."""
HANDSHAKE_BYTES_MAX = 16 * KIB
"""Greatest frame that a connection may bring before it has named itself."""
HELLO_BIRTH_BYTES_MAX = 8 * KIB
"""The part of a greeting that tells of genesis: PEERS_MAX voters and the cluster's name."""
MEMBERS_FORMER_MAX = 32
"""Data directories that a configuration remembers as removed: two for each peer there may be."""
CONFIGURATION_BYTES_MAX = 16 * KIB
"""Members, invitations and who was removed, at their longest names and addresses."""
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
"""Commands of followers that wait for the leader's next blocks: from here on it reads no more."""
FORWARDED_BYTES_MAX = 128 * MIB
"""Memory for them; what was read already comes on top, INBOX_BYTES_MAX at most."""
RESEND_MS = 3_000
"""A forwarded command that was not applied by then is sent again. Connections lose nothing while
they stand, so only what found no room in an outbox needs it; of a slow leader all is late."""
RESEND_DOUBLINGS_MAX = 3
"""Each time it is sent again after twice as long, up to 24 s: copies take room in the outbox."""
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
JOIN_AUTHORITIES_MAX = 4
"""Authorities that a token names: two, while one of them follows the other."""
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
CLOCK_STEP_MS_MAX = 250
"""Most that one tick may advance the cluster clock, two heartbeats and a half: a pause does not
count, and what is granted after one may be over by so much sooner (ADR 0013)."""
CLOCK_TICK_MS = 10_000
"""While any deadline exists the clock is replicated at least this often."""
LOG_TAIL_BYTES_MAX = 16 * MIB
"""Newest log entries kept in memory for followers and apply; older ones are read from disk."""
LOG_KEPT_BYTES_DEFAULT = 64 * MIB
"""Entries that are kept although the state has what they did: a peer that was away catches up
from them, and a start reads and verifies them, which takes about a second."""
COMMITS_WATCHED = 32
"""The last writes of the log that say how fast its disk is."""
COMMIT_ON_LOOP_MS_MAX = 2
"""When none of them took longer, a small write is made on the loop: far below a slice of 20 ms."""
COMMIT_ON_LOOP_BYTES_MAX = 1 * KIB
"""Entries of a lone caller or two; with more of them the loop has better to do meanwhile."""
SNAPSHOT_CHUNK_BYTES = 256 * KIB
"""One message of a snapshot on its way: far below the outbox of a link, read in one slice."""
SNAPSHOT_WINDOW_BYTES = 2 * MIB
"""Of a snapshot, sent and not answered: hides the round trip, leaves the link room for entries."""
SNAPSHOT_RATE_BYTES_DEFAULT = 32 * MIB
"""Of a snapshot, sent in a second: on two cores more takes a third of the writes, and a gigabyte
still needs half a minute only."""
SNAPSHOT_PART_BYTES = 4 * MIB
"""Of a snapshot on its way in, made durable at once: a process that restarts loses so much at most,
and a commit of the log waits for no more than this."""
SNAPSHOT_UNSYNCED_BYTES_MAX = 8 * MIB
"""Of a snapshot on its way in, taken and not durable: the sender gets no answer above it, and above
twice as much nothing is taken."""
SNAPSHOT_IDLE_MS_MAX = 30_000
"""A snapshot that nobody takes is kept so long for the next one who needs it."""
SNAPSHOT_RETRY_MS = 5_000
"""After a snapshot could not be made, most likely for want of room."""
BACKUP_STEP_MS_MAX = 10_000
"""A backup waits so long for the step that tells where it lies in the log, and for an installation:
longer means that this peer stands still for want of room."""
SNAPSHOT_EVERY_ENTRIES = 10_000
"""Entries after which the library saves the state of a machine in memory: what a start replays."""
LOG_HELD_FACTOR = 4
"""For a follower that takes a snapshot the log keeps up to this multiple of what it keeps else, or
as many bytes as the snapshot has: without it, a slow transfer would end behind the log and begin
again without end."""
LOG_HELD_MAP_SHARE = 4
"""But no more than this part of the log's bound: a full log stands still."""
LOG_SEGMENT_BYTES = 1 * MIB
"""The log is trimmed by so much at once: deleting it takes a few milliseconds of one commit."""
LOG_SEGMENT_ENTRIES_MAX = 4_096
"""As LOG_SEGMENT_BYTES, where entries are small."""
CLASH_MS_MAX = 20_000
"""How long a peer is told that another process speaks for it before it gives up: longer than links
of its own last process can outlive a crash of the machine."""

assert ENTRY_BYTES_MAX >= COMMAND_BYTES_MAX + 16 * KIB, "the largest command fits an entry"
assert ENTRY_COMMANDS_MAX * 15 < 1 << 16, "ordinals of an entry fit into a stamp"
assert HEARTBEAT_MS * 3 < ELECTION_MS_MIN < ELECTION_MS_MAX
assert CLASH_MS_MAX > LINK_SILENCE_MS_MAX

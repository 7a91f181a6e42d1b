"""Bounds of declarations, decisions and work on clusters. Pure."""

from __future__ import annotations

from replicante.limits.raft import CLOCK_STEP_MS_MAX
from replicante.limits.units import KIB, MIB

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
ASKED_HELD_MS_MAX = 3_600_000
"""What a person asked for or approved, and what did not leave for so long, is sent only when a
person says that it is still wanted: who asked may have helped himself otherwise, and gone home."""
APPROVED_TURN_MS_MAX = 15_000
"""Of a change of roles that was approved: so long a recovery lets it go first, at most the time
between two cycles. One that a rule holds for longer may never go."""
ACTION_SEND_MS_MAX = 60_000
"""A node action is sent until then, and begun by its agent until then: the world moves on."""
FENCE_MS_MAX = 15_000
"""So long, from when it left, the end of a process that hangs is waited for before another node is
promoted: more than an agent needs for it, and clients wait all the while."""
FENCE_LOOKS_MIN = 2
"""Looks after it left before it is given up: between them it was sent again, if it was lost."""
FENCE_REFUSALS_MAX = 2
"""An agent that refuses it so often will not do it. One refusal may be that of a restart."""
SUCCESSOR_MS_MAX = 15_000
"""So long a failover that ended a process waits for a successor that cannot be promoted just now:
one lost answer must not leave the shard without a primary."""
HEARD_NAMES_MAX = 8
"""Nodes and addresses that copies hear in the place of one primary and that are remembered at once:
more than a cluster of any sense has."""
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
WATCHFUL_INTERVAL_MS = 250
"""Between two looks while something is suspected or under way, the shortest that is of use beside a
look's own time; quiet times have their own."""
CONTROLLER_KEPT_MS = 600_000
"""So long another controller of roles counts after an agent saw it last: one that is restarted, or
cut off for minutes, finds its roles as it left them."""
CONTROLLER_NOTED_MS = 60_000
"""How often it is written down that it is still seen."""
UNSEEN_MS_MAX = 30_000
"""Beyond the declared interval, since a primary was seen or heard by its copy until it was missed:
after a longer time in which nobody looked, it may have written without being heard."""
AGENT_CALL_MS_MAX = 3_000
"""One look at one agent, all its calls together: a silent one holds up its own cycle only."""
AGENT_BREATH_WAIT_MS = 300
"""After so long without an answer an agent is asked something for which it needs no store."""
AGENT_BREATH_MS_MAX = 1_000
"""Who answered nothing at all by then is silent, however long a look may take."""
AGENT_SUSPECT_MS_MAX = 500
"""The same for an agent that was silent AGENT_SILENCES_MAX times: it is still looked at in
every cycle, because its return is what matters, but it costs little."""
AGENT_SILENCES_MAX = 1
"""Looks in a row that ended without an answer before an agent is waited for more briefly. The first
wait is long enough to tell silence from slowness; more of them only delay a failover."""
AGENT_SILENCES_FULL_EVERY = 4
"""Each of this many looks at a silent agent waits in full: one that became slow is found again."""
AGENT_CALLS_INFLIGHT_MAX = 96
"""Agents that one peer speaks to at once, over all clusters."""
AGENT_SUSPECTS_INFLIGHT_MAX = 32
"""The same for those that were silent: they wait for each other, and nobody else for them."""
AGENT_LOOK_CALLS_INFLIGHT_MAX = 4
"""Calls of one look that are under way at once: with the two above, the connections of a peer."""
TLS_CONTEXTS_KEPT_MAX = 64
"""TLS contexts that one peer keeps for agents, one a bundle of a namespace, and as many for
platforms."""
AGENT_ANSWER_BYTES_MAX = 4 * MIB
"""One answer of an agent or a platform; what is larger is garbage."""
AGENT_ACTIONS_LOOKED_UP_MAX = 64
"""Actions whose details one look asks for, those that we wait for first."""
PLATFORM_CALL_MS_MAX = 30_000
"""One request to a platform: it may have to ask a cloud."""
PLATFORM_THREADS_MAX = 8
"""Files and folders of platforms that are looked at at once: each may hang on its disk."""
LOCAL_LOCK_MS_MAX = 20_000
"""How long a change of local nodes waits for another one: less than a request to a platform."""
LOCAL_DEATH_MS_MAX = 5_000
"""How long a process that was killed may stay: one that waits for a disk cannot die."""
LOCAL_START_MS_MAX = 5_000
"""How long the shell that begins an agent may take."""
WORK_LEASE_MS = 30_000
"""How long a worker holds its cluster without a renewal: three chances to renew it."""
WORK_RENEW_MS = 10_000
"""A lease is renewed this long after the last time: before a cycle begins and while it runs."""
WORK_LEASE_SURE_MS = WORK_LEASE_MS * 95 // 100 - CLOCK_STEP_MS_MAX
"""After the last renewal: what would leave this peer later is withheld (ADR 0013)."""
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
AGENT_DOUBT_MS = 30_000
"""So long an agent must answer without a contradiction before its word about its actions counts
again: several looks, and longer than a submission may be on its way."""
AGENT_BOOTS_KEPT_MAX = 8
"""Processes that answered for one agent; one that answers after a later one is a second one."""
AGENT_MARK_CHARACTERS_MAX = 64
"""Of an incarnation or a boot that an agent tells; what is longer is none."""

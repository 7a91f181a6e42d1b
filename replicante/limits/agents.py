"""Bounds of an agent and of what it asks its store. Pure."""

from __future__ import annotations

from replicante.limits.units import KIB

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
SERVICE_STATUS_MS_MAX = 5_000
"""A supervisor that does not say by then whether a service runs fails the action."""
SERVICE_GLANCE_MS_MAX = 500
"""The same for a look at a node whose store cannot be asked: the look goes on without."""
SERVICE_SYSTEMD_MS_MAX = 10_000
"""systemctl that only puts a job on the list of systemd."""
SERVICE_COMMAND_MS_MAX = 45_000
"""One run of a command that starts or stops a store; it and two looks fit into one step."""
SERVICE_STEP_PAUSE_MS = 500
"""Between two looks at a service that is on its way."""
SERVICE_STEPS_MAX = 360
"""Looks at a service that is on its way: three minutes, twice what systemd gives a unit."""
SERVICE_OUTPUT_BYTES_MAX = 2_000
"""Of what a supervisor or a command said, as it is told in a message."""
SCRIPT_MS_MAX = 24 * 3_600 * 1_000
"""One run of a script that carries out an action."""
SCRIPT_MS_DEFAULT = 10 * 60 * 1_000
"""The same, where nothing is said."""
SCRIPT_GRACE_MS = 5_000
"""Between the request to end that a script gets, and its end."""
SCRIPT_LOOK_MS = 50
"""Between two looks at a script within one step of its action."""
SCRIPT_STEP_MS = 1_000
"""One step of an action waits so long for its script: so soon a wish to cancel is met."""
SCRIPT_RUNS_MAX = 3
"""Runs of one action whose script may be repeated and was cut off; then the action fails."""
SCRIPT_OUTPUT_BYTES_MAX = 2_000
"""The end of what a script printed, as its action tells it."""
SCRIPT_TEXT_CHARACTERS_MAX = 4_096
"""One text among the arguments of a script: the kernel bounds them all together."""
REDIS_CALL_MS_MAX = 800
"""One question to a Redis server beside its agent; several fit into AGENT_STORE_CALL_MS_MAX."""
REDIS_BRIEF_MS_MAX = 300
"""The same for one that was silent when it was asked last, and for a replica's primary."""
REDIS_LAG_MS_MAX = 150
"""The question how far a replica is behind, which nothing is decided on: else it is not told."""
REDIS_HEARD_MS_MAX = 1_000
"""After so much silence on its link a primary, which speaks each second, is asked."""
REDIS_REPORT_MS = 1_000
"""A replica reports to its primary each second how far it has read."""
REDIS_REPORT_LEAD_MS = 200
"""So long before the next report a switchover begins: later, and a busy machine would miss it."""
REDIS_SILENT_STEPS_MAX = 50
"""Steps in which a replica waits for a primary that it does not hear: ten seconds at five a second.
Longer, and the action would stand in the way of replacing that primary."""
REDIS_STEPS_MAX = 1_500
"""Steps in which an action waits for its Redis server to copy: five minutes at five a second."""
REDIS_FACTS_KEPT_MS = 10_000
"""What a server tells is on the disk of its agent after so long, to be read while it is down. What
is settled is there at once."""
REDIS_HUNG_TICK_MS = 100
"""So often an agent looks at its clocks, to know whether its machine stood still."""
REDIS_HUNG_MS = 1_000
"""An agent that stood still for longer has its server take writes only beside a replica: less than
any failure is believed after."""
SENTINELS_MAX = 32
"""Sentinels of one group that an agent keeps in mind; more, and those heard longest ago go."""
SENTINEL_HEARD_MS_MAX = 10_000
"""A Sentinel that said nothing for so long, and says something each two seconds, does not count."""
SENTINEL_SILENT_MS_MAX = 5_000
"""After so long without a word of any Sentinel the connection on which they speak is made anew."""
SENTINEL_HOLD_MS_MAX = 1_000
"""In a planned failover replicas are given so long to read what they lack, while writes are
refused; else all stays as it is."""
SENTINEL_STEPS_MAX = 2_000
"""Steps in which a failover of Sentinel is waited for: more than six minutes at five a second,
twice Sentinel's own bound."""
SENTINEL_IDLE_STEPS_MAX = 25
"""Steps without any failover under way, after which Sentinel is believed to have given it up: five
seconds at five a second, in which each Sentinel speaks twice."""
SENTINEL_UNCLEAR_LOOKS_MAX = 900
"""Looks, five a second, at a server that refuses writes for a failover of Sentinel that nobody
waits for any more, while no majority of Sentinels says what became of it: three minutes, as long as
Sentinel gives a failover. Then it takes writes as long as a replica follows it. One that a majority
says was replaced refuses them for ever; that it was not told so is told after as many looks."""
SENTINEL_MARGIN_MS = 5_000
"""Sentinel is given twice the silence that it waits for, and so much more, to replace a dead
primary by itself before it is asked to: two failovers at once lose more than one."""

assert SERVICE_COMMAND_MS_MAX + 2 * SERVICE_STATUS_MS_MAX < AGENT_STEP_MS_MAX
assert 2 * SCRIPT_GRACE_MS + SCRIPT_STEP_MS < AGENT_STEP_MS_MAX

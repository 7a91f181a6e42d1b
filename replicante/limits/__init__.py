"""Every bound, with its unit in its name and the reason next to it. Pure; for every room.

Hitting a bound has a designed answer (413, 429, 503, 507, 400 with the limit in the message),
and a test. A file a subject; whoever needs a bound names it `limits.NAME`.
"""

from __future__ import annotations

from replicante.limits.agents import *
from replicante.limits.client import *
from replicante.limits.orchestration import *
from replicante.limits.raft import *
from replicante.limits.requests import *
from replicante.limits.serving import *
from replicante.limits.state import *
from replicante.limits.units import *

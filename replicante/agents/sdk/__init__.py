"""Write an agent for a data store: three calls and some actions; the rest is done here.

The public door of this room. Rule: an agent loads nothing of the server.
"""

from __future__ import annotations

from replicante.agents.sdk.agent import Agent as Agent
from replicante.agents.sdk.catalogue import ActionKind as ActionKind
from replicante.agents.sdk.catalogue import NoArgs as NoArgs
from replicante.agents.sdk.scripts.settings import ScriptArgument as ScriptArgument
from replicante.agents.sdk.scripts.settings import ScriptSettings as ScriptSettings
from replicante.agents.sdk.scripts.settings import read_scripts as read_scripts
from replicante.agents.sdk.settings import AgentSettings as AgentSettings
from replicante.agents.sdk.settings import AgentTls as AgentTls
from replicante.agents.sdk.store import CanStop as CanStop
from replicante.agents.sdk.store import NodeSays as NodeSays
from replicante.agents.sdk.store import ShardSays as ShardSays
from replicante.agents.sdk.store import Store as Store
from replicante.agents.sdk.store import StoreSays as StoreSays
from replicante.agents.sdk.store import StoreUnavailable as StoreUnavailable
from replicante.agents.sdk.supervision.choice import read_supervisor as read_supervisor
from replicante.agents.sdk.supervision.commands import Commands as Commands
from replicante.agents.sdk.supervision.settings import CommandSettings as CommandSettings
from replicante.agents.sdk.supervision.settings import SystemdSettings as SystemdSettings
from replicante.agents.sdk.supervision.systemd import Systemd as Systemd
from replicante.agents.sdk.supervision.values import Service as Service
from replicante.agents.sdk.supervision.values import ServiceState as ServiceState
from replicante.agents.sdk.supervision.values import SupervisionFailed as SupervisionFailed
from replicante.agents.sdk.supervision.values import Supervisor as Supervisor
from replicante.agents.sdk.values import Step as Step
from replicante.agents.sdk.values import again as again
from replicante.agents.sdk.values import done as done
from replicante.agents.sdk.values import failed as failed
from replicante.model.node import NodeStatus as NodeStatus
from replicante.model.node import StoreContact as StoreContact
from replicante.model.node import StoreVersion as StoreVersion
from replicante.model.shard import Offset as Offset
from replicante.model.shard import ShardRole as ShardRole
from replicante.model.shard import Sight as Sight
from replicante.model.shard import Upstream as Upstream

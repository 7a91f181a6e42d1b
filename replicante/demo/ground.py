"""The folder in which a demo happens: empty before, and nothing of it alive or left afterwards.

Called by the command line, on a thread where a loop runs. Nodes of data stores belong to nobody, so
that they outlive who made them: a demo that was killed itself leaves some, and the next one ends
them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from replicante.dev import check_ports
from replicante.dev_plan import PeerPlan
from replicante.errors import StartRefused
from replicante.platforms.local import LocalPlatform

NODES, LOGS = "nodes", "logs"


class Ground:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.platform = LocalPlatform(data_dir / NODES)

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / LOGS

    def prepare(self, plans: Sequence[PeerPlan]) -> None:
        """Raises `AddressInUse` while another demo may use it, `StartRefused` for a folder that
        holds anything but the data of a demo."""
        check_ports(plans)
        known = {plan.id for plan in plans} | {NODES, LOGS}
        try:
            foreign = sorted({path.name for path in self.data_dir.iterdir()} - known)
            if foreign:
                raise StartRefused(
                    f"{self.data_dir} holds {foreign[0]}, which is no data of a demo, so nothing "
                    "in it is removed.",
                    hints=["Choose another directory with --data-dir."],
                )
            self.clear(keeps_logs=False)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StartRefused(f"{self.data_dir} cannot be emptied: {exc.strerror}.") from exc

    def clear(self, *, keeps_logs: bool) -> None:
        """Ends the nodes and removes all data; the peers must have ended before: they make nodes.
        Raises OSError."""
        self.platform.clean()
        kept = self.logs_dir if keeps_logs else None
        for path in self.data_dir.iterdir():
            if path != kept:
                shutil.rmtree(path)
        if kept is None or not kept.exists():
            self.data_dir.rmdir()

"""What a workload is given by a run, for tests that have none. Not a test file."""

from __future__ import annotations

import asyncio
import random

from jlike.http import Http
from jlike.peers import Peers
from jlike.recorder import Recorder
from jlike.workload.base import Stage


def stage_of(name: str, *, peers: Peers, recorder: Recorder, http: Http | None = None) -> Stage:
    """Nobody is known to lead, and load goes on."""
    return Stage(
        name=name,
        peers=peers,
        http=Http(timeout_s=1) if http is None else http,
        recorder=recorder,
        chance=random.Random(1),
        stop=asyncio.Event(),
        leader=lambda: None,
    )

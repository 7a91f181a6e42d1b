"""Refuses to run on any PySyncObj but the one whose code was read (ADR 0001). Called once,
before an engine is built.

The engine relies on private names and on the exact bodies of a few functions. A changed body
must stop the process, not only a missing name: a silent difference here is a lost write later.
"""

from __future__ import annotations

import hashlib
import inspect

from pysyncobj.syncobj import SyncObj
from pysyncobj.version import VERSION

from replicante.errors import UnsupportedEngine

SUPPORTED_VERSION = "0.3.17"

KEPT_FUNCTIONS = {
    "__init__": "09df12cd7fd7d7270fee82c1a025acc1f3a68e98dafbad81be467947ab95cbf0",
    "_onTick": "cc9eb08232d005ba4e21a33ec453e5d02fe3537dadebda8571406c57f65a3c37",
    "_checkCommandsToApply": "a386a8079361d204f2c11f895416548c432a254671a9114258921c25108a966e",
    "_applyCommand": "827f207d515b2d64cce9033f558ca15033e8886cd917b96a29c888327403bbe2",
    "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf3070b007538b6a8d46adb71f0b6523f3922dc953420645e8",
    "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd314d2dbc8991c6b6240e63bf33aaa975620aa84a7079d5f39",
    "_SyncObj__setState": "2c1f239f7bd79b3945b63418b4f564c40c07893d3cf747af2ddd5c6a045093a8",
    "_SyncObj__getEntries": "e29c4b33293b21018d1124c7e5835748c4c8092f7ce4af9e86f24633ccec7e0e",
    "_SyncObj__getCurrentLogIndex": (
        "e5af22ca246686bdc5fd2bd9c5e34eac491a571ca9ed3dae493a232cacbacb7a"
    ),
    "_SyncObj__getCurrentLogTerm": (
        "1cb8867e6a13d3976c07506c31d71681bc4921334dda8c5958da5d91f2e939ac"
    ),
    "_SyncObj__onLeaderChanged": "53b7685e1d897887fe7d32a74e2d02eacba30cc7bf916b1a4dbf100eba8f1ec0",
    "_SyncObj__callErrCallback": "6037c14ef64c2763bde217077685c080da70a6f0a7823940793ac0e9e70e78ed",
    "_SyncObj__onSetCodeVersion": (
        "17b050edb193c8537da50ede2bbffc111545449582103d78bf194061f28f73e9"
    ),
}
"""Functions of PySyncObj that run unchanged → sha256 of their source."""

REPLACED_FUNCTIONS = (
    "_SyncObj__onMessageReceived",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__applyLogEntries",
    "_SyncObj__connectedToAnyone",
    "_SyncObj__generateRaftTimeout",
    "_SyncObj__tryLogCompaction",
    "_SyncObj__loadDumpFile",
)
"""Functions that the engine overrides: they must exist under exactly these names to be
overridden."""


def source_hash(name: str) -> str:
    return hashlib.sha256(inspect.getsource(getattr(SyncObj, name)).encode()).hexdigest()


def check_engine() -> None:
    """Raises UnsupportedEngine with what differs and the command that mends it."""
    differences = []
    if VERSION != SUPPORTED_VERSION:
        differences.append(f"version {VERSION} instead of {SUPPORTED_VERSION}")
    names = (*KEPT_FUNCTIONS, *REPLACED_FUNCTIONS)
    missing = [name for name in names if not hasattr(SyncObj, name)]
    differences += [f"{name} is missing" for name in missing]
    differences += [
        f"{name} has another body"
        for name, expected in KEPT_FUNCTIONS.items()
        if name not in missing and source_hash(name) != expected
    ]
    if differences:
        raise UnsupportedEngine(
            "the installed pysyncobj is not the one that this engine was verified against: "
            + "; ".join(differences),
            hints=(f"pip install pysyncobj=={SUPPORTED_VERSION}",),
        )

"""What the commands about the control plane itself do. Pure; called by machine.apply."""

from __future__ import annotations

from replicante.errors import FatalError
from replicante.ids import Stamp
from replicante.model.codec import encode_value
from replicante.state import levels
from replicante.state.commands import SetEventRetention, SetFeatureLevel
from replicante.state.eventlog import EventCode
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.tables import RETENTION_KEY, Retention
from replicante.state.writer import Writer


def set_feature_level(writer: Writer, command: SetFeatureLevel) -> Applied | Rejected:
    """Raises FatalError on a peer that does not know the level: it must not go on."""
    counters = writer.counters
    before = counters.feature_level
    if command.level <= before:
        return Rejected(RejectCode.FEATURE_LEVEL_NOT_ABOVE, {"level": before})
    if command.level > levels.LEVEL_MAX:
        raise FatalError(
            f"The cluster rose to feature level {command.level}; this version knows"
            f" {levels.LEVEL_MAX}.",
            hints=("Install the version that the other peers run.",),
        )
    revision = writer.stamp()
    counters.feature_level = command.level
    payload = encode_value({"before": before, "after": command.level})
    writer.emit(EventCode.FEATURE_LEVEL_RAISED, payload)
    return Applied(Stamp(revision))


def set_event_retention(writer: Writer, command: SetEventRetention) -> Applied:
    """The trimming itself is done at the end of this and of later entries."""
    revision = writer.stamp()
    retention = Retention(
        count_max=command.count_max,
        bytes_max=command.bytes_max,
        age_ms_max=command.age_ms_max,
    )
    writer.put(RETENTION_KEY, retention.to_row())
    writer.retention = retention
    payload = encode_value(
        {
            "age_ms_max": command.age_ms_max,
            "bytes_max": command.bytes_max,
            "count_max": command.count_max,
        }
    )
    writer.emit(EventCode.EVENT_RETENTION_SET, payload)
    return Applied(Stamp(revision))

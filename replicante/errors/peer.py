"""A peer that refuses to start or to go on. Pure."""

from __future__ import annotations

from replicante.errors.base import ReplicanteError


class StartRefused(ReplicanteError):
    """This peer refuses to start."""

    code, http_status, definite = "start_refused", 500, True


class DataDirInUse(StartRefused):
    """Another process uses this data directory."""

    code = "data_dir_in_use"


class WrongIdentity(StartRefused):
    """The data directory belongs to another peer or to another cluster."""

    code = "wrong_identity"


class CorruptData(StartRefused):
    """Stored data does not match its checksum; it is never replayed."""

    code = "corrupt_data"


class PeerRemoved(StartRefused):
    """This peer was removed from its cluster; under this data directory it does not come back."""

    code = "peer_removed"


class UnsupportedFormat(StartRefused):
    """The data was written by another version of the format."""

    code = "unsupported_format"


class AddressInUse(StartRefused):
    """The address is taken by another process."""

    code = "address_in_use"


class InvalidConfig(StartRefused):
    """The configuration is not valid."""

    code = "invalid_config"


class UnsupportedEngine(StartRefused):
    """The installed PySyncObj is not the version that this engine was verified against."""

    code = "unsupported_engine"


class DiskFull(ReplicanteError):
    """The disk is full: writes stand still, reads go on. Make room; writes resume by
    themselves."""

    code, http_status, definite = "disk_full", 507, True
    retry = True


class StorageFull(ReplicanteError):
    """The storage bound is reached: writes are refused, reads go on. Delete data or raise the
    bound."""

    code, http_status, definite = "storage_full", 507, True


class FatalError(ReplicanteError):
    """A promise cannot be kept any more; the process must end. This is our bug or a broken
    disk."""

    code = "fatal"

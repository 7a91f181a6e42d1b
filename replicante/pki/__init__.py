"""A private authority for one cluster, and the certificates of its peers. Touches files.
Called by the command line, by `config_load`, which judges the files that a peer is given, and by
`server`, which opens them. Rules: a key is readable by its owner only; a file is written whole or
not at all, and never over another one unasked; times come from callers (ADR 0017).
"""

from __future__ import annotations

from replicante.pki.contexts import Contexts, Fault, TlsFile, TlsFiles, faults, open_contexts
from replicante.pki.facts import CertificateKind, Facts, key_digests, read_facts
from replicante.pki.folder import PkiFolder

__all__ = [
    "CertificateKind",
    "Contexts",
    "Facts",
    "Fault",
    "PkiFolder",
    "TlsFile",
    "TlsFiles",
    "faults",
    "key_digests",
    "open_contexts",
    "read_facts",
]

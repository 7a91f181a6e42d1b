"""What a certificate says: of whom, for which cluster, until when. Pure.
Called by the other files of this room and by the command line.
"""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from replicante import limits
from replicante.errors import Invalid

DAY_MS = 24 * 3_600 * 1_000
_URI = re.compile(rf"replicante://({limits.NAME_PATTERN})(?:/({limits.PEER_ID_PATTERN}))?")


class CertificateKind(enum.Enum):
    AUTHORITY = "authority"
    PEER = "peer"
    OTHER = "other"
    """It names neither a cluster nor a peer of ours: that of an agent names its hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    kind: CertificateKind
    cluster: str
    """Empty for another kind."""
    peer_id: str
    """Empty unless of a peer."""
    from_ms: int
    """Valid from, and until: milliseconds since 1970 UTC, both included."""
    until_ms: int
    serial: str
    hosts: tuple[str, ...] = ()
    """Names and addresses under which a server with it is known."""

    @property
    def until_text(self) -> str:
        return date_text(self.until_ms)

    def left_days(self, *, now_ms: int) -> int:
        """Whole days until the end; negative once it is over."""
        return (self.until_ms - now_ms) // DAY_MS

    def is_over(self, *, now_ms: int) -> bool:
        return now_ms > self.until_ms

    def is_short(self, *, now_ms: int) -> bool:
        """It is over soon, or is over."""
        return self.left_days(now_ms=now_ms) < limits.CERTIFICATE_WARN_DAYS


def read_facts(pem: bytes) -> Facts:
    """Of the first certificate. Raises Invalid when there is none."""
    return facts_of(read_certificates(pem)[0])


def read_certificates(pem: bytes) -> list[x509.Certificate]:
    """At least one. Raises Invalid."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise Invalid("it holds no certificate in PEM form") from exc
    if not found:
        raise Invalid("it holds no certificate in PEM form")
    return found


def key_digests(pem: bytes) -> tuple[str, ...]:
    """sha256 in hex of the public key of each certificate, in the order of the file: one that was
    renewed has the key that it had. Raises Invalid."""
    keys = [found.public_key() for found in read_certificates(pem)]
    encoded = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys]
    return tuple(dict.fromkeys(hashlib.sha256(key).hexdigest() for key in encoded))


def facts_of(certificate: x509.Certificate) -> Facts:
    """Raises Invalid for extensions that cannot be read."""
    kind, cluster, peer_id = CertificateKind.OTHER, "", ""
    for match in map(_URI.fullmatch, uris_of(certificate)):
        if match is not None:
            cluster, peer_id = match[1], match[3] or ""
            kind = CertificateKind.PEER if peer_id else CertificateKind.AUTHORITY
    return Facts(
        kind=kind,
        cluster=cluster,
        peer_id=peer_id,
        from_ms=_ms(certificate.not_valid_before_utc),
        until_ms=_ms(certificate.not_valid_after_utc),
        serial=f"{certificate.serial_number:x}",
        hosts=_hosts_of(certificate),
    )


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Among its subject alternative names. Raises Invalid."""
    names = _names_of(certificate)
    return [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)


def _hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    names = _names_of(certificate)
    if names is None:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *map(str, addresses))


def _names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """Raises Invalid."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    except ValueError as exc:
        raise Invalid("its extensions cannot be read") from exc
    return found.value


def date_text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)

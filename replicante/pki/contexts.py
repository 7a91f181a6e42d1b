"""Judges the TLS files that a peer is given, and opens them as contexts of `ssl`. Touches files.
Called by `config_load` before a peer starts and by `server` when it does. Rules: every fault is
found at once and says what to do; TLS 1.3 only; both ends show a certificate; no session is
resumed, so that each link is judged by the certificate of now (ADR 0017).
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from replicante.errors import Invalid, InvalidConfig, NotFound, RequestError
from replicante.ids import peer_uri
from replicante.pki import files
from replicante.pki.facts import Facts, date_text, facts_of, read_certificates, uris_of
from replicante.pki.issuing import read_key

_T = TypeVar("_T")
_OTHERS_MASK = 0o077


class TlsFile(enum.Enum):
    CERTIFICATE = "certificate"
    KEY = "key"
    AUTHORITY = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    certificate: Path
    """Of the peer; certificates between it and the authority may follow it."""
    key: Path
    authority: Path
    """The certificates whose signature is believed: one, or two while an authority is replaced."""

    def path(self, file: TlsFile) -> Path:
        match file:
            case TlsFile.CERTIFICATE:
                return self.certificate
            case TlsFile.KEY:
                return self.key
            case TlsFile.AUTHORITY:
                return self.authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a peer cannot use a file, and what to do."""

    file: TlsFile
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    server: ssl.SSLContext
    client: ssl.SSLContext
    facts: Facts
    """Of the peer's own certificate."""
    is_key_private: bool
    """Nobody but the owner of its file may read the key."""


def faults(tls: TlsFiles, *, cluster: str, peer_id: str, now_ms: int) -> tuple[Fault, ...]:
    """Everything that is wrong with the files of this peer; empty when they may be used."""
    found: list[Fault] = []
    chain = _parsed(tls, TlsFile.CERTIFICATE, _read_chain, found)
    key = _parsed(tls, TlsFile.KEY, read_key, found)
    authorities = _parsed(tls, TlsFile.AUTHORITY, _read_chain, found)
    if chain is not None:
        rules = _own_faults(chain[0], cluster=cluster, peer_id=peer_id, now_ms=now_ms)
        found += [Fault(file=TlsFile.CERTIFICATE, rule=rule) for rule in rules]
        if key is not None and key.public_key() != chain[0].public_key():
            rule = "is not the key of the certificate: take both from one folder of replicante pki"
            found.append(Fault(file=TlsFile.KEY, rule=rule))
        if authorities is not None and not _is_issued(chain[0], [*chain[1:], *authorities]):
            rule = "did not sign the certificate of this peer: all peers need one authority"
            found.append(Fault(file=TlsFile.AUTHORITY, rule=rule))
    if authorities is not None and all(facts_of(it).is_over(now_ms=now_ms) for it in authorities):
        rule = "is over: replicante pki renew --authority prolongs it; copy it to every peer"
        found.append(Fault(file=TlsFile.AUTHORITY, rule=rule))
    return tuple(found)


def open_contexts(tls: TlsFiles, *, cluster: str, peer_id: str, now_ms: int) -> Contexts:
    """Raises InvalidConfig, which names every fault."""
    found = faults(tls, cluster=cluster, peer_id=peer_id, now_ms=now_ms)
    if found:
        lines = "".join(f"\n  {tls.path(fault.file)} {fault.rule}" for fault in found)
        raise InvalidConfig(f"The TLS files of this peer cannot be used:{lines}")
    return unjudged_contexts(tls)


def unjudged_contexts(tls: TlsFiles) -> Contexts:
    """Whoever the certificate is for, and whether or not it is over: the other end judges it.

    Raises InvalidConfig for files that cannot be read or do not belong together.
    """
    try:
        return Contexts(
            server=_context(tls, ssl.PROTOCOL_TLS_SERVER),
            client=_context(tls, ssl.PROTOCOL_TLS_CLIENT),
            facts=facts_of(read_certificates(files.read(tls.certificate))[0]),
            is_key_private=not tls.key.stat().st_mode & _OTHERS_MASK,
        )
    except (OSError, RequestError) as exc:  # ssl.SSLError is an OSError
        raise InvalidConfig(f"The TLS files of this peer cannot be used: {exc}.") from exc


def _context(tls: TlsFiles, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The name is judged by the peer id and the cluster that a greeting claims, not by an address.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.authority)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _read_chain(pem: bytes) -> list[x509.Certificate]:
    """Certificates whose names can be read too. Raises Invalid."""
    found = read_certificates(pem)
    for certificate in found:
        facts_of(certificate)
    return found


def _parsed(
    tls: TlsFiles, file: TlsFile, parse: Callable[[bytes], _T], found: list[Fault]
) -> _T | None:
    try:
        return parse(files.read(tls.path(file)))
    except NotFound:
        rule = "is no file: replicante pki init and issue make it"
    except Invalid as exc:
        rule = f"cannot be used: {exc.message.rstrip('.')}"
    found.append(Fault(file=file, rule=rule))
    return None


def _own_faults(
    certificate: x509.Certificate, *, cluster: str, peer_id: str, now_ms: int
) -> list[str]:
    facts = facts_of(certificate)
    found = []
    if peer_uri(cluster, peer_id) not in uris_of(certificate):
        named = f"peer {facts.peer_id} of cluster {facts.cluster}" if facts.peer_id else "no peer"
        found.append(
            f"names {named}, and this is peer {peer_id} of cluster {cluster}:"
            f" replicante pki issue {peer_id} makes the right one"
        )
    if facts.is_over(now_ms=now_ms):
        found.append(
            f"was valid until {facts.until_text}: replicante pki renew {peer_id} prolongs it"
        )
    if now_ms < facts.from_ms:
        found.append(
            f"is valid from {date_text(facts.from_ms)} only: is the clock of this machine right?"
        )
    if not _may_be_both(certificate):
        found.append("must be for both servers and clients (extended key usage)")
    return found


def _may_be_both(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # for every use
    return {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(usage)


def _is_issued(certificate: x509.Certificate, issuers: list[x509.Certificate]) -> bool:
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False

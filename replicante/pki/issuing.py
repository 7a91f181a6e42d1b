"""Makes the authority of a cluster and signs certificates for its peers and agents. Pure but for
the keys. Called by `folder`. Rule: what may sign is not what may speak: an authority is no peer,
and a peer signs nothing (ADR 0017).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import Invalid
from replicante.ids import cluster_uri, peer_uri
from replicante.pki.facts import CertificateKind, facts_of, read_certificates

_COMMON_NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Milliseconds since 1970 UTC, both included; certificates count whole seconds."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Both in PEM form."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What signs for a cluster."""

    cluster: str
    until_ms: int
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def read_authority(*, certificate: bytes, key: bytes) -> Authority:
    """Raises Invalid when they are no authority of a cluster, or do not belong together."""
    found = read_certificates(certificate)[0]
    facts = facts_of(found)
    private = read_key(key)
    if facts.kind is not CertificateKind.AUTHORITY:
        raise Invalid("the certificate is not that of an authority made by replicante pki init")
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Invalid("the key of the authority is of another kind than elliptic curve")
    if private.public_key() != found.public_key():
        raise Invalid("the key of the authority does not belong to its certificate")
    return Authority(cluster=facts.cluster, until_ms=facts.until_ms, certificate=found, key=private)


def read_key(pem: bytes) -> PrivateKeyTypes:
    """Raises Invalid."""
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:  # TypeError: it has a password
        raise Invalid("it holds no private key in PEM form without a password") from exc


def new_authority(cluster: str, validity: Validity, *, entropy: Entropy) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _authority_certificate(cluster, key, validity, entropy=entropy)
    return Issued(certificate=_pem(certificate), key=_key_pem(key))


def renewed_authority(authority: Authority, validity: Validity, *, entropy: Entropy) -> bytes:
    """The certificate of the same authority with the same key: what it signed stays good."""
    made = _authority_certificate(authority.cluster, authority.key, validity, entropy=entropy)
    return _pem(made)


def new_peer(authority: Authority, peer_id: str, validity: Validity, *, entropy: Entropy) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    made = _peer_certificate(authority, peer_id, key.public_key(), validity, entropy=entropy)
    return Issued(certificate=_pem(made), key=_key_pem(key))


def new_agent(
    authority: Authority,
    name: str,
    hosts: Sequence[str],
    validity: Validity,
    *,
    entropy: Entropy,
) -> Issued:
    """For a server under these host names or addresses; it is no peer, and calls nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.SubjectAlternativeName([_host(host) for host in hosts])
    made = _agent_certificate(authority, name, named, key.public_key(), validity, entropy=entropy)
    return Issued(certificate=_pem(made), key=_key_pem(key))


def renewed_agent(
    authority: Authority, old: bytes, name: str, validity: Validity, *, entropy: Entropy
) -> bytes:
    """A certificate for the key and the hosts of the old one.  Raises Invalid."""
    before = read_certificates(old)[0]
    key = before.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Invalid("its key is of another kind than elliptic curve")
    try:
        named = before.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as exc:
        raise Invalid("it names no host") from exc
    return _pem(_agent_certificate(authority, name, named, key, validity, entropy=entropy))


def renewed_peer(
    authority: Authority, old: bytes, peer_id: str, validity: Validity, *, entropy: Entropy
) -> bytes:
    """A certificate for the key of the old one, which need not be at hand. Raises Invalid."""
    key = read_certificates(old)[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Invalid("its key is of another kind than elliptic curve")
    return _pem(_peer_certificate(authority, peer_id, key, validity, entropy=entropy))


def _authority_certificate(
    cluster: str, key: ec.EllipticCurvePrivateKey, validity: Validity, *, entropy: Entropy
) -> x509.Certificate:
    name = _name(f"{cluster} authority")
    usage = _usage(signs_certificates=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(validity, entropy=entropy)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_alternative(cluster_uri(cluster)), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _peer_certificate(
    authority: Authority,
    peer_id: str,
    key: ec.EllipticCurvePublicKey,
    validity: Validity,
    *,
    entropy: Entropy,
) -> x509.Certificate:
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    named = _alternative(peer_uri(authority.cluster, peer_id))
    builder = _leaf(authority, peer_id, key, validity, entropy=entropy)
    return (
        builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(named, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _agent_certificate(
    authority: Authority,
    name: str,
    named: x509.SubjectAlternativeName,
    key: ec.EllipticCurvePublicKey,
    validity: Validity,
    *,
    entropy: Entropy,
) -> x509.Certificate:
    # Not for clients: one agent must not be able to act on the store of another.
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    builder = _leaf(authority, name, key, validity, entropy=entropy)
    return (
        builder.add_extension(x509.ExtendedKeyUsage(server), critical=False)
        .add_extension(named, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _leaf(
    authority: Authority,
    common_name: str,
    key: ec.EllipticCurvePublicKey,
    validity: Validity,
    *,
    entropy: Entropy,
) -> x509.CertificateBuilder:
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        _builder(validity, entropy=entropy)
        .subject_name(_name(common_name))
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(signer, critical=False)
    )


def _builder(validity: Validity, *, entropy: Entropy) -> x509.CertificateBuilder:
    serial = int(entropy.token(), 16) | 1  # positive, at most 128 of 159 bits
    return (
        x509.CertificateBuilder()
        .serial_number(serial)
        .not_valid_before(_moment(validity.from_ms))
        .not_valid_after(_moment(validity.until_ms))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(uri: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])


def _host(text: str) -> x509.GeneralName:
    """Raises Invalid."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not re.fullmatch(limits.HOST_PATTERN, text):
        raise Invalid(f"{text!r} is neither the name of a host nor an address")
    return x509.DNSName(text)


def _name(common_name: str) -> x509.Name:
    """For people only: nothing is decided by it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Replicante"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[-_COMMON_NAME_CHARACTERS_MAX:]),
        ]
    )


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1_000, tz=UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

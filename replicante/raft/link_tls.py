"""Decides what TLS proves about the other end of a link, and says in words why it failed. Pure.
Called by the link files of this room. Rule: a greeting is believed only when the verified
certificate names exactly the peer and the cluster that the greeting claims (ADR 0017).
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping, Sequence

from replicante.errors import InvalidConfig
from replicante.ids import peer_uri
from replicante.raft.frames import Hello, Refusal, RefusalCode

TLS_FIRST_BYTE = b"\x16"
"""Of every TLS connection. No frame begins with it: that would be a length of 369 MB."""
PLAIN_FIRST_BYTE = b"\0"
"""Of every greeting in a frame: it is far shorter than 16 MiB."""
NEEDS_TLS = Refusal(
    code=RefusalCode.TLS,
    message="this peer speaks TLS only: configure TLS on all peers of the cluster, or on none",
)
SPEAKS_PLAIN = Refusal(
    code=RefusalCode.TLS,
    message="this peer speaks plain TCP, and TLS came: configure TLS on all peers, or on none",
)
CLOSED_UNANSWERED = (
    "closed before it answered the greeting: it may not accept the certificate of this peer;"
    " its own log says why"
)
CLOSED_IN_TLS = "closed during the TLS greeting: it may speak no TLS; its own log says why"
NO_PLAIN_ABROAD = "is no loopback address: peers on other machines need TLS"
_NAMES_SHOWN_MAX = 3
_NAME_CHARACTERS_MAX = 200
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)


def check_contexts(*, server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> None:
    """Raises InvalidConfig unless both are given or none, and both ask for certificates."""
    if (server is None) != (client is None):
        raise InvalidConfig("TLS between peers needs both contexts, server and client")
    for context in (server, client):
        if context is not None and context.verify_mode is not ssl.CERT_REQUIRED:
            raise InvalidConfig("TLS between peers is mutual: both contexts need CERT_REQUIRED")


def is_plain_allowed(host: str) -> bool:
    """Plain TCP is for peers of one machine: whoever reaches a port could be any peer.

    host: an IP address as text.
    """
    return ipaddress.ip_address(host).is_loopback


def certified_uris(certificate: Mapping[str, object] | None) -> tuple[str, ...] | None:
    """The URIs that a verified certificate names.

    certificate: as `ssl.SSLObject.getpeercert` describes it; None on a plain connection, and so
    is the result then.
    """
    if certificate is None:
        return None
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, Sequence)
    return tuple(str(value) for kind, value in names if kind == "URI")


def certificate_refusal(hello: Hello, certified: tuple[str, ...] | None) -> Refusal | None:
    """None when the certificate proves what the greeting claims."""
    if certified is None:
        return NEEDS_TLS
    if peer_uri(hello.cluster_name, hello.peer_id) in certified:
        return None
    shown = [_printable(uri) for uri in certified[:_NAMES_SHOWN_MAX]]
    return Refusal(
        code=RefusalCode.CERTIFICATE,
        message=f"the greeting claims to be {hello.peer_id} of cluster {hello.cluster_name},"
        f" and the certificate names {', '.join(shown) or 'no peer'}",
    )


def believed_refusal(
    refusal: Refusal, *, expected_uri: str, certified: tuple[str, ...] | None
) -> Refusal:
    """What the dialler makes of a refusal that came in place of a greeting: nobody but the peer
    that was dialled may tell an unborn peer to give up. It stays a refusal, and tells as much."""
    if certified is None or expected_uri in certified:
        return refusal
    if refusal.code is RefusalCode.SELF:
        return refusal  # Told by this very process.
    shown = ", ".join(map(_printable, certified[:_NAMES_SHOWN_MAX])) or "no peer"
    return Refusal(
        code=RefusalCode.CERTIFICATE,
        message=f"who answers there is certified as {shown}, and says: {refusal.message}",
    )


def tls_reason(error: OSError) -> str:
    """Why a TLS greeting failed, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted here: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError):
        return CLOSED_IN_TLS
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error) or "no answer in time"
    reason = error.reason or ""
    words = reason.lower().replace("_", " ") or str(error)
    if reason in _NOT_TLS:
        return "it does not speak TLS: configure TLS on all peers of the cluster, or on none"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it showed no certificate"
    if "ALERT" in reason:
        return f"it does not accept this peer's certificate or TLS version: {words}"
    return f"the TLS greeting failed: {words}"


def _printable(uri: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in uri[:_NAME_CHARACTERS_MAX])

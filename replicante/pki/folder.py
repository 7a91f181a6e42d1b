"""The folder that `replicante pki` works in: one authority and a folder for each peer
and agent.
Touches files. Called by the command line and by tests.

    authority/ca.crt, ca.key            the key signs for the whole cluster: it stays here
    peers/p1/ca.crt, peer.crt, peer.key what is copied to the machine of p1
    agents/n1/ca.crt, agent.crt, agent.key  and to that of the data store node n1
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replicante import limits
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.errors import Conflict, Invalid, NotFound
from replicante.pki import files, issuing
from replicante.pki.facts import DAY_MS, CertificateKind, Facts, read_facts
from replicante.pki.files import Content
from replicante.pki.issuing import Authority, Validity

AUTHORITY_CERTIFICATE = "ca.crt"
AUTHORITY_KEY = "ca.key"
PEER_CERTIFICATE = "peer.crt"
PEER_KEY = "peer.key"
AGENT_CERTIFICATE = "agent.crt"
AGENT_KEY = "agent.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A certificate and where it is."""

    path: Path
    facts: Facts


class PkiFolder:
    """Every method raises the RequestError family with what to do, ReplicanteError when the disk
    refuses, and changes nothing then."""

    def __init__(self, root: Path, *, clock: Clock, entropy: Entropy) -> None:
        self.root = root
        self._clock = clock
        self._entropy = entropy
        self._authority = root / "authority"

    def init(self, cluster: str, *, days: int) -> Entry:
        """Makes the authority of a cluster. Raises Conflict when there is one."""
        if not re.fullmatch(limits.NAME_PATTERN, cluster):
            raise Invalid(
                f"{cluster!r} is no name of a cluster: use letters, digits, '.', '_', '-'."
            )
        validity = self._validity(days)
        made = issuing.new_authority(cluster, validity, entropy=self._entropy)
        contents = {
            AUTHORITY_KEY: Content(body=made.key, is_secret=True),
            AUTHORITY_CERTIFICATE: Content(body=made.certificate),
        }
        files.write_folder(self._authority, contents)
        return self.entry(self._authority / AUTHORITY_CERTIFICATE)

    def issue(self, peer_id: str, *, days: int) -> Entry:
        """Makes key and certificate of a peer. Raises Conflict when it has one."""
        authority = self._open_authority()
        folder = self._peer_folder(peer_id)
        _check_new(folder, renewal=f"replicante pki renew {peer_id}")
        validity = self._peer_validity(authority, days)
        made = issuing.new_peer(authority, peer_id, validity, entropy=self._entropy)
        contents = {
            AUTHORITY_CERTIFICATE: Content(body=self._read_authority()),
            PEER_KEY: Content(body=made.key, is_secret=True),
            PEER_CERTIFICATE: Content(body=made.certificate),
        }
        files.write_folder(folder, contents)
        return self.entry(folder / PEER_CERTIFICATE)

    def issue_agent(self, name: str, hosts: Sequence[str], *, days: int) -> Entry:
        """Makes key and certificate of an agent that is reached under these names or addresses.
        Raises Conflict when it has one."""
        authority = self._open_authority()
        folder = self._agent_folder(name)
        _check_new(folder, renewal=f"replicante pki renew-agent {name}")
        if not hosts:
            raise Invalid("An agent needs a host: its callers compare it with its address.")
        validity = self._peer_validity(authority, days)
        made = issuing.new_agent(authority, name, hosts, validity, entropy=self._entropy)
        contents = {
            AUTHORITY_CERTIFICATE: Content(body=self._read_authority()),
            AGENT_KEY: Content(body=made.key, is_secret=True),
            AGENT_CERTIFICATE: Content(body=made.certificate),
        }
        files.write_folder(folder, contents)
        return self.entry(folder / AGENT_CERTIFICATE)

    def renew_agent(self, name: str, *, days: int) -> Entry:
        """A new certificate for the same key and hosts, in the place of the old one."""
        authority = self._open_authority()
        path = self._agent_folder(name) / AGENT_CERTIFICATE
        if not path.exists():
            raise NotFound(
                f"There is no certificate of the agent {name}: {path}.",
                hints=[f"replicante pki issue-agent {name} --host HOST makes the first one."],
            )
        validity = self._peer_validity(authority, days)
        body = issuing.renewed_agent(
            authority, files.read(path), name, validity, entropy=self._entropy
        )
        files.replace(path, Content(body=body))
        return self.entry(path)

    def renew(self, peer_id: str, *, days: int) -> Entry:
        """A new certificate for the same key, in the place of the old one."""
        authority = self._open_authority()
        path = self._peer_folder(peer_id) / PEER_CERTIFICATE
        if not path.exists():
            raise NotFound(
                f"There is no certificate of {peer_id}: {path}.",
                hints=[f"replicante pki issue {peer_id} makes the first one."],
            )
        old = self.entry(path).facts
        if (old.kind, old.cluster, old.peer_id) != (
            CertificateKind.PEER,
            authority.cluster,
            peer_id,
        ):
            raise Invalid(f"{path} is not the certificate of {peer_id} in {authority.cluster}.")
        validity = self._peer_validity(authority, days)
        body = issuing.renewed_peer(
            authority, files.read(path), peer_id, validity, entropy=self._entropy
        )
        files.replace(path, Content(body=body))
        return self.entry(path)

    def renew_authority(self, *, days: int) -> Entry:
        """A new certificate for the same authority and key: what it signed stays good. The copies
        in the folders of peers are replaced too."""
        authority = self._open_authority()
        body = issuing.renewed_authority(authority, self._validity(days), entropy=self._entropy)
        files.replace(self._authority / AUTHORITY_CERTIFICATE, Content(body=body))
        for folder in (*self._peer_folders(), *self._agent_folders()):
            files.replace(folder / AUTHORITY_CERTIFICATE, Content(body=body))
        return self.entry(self._authority / AUTHORITY_CERTIFICATE)

    def show(self) -> list[Entry]:
        """The authority, then every peer by id and every agent by name. Raises NotFound when there
        is no authority."""
        self._read_authority()
        found = [self.entry(self._authority / AUTHORITY_CERTIFICATE)]
        found += [self.entry(folder / PEER_CERTIFICATE) for folder in self._peer_folders()]
        return found + [self.entry(it / AGENT_CERTIFICATE) for it in self._agent_folders()]

    def entry(self, path: Path) -> Entry:
        """Of any file with a certificate."""
        try:
            return Entry(path=path, facts=read_facts(files.read(path)))
        except Invalid as exc:
            raise Invalid(f"{path} is no certificate: {exc.message}.") from exc

    def _open_authority(self) -> Authority:
        certificate = self._read_authority()
        key = files.read(self._authority / AUTHORITY_KEY)
        try:
            return issuing.read_authority(certificate=certificate, key=key)
        except Invalid as exc:
            raise Invalid(f"{self._authority} is no authority: {exc.message}.") from exc

    def _read_authority(self) -> bytes:
        try:
            return files.read(self._authority / AUTHORITY_CERTIFICATE)
        except NotFound as exc:
            raise NotFound(
                f"There is no authority in {self.root}.",
                hints=[
                    "replicante pki init CLUSTER makes one; --dir names the folder where it is."
                ],
            ) from exc

    def _peer_folder(self, peer_id: str) -> Path:
        if not re.fullmatch(limits.PEER_ID_PATTERN, peer_id):
            raise Invalid(f"{peer_id!r} is no id of a peer: use lower case letters and digits.")
        return self.root / "peers" / peer_id

    def _peer_folders(self) -> list[Path]:
        return sorted(path.parent for path in (self.root / "peers").glob(f"*/{PEER_CERTIFICATE}"))

    def _agent_folder(self, name: str) -> Path:
        if not re.fullmatch(limits.NAME_PATTERN, name):
            raise Invalid(f"{name!r} is no name: use letters, digits, '.', '_', '-'.")
        return self.root / "agents" / name

    def _agent_folders(self) -> list[Path]:
        return sorted(path.parent for path in (self.root / "agents").glob(f"*/{AGENT_CERTIFICATE}"))

    def _validity(self, days: int) -> Validity:
        if not 1 <= days <= limits.CERTIFICATE_DAYS_MAX:
            raise Invalid(f"{days} days: choose from 1 to {limits.CERTIFICATE_DAYS_MAX}.")
        now_ms = self._clock.wall_ms()
        return Validity(
            from_ms=now_ms - limits.CERTIFICATE_SKEW_MS_MAX, until_ms=now_ms + days * DAY_MS
        )

    def _peer_validity(self, authority: Authority, days: int) -> Validity:
        """A certificate that outlives its authority would end with it, and say otherwise."""
        wanted = self._validity(days)
        until_ms = min(wanted.until_ms, authority.until_ms)
        if until_ms <= self._clock.wall_ms():
            raise Invalid(
                f"The authority of {authority.cluster} is over.",
                hints=["replicante pki renew --authority prolongs it."],
            )
        return Validity(from_ms=wanted.from_ms, until_ms=until_ms)


def _check_new(folder: Path, *, renewal: str) -> None:
    if folder.exists():
        raise Conflict(
            f"{folder} exists already; nothing was changed.",
            hints=[
                f"{renewal} prolongs the certificate.",
                "For a new key, move the folder away first.",
            ],
        )

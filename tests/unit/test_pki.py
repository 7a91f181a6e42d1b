"""Authorities and certificates: what is made, what is kept, what is refused and how it is said."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path

import pytest
from cli_harness import Terminal

from replicante import limits
from replicante.entropy import SystemEntropy
from replicante.errors import Conflict, Invalid, InvalidConfig, NotFound
from replicante.pki import (
    CertificateKind,
    PkiFolder,
    TlsFile,
    TlsFiles,
    faults,
    key_digests,
    open_contexts,
)
from replicante.pki.facts import DAY_MS

NOW_MS = 1_800_000_000_000
"""2027-01-15."""


class FixedClock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def pki(tmp_path, clock) -> PkiFolder:
    made = PkiFolder(tmp_path / "pki", clock=clock, entropy=SystemEntropy())
    made.init("prod", days=3_650)
    return made


@pytest.fixture
def terminal(capsys) -> Terminal:
    return Terminal(capsys)


def files_of(pki: PkiFolder, peer_id: str = "p1", **changes: Path) -> TlsFiles:
    place = pki.root / "peers" / peer_id
    if not place.exists():
        pki.issue(peer_id, days=365)
    found = {
        "certificate": place / "peer.crt",
        "key": place / "peer.key",
        "authority": place / "ca.crt",
    }
    return TlsFiles(**(found | changes))


def rules(tls: TlsFiles, *, cluster: str = "prod", peer_id: str = "p1", now_ms: int = NOW_MS):
    found = faults(tls, cluster=cluster, peer_id=peer_id, now_ms=now_ms)
    return [(fault.file, fault.rule) for fault in found]


# --- what is made -----------------------------------------------------------------------


def test_an_authority_and_its_peers_name_the_cluster(pki):
    pki.issue("p2", days=30)
    pki.issue("p1", days=30)
    authority, first, second = [entry.facts for entry in pki.show()]
    assert (authority.kind, authority.cluster) == (CertificateKind.AUTHORITY, "prod")
    assert [(it.kind, it.cluster, it.peer_id) for it in (first, second)] == [
        (CertificateKind.PEER, "prod", "p1"),
        (CertificateKind.PEER, "prod", "p2"),
    ]
    assert first.until_ms == NOW_MS + 30 * DAY_MS
    assert first.from_ms == NOW_MS - limits.CERTIFICATE_SKEW_MS_MAX
    assert first.serial != second.serial


def test_keys_are_for_their_owner_only(pki):
    files_of(pki)
    keys = sorted(pki.root.rglob("*.key"))
    assert [path.name for path in keys] == ["ca.key", "peer.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE((pki.root / "authority").stat().st_mode) == 0o700
    assert not [path for path in pki.root.rglob("*") if ".tmp" in path.name]


def test_nothing_is_made_twice(pki):
    pki.issue("p1", days=30)
    before = {path: path.read_bytes() for path in pki.root.rglob("*") if path.is_file()}
    with pytest.raises(Conflict, match="exists already"):
        pki.issue("p1", days=30)
    with pytest.raises(Conflict, match="exists already"):
        pki.init("prod", days=30)
    after = {path: path.read_bytes() for path in pki.root.rglob("*") if path.is_file()}
    assert after == before


def test_a_renewed_certificate_is_for_the_same_key(pki, clock):
    tls = files_of(pki)
    key, old = tls.key.read_bytes(), pki.show()[1].facts
    clock.now_ms += 300 * DAY_MS
    pki.renew("p1", days=365)
    new = pki.show()[1].facts
    assert tls.key.read_bytes() == key
    assert new.until_ms - old.until_ms == 300 * DAY_MS and new.serial != old.serial
    assert rules(tls, now_ms=clock.now_ms) == []


def test_a_renewed_authority_still_vouches_for_its_peers(pki, clock):
    tls = files_of(pki)
    clock.now_ms += 100 * DAY_MS
    pki.renew_authority(days=3_650)
    assert tls.authority.read_bytes() == (pki.root / "authority" / "ca.crt").read_bytes()
    assert rules(tls, now_ms=clock.now_ms) == []
    open_contexts(tls, cluster="prod", peer_id="p1", now_ms=clock.now_ms)


def test_an_authority_is_known_by_its_key_through_renewals_and_beside_another(tmp_path, pki, clock):
    place = pki.root / "authority" / "ca.crt"
    before = place.read_bytes()
    clock.now_ms += 100 * DAY_MS
    pki.renew_authority(days=3_650)
    renewed = place.read_bytes()
    assert renewed != before
    assert key_digests(renewed) == key_digests(before)
    other = PkiFolder(tmp_path / "other", clock=clock, entropy=SystemEntropy())
    other.init("prod", days=10)
    foreign = (other.root / "authority" / "ca.crt").read_bytes()
    assert key_digests(before + foreign + renewed) == key_digests(before) + key_digests(foreign)
    assert len(set(key_digests(before + foreign))) == 2


def test_a_certificate_never_outlives_its_authority(tmp_path, clock):
    pki = PkiFolder(tmp_path, clock=clock, entropy=SystemEntropy())
    pki.init("prod", days=10)
    assert pki.issue("p1", days=365).facts.until_ms == NOW_MS + 10 * DAY_MS
    clock.now_ms += 11 * DAY_MS
    with pytest.raises(Invalid, match="is over"):
        pki.renew("p1", days=365)


@pytest.mark.parametrize("cluster", ["c" * 128, "Lab_1.eu", "x"])
def test_every_name_of_a_cluster_can_be_certified(tmp_path, clock, cluster):
    pki = PkiFolder(tmp_path, clock=clock, entropy=SystemEntropy())
    pki.init(cluster, days=30)
    peer_id = "p" * 64
    tls = files_of(pki, peer_id)
    opened = open_contexts(tls, cluster=cluster, peer_id=peer_id, now_ms=NOW_MS)
    assert opened.server.minimum_version is ssl.TLSVersion.TLSv1_3
    assert opened.server.verify_mode is opened.client.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("cluster", ["", "a/b", "../x", "é", "a b", "-a"])
def test_what_is_no_name_of_a_cluster_is_refused(tmp_path, clock, cluster):
    pki = PkiFolder(tmp_path / "pki", clock=clock, entropy=SystemEntropy())
    with pytest.raises(Invalid, match="no name of a cluster"):
        pki.init(cluster, days=30)
    assert not pki.root.exists()


@pytest.mark.parametrize("peer_id", ["", "P1", "../x", "a/b", "p 1"])
def test_what_is_no_peer_id_is_refused(pki, peer_id):
    for attempt in (pki.issue, pki.renew):
        with pytest.raises(Invalid, match="no id of a peer"):
            attempt(peer_id, days=30)


def test_what_is_missing_or_broken_is_named(tmp_path, pki, clock):
    nothing = PkiFolder(tmp_path / "nothing", clock=clock, entropy=SystemEntropy())
    for attempt in (nothing.show, lambda: nothing.issue("p1", days=3)):
        with pytest.raises(NotFound, match="no authority in"):
            attempt()
    with pytest.raises(NotFound, match="no certificate of p9"):
        pki.renew("p9", days=3)
    (pki.root / "authority" / "ca.key").write_bytes(b"broken")
    with pytest.raises(Invalid, match="no private key"):
        pki.issue("p1", days=3)
    (pki.root / "authority" / "ca.crt").write_bytes(b"broken")
    with pytest.raises(Invalid, match=r"ca\.crt is no certificate"):
        pki.show()


# --- what a peer is given ---------------------------------------------------------------


def test_the_right_files_have_no_fault(pki):
    assert rules(files_of(pki)) == []


def test_the_certificate_of_another_peer_or_cluster_is_named(pki):
    tls = files_of(pki, "p2")
    ((file, rule),) = rules(tls)
    assert file is TlsFile.CERTIFICATE
    assert rule.startswith("names peer p2 of cluster prod, and this is peer p1 of cluster prod")
    assert "replicante pki issue p1" in rule
    ((_, rule),) = rules(tls, cluster="lab", peer_id="p2")
    assert "this is peer p2 of cluster lab" in rule


def test_a_certificate_that_is_over_or_not_yet_begun_is_named(pki):
    tls = files_of(pki)
    ((file, rule),) = rules(tls, now_ms=NOW_MS + 366 * DAY_MS)
    assert file is TlsFile.CERTIFICATE
    assert rule == "was valid until 2028-01-15 08:00 UTC: replicante pki renew p1 prolongs it"
    ((_, rule),) = rules(tls, now_ms=NOW_MS - DAY_MS)
    assert "is the clock of this machine right?" in rule


def test_a_key_or_an_authority_of_another_is_named(pki, tmp_path, clock):
    others = PkiFolder(tmp_path / "others", clock=clock, entropy=SystemEntropy())
    others.init("prod", days=30)
    foreign = files_of(others)
    assert [file for file, _ in rules(files_of(pki, key=foreign.key))] == [TlsFile.KEY]
    ((file, rule),) = rules(files_of(pki, authority=foreign.authority))
    assert file is TlsFile.AUTHORITY
    assert rule.startswith("did not sign the certificate")


def test_an_authority_that_is_over_is_named(pki):
    found = rules(files_of(pki), now_ms=NOW_MS + 3_651 * DAY_MS)
    assert [file for file, _ in found] == [TlsFile.CERTIFICATE, TlsFile.AUTHORITY]


def test_every_file_that_cannot_be_read_is_named_at_once(pki, tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\xff" * 100)
    large = tmp_path / "large"
    large.write_bytes(bytes(limits.PEM_BYTES_MAX + 1))
    tls = files_of(pki, certificate=tmp_path / "none", key=garbage, authority=large)
    found = dict(rules(tls))
    assert "is no file" in found[TlsFile.CERTIFICATE]
    assert "no private key" in found[TlsFile.KEY]
    assert "larger than" in found[TlsFile.AUTHORITY]
    with pytest.raises(InvalidConfig) as caught:
        open_contexts(tls, cluster="prod", peer_id="p1", now_ms=NOW_MS)
    assert caught.value.message.count("\n  ") == 3


def test_the_authority_itself_is_no_peer(pki):
    own = pki.root / "authority"
    tls = files_of(pki, certificate=own / "ca.crt", key=own / "ca.key")
    assert rules(tls)[0][1].startswith("names no peer")


# --- the command line ---------------------------------------------------------------------


def test_the_commands_make_renew_and_show(terminal, tmp_path):
    folder = ("--dir", str(tmp_path / "pki"))
    assert "authority of cluster lab" in terminal.run("pki", "init", "lab", *folder).err
    said = terminal.run("pki", "issue", "p1", "p2", "--days", "400", *folder)
    assert (said.code, said.out, said.err.count("made: ")) == (0, "", 2)
    said = terminal.run("pki", "show", *folder)
    assert [line.split()[0] for line in said.out.splitlines()] == ["FOR", "authority", "p1", "p2"]
    assert said.err == ""
    assert terminal.run("pki", "renew", "p1", "--days", "10", *folder).code == 0
    said = terminal.run("pki", "show", "-o", "json", *folder)
    assert [row["for"] for row in json.loads(said.out)] == ["authority", "p1", "p2"]
    assert said.err == (
        f"warning: {tmp_path / 'pki/peers/p1/peer.crt'} ends in 9 days: replicante pki renew p1\n"
    )
    assert terminal.run("pki", "renew", "--authority", *folder).code == 0
    one = str(tmp_path / "pki" / "peers" / "p2" / "peer.crt")
    assert len(terminal.run("pki", "show", one).out.splitlines()) == 2


def test_the_commands_refuse_with_the_codes_of_all_commands(terminal, tmp_path):
    folder = ("--dir", str(tmp_path / "pki"))
    assert terminal.run("pki", "issue", "p1", *folder).code == 3
    terminal.run("pki", "init", "lab", *folder)
    assert terminal.run("pki", "init", "lab", *folder).code == 5
    assert terminal.run("pki", "issue", "P1", *folder).code == 2
    assert terminal.run("pki", "issue", "p1", "--days", "0", *folder).code == 2
    assert terminal.run("pki", "renew", *folder).code == 2
    assert terminal.run("pki", "renew", "p1", "--authority", *folder).code == 2
    assert terminal.run("pki", "renew", "p1", *folder).code == 3
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert terminal.run("pki", "init", "lab", "--dir", str(blocked)).code == 1
    assert terminal.run("pki", "show", str(blocked)).code == 2

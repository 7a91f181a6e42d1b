"""The rules of a peer's settings: each broken one is named, and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante.config import (
    Address,
    HttpSection,
    PeerConfig,
    PeerSection,
    RaftSection,
    StorageSection,
    WorkersSection,
    parse_address,
)
from replicante.config_rules import validate

OWN = PeerSection(id="p1", data_dir=Path("/data"))


def config(**sections: object) -> PeerConfig:
    return PeerConfig(**{"peer": OWN, **sections})


def broken(candidate: PeerConfig) -> list[str]:
    return [problem.setting for problem in validate(candidate)]


def test_the_defaults_need_only_an_id_and_a_data_directory():
    assert broken(PeerConfig()) == ["peer.id", "peer.data_dir"]
    assert broken(config()) == []


def test_every_problem_is_reported_at_once():
    candidate = PeerConfig(
        peer=PeerSection(id="P 1", data_dir=None, cluster=""),
        raft=RaftSection(
            listen="here",
            peers=("p2", "p3=10.0.0.1:5"),
            election_ms_min=100,
            snapshot_rate_bytes=1,
        ),
        http=HttpSection(listen="0.0.0.0:16016"),
        storage=StorageSection(state_map_bytes=1, flush_interval_ms=0),
    )
    assert broken(candidate) == [
        "peer.id",
        "peer.data_dir",
        "peer.cluster",
        "raft.listen",
        "raft.peers",
        "raft.peers",
        "raft.election_ms_min",
        "raft.snapshot_rate_bytes",
        "http.listen",
        "storage.state_map_bytes",
        "storage.flush_interval_ms",
    ]


def test_a_problem_names_the_setting_the_value_and_the_rule():
    (problem,) = validate(config(http=HttpSection(listen="0.0.0.0:16016")))
    assert str(problem).startswith("http.listen = '0.0.0.0:16016': must be a loopback address")


@pytest.mark.parametrize("peer_id", ["p1", "a", "peer-1.example_x", "9"])
def test_a_peer_id_of_the_pattern_is_right(peer_id):
    assert broken(config(peer=PeerSection(id=peer_id, data_dir=Path("/d")))) == []


@pytest.mark.parametrize("peer_id", ["P1", "p 1", "-p", "p-", "p/1", "p" * 65, "p\n", "é"])
def test_another_peer_id_is_refused(peer_id):
    assert broken(config(peer=PeerSection(id=peer_id, data_dir=Path("/d")))) == ["peer.id"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:16016", Address(host="127.0.0.1", port=16016)),
        ("[::1]:80", Address(host="::1", port=80)),
        ("LocalHost:0", Address(host="localhost", port=0)),
    ],
)
def test_an_address_is_read_and_written_the_same(text, address):
    assert parse_address(text) == address
    assert str(address) == text.lower()


@pytest.mark.parametrize(
    "text",
    ["", "16016", ":16016", "host:", "host:x", "host:65536", "::1:80", "[host]:80", "a b:1", "h:-1",
     "h:٣", "h:" + "9" * 5000, "http://h:80"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"must|bracket"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_a_loopback_address_may_be_bound(host):
    assert broken(config(http=HttpSection(listen=f"{host}:80"))) == []
    assert broken(config(raft=RaftSection(listen=f"{host}:80"))) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "example.org", "localhost.evil"])
def test_an_address_that_others_can_reach_is_refused(host):
    assert broken(config(http=HttpSection(listen=f"{host}:80"))) == ["http.listen"]
    assert broken(config(raft=RaftSection(listen=f"{host}:80"))) == ["raft.listen"]
    assert broken(config(raft=RaftSection(advertise=f"{host}:80"))) == ["raft.advertise"]
    assert broken(config(raft=RaftSection(peers=(f"p2={host}:80",)))) == ["raft.peers"]


def test_a_peer_that_lists_itself_is_counted_once():
    peers = ("p2=127.0.0.1:16117", "p1=127.0.0.1:16116")
    candidate = config(raft=RaftSection(peers=peers))
    assert validate(candidate) == ()
    assert list(candidate.voters) == ["p1", "p2"]
    assert candidate.voters == config(raft=RaftSection(peers=peers[:1])).voters


def test_a_cluster_of_one_needs_no_peers():
    assert list(config().voters.items()) == [("p1", Address(host="127.0.0.1", port=16116))]


@pytest.mark.parametrize(
    "peers",
    [
        ("p2=127.0.0.1:1", "p2=127.0.0.1:2"),
        ("p2=127.0.0.1:1", "p3=127.0.0.1:1"),
        ("p1=127.0.0.1:9",),
        ("p2=127.0.0.1:16116",),
        ("p2=127.0.0.1:0",),
        ("P2=127.0.0.1:1",),
        tuple(f"x{number}=127.0.0.1:{number + 1}" for number in range(15)),
    ],
)
def test_contradicting_peers_are_refused(peers):
    assert broken(config(raft=RaftSection(peers=peers))) == ["raft.peers"]


@pytest.mark.parametrize(
    ("times", "setting"),
    [
        ({"election_ms_min": 300}, "raft.election_ms_min"),
        ({"election_ms_max": 600}, "raft.election_ms_max"),
        ({"election_ms_max": 60_001}, "raft.election_ms_max"),
        ({"heartbeat_ms": 0}, "raft.heartbeat_ms"),
        ({"heartbeat_ms": 200}, "raft.election_ms_min"),
    ],
)
def test_times_that_make_needless_elections_are_refused(times, setting):
    assert broken(config(raft=RaftSection(**times))) == [setting]


# --- TLS --------------------------------------------------------------------------------

TLS = {
    "tls_certificate_file": Path("/peer.crt"),
    "tls_key_file": Path("/peer.key"),
    "tls_ca_file": Path("/ca.crt"),
}


def test_with_tls_peers_may_be_on_other_machines():
    raft = RaftSection(listen="10.0.0.1:1", peers=("p2=10.0.0.2:1", "p3=db.example:1"), **TLS)
    assert broken(config(raft=raft)) == []
    everywhere = RaftSection(listen="0.0.0.0:1", advertise="10.0.0.1:1", **TLS)
    assert broken(config(raft=everywhere)) == []


def test_tls_between_peers_does_not_open_the_http_api():
    http = HttpSection(listen="10.0.0.1:1")
    assert broken(config(raft=RaftSection(**TLS), http=http)) == ["http.listen"]


@pytest.mark.parametrize("given", [["tls_ca_file"], ["tls_certificate_file", "tls_key_file"]])
def test_tls_needs_all_three_files_and_opens_nothing_before(given):
    raft = RaftSection(listen="10.0.0.1:1", **{name: TLS[name] for name in given})
    missing = [f"raft.{name}" for name in TLS if name not in given]
    assert broken(config(raft=raft)) == ["raft.listen", *missing]


def test_an_address_that_stands_for_all_cannot_be_dialled():
    assert broken(config(raft=RaftSection(listen="0.0.0.0:1", **TLS))) == ["raft.listen"]
    advertised = RaftSection(listen="0.0.0.0:1", advertise="[::]:1", **TLS)
    assert broken(config(raft=advertised)) == ["raft.advertise"]
    listed = RaftSection(peers=("p2=0.0.0.0:1",), **TLS)
    assert broken(config(raft=listed)) == ["raft.peers"]


@pytest.mark.parametrize(
    "given",
    [
        f"{whom}_tls_{part}_file"
        for whom in ("agent", "platform")
        for part in ("certificate", "key")
    ],
)
def test_what_agents_and_platforms_are_shown_is_a_certificate_with_its_key(given):
    config = PeerConfig(
        peer=PeerSection(id="p1", data_dir=Path("/data")),
        workers=WorkersSection(**{given: Path("/file")}),
    )
    (problem,) = validate(config)
    whom = given.partition("_")[0]
    assert problem.setting.startswith(f"workers.{whom}_tls_")
    assert not problem.setting.endswith(given)
    assert "come together" in problem.rule

"""A join token and the settings of the peer that brings it."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante.errors import InvalidConfig
from replicante.raft.join_token import JoinToken, encode_token
from replicante.raft.joining import token_of
from replicante.raft.settings import PeerOptions

OLD, NEW, OTHER = "0a" * 32, "1b" * 32, "2c" * 32


def token(*authorities: str) -> JoinToken:
    return JoinToken(
        cluster_name="demo",
        cluster_id="c" * 32,
        peer_id="p4",
        secret="5" * 32,
        authorities=authorities,
    )


def brought(by: tuple[str, ...], made: JoinToken) -> JoinToken | None:
    """By a peer that believes these authorities."""
    options = PeerOptions(cluster_name="demo", join=encode_token(made), authorities=by)
    peers = {"p1": "127.0.0.1:1"}
    return token_of(options.of(data_dir=Path(), peer_id="p4", listen="127.0.0.1:4", peers=peers))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ((), ()),
        ((OLD,), (OLD,)),
        ((OLD,), (OLD, NEW)),
        ((OLD, NEW), (OLD,)),
        ((NEW, OLD), (OLD, NEW)),
        ((NEW,), (OLD, NEW)),
    ],
)
def test_a_token_is_good_while_one_authority_follows_another(settings, named):
    assert brought(settings, token(*named)) == token(*named)


@pytest.mark.parametrize(
    ("settings", "named"),
    [((OLD,), (OTHER,)), ((OLD, NEW), (OTHER,)), ((), (OLD,)), ((OLD,), ())],
)
def test_a_token_of_a_cluster_under_another_authority_is_refused(settings, named):
    with pytest.raises(InvalidConfig, match="another certificate authority"):
        brought(settings, token(*named))

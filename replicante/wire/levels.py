"""Requests and answers of the path of the feature level."""

from __future__ import annotations

from typing import Annotated

from replicante import limits
from replicante.wire.shapes import documented, whole
from replicante.wire.values import Answer, Request


class LevelPeer(Answer, frozen=True, kw_only=True):
    """level_max: the highest level that this member said it supports, on the link that it has to
    the answering peer now; null: nothing was heard."""

    peer: str
    level_max: int | None


class LevelAnswer(Answer, frozen=True, kw_only=True):
    """level: what all peers apply by. supported: the highest level that every member supports, null
    while one of them has not said."""

    level: int
    supported: int | None
    peers: tuple[LevelPeer, ...]


class LevelBody(Request, frozen=True, kw_only=True):
    """level: above the present one, and supported by every voter and learner."""

    level: Annotated[int, documented(whole(1, limits.INTEGER_MAX))]


class LevelRaised(Answer, frozen=True, kw_only=True):
    """revision: stamp of the write."""

    level: int
    revision: str

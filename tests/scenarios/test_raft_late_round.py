"""A heartbeat round that comes back after it was forgotten proves nothing new."""

from __future__ import annotations

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.freshness import Freshness


def heard(freshness, *, at_ms, round_, echoed=0):
    freshness.heard(
        m.Append(
            term=2,
            prev_index=0,
            prev_term=0,
            commit_index=0,
            clock_ms=0,
            round=round_,
            echoed_round=echoed,
            quorum_age_ms=0,
        ),
        now_ms=at_ms,
    )


def test_a_forgotten_round_that_is_heard_again_makes_no_fresher_claim():
    """Entries on a slow link carry the round of their sending; heartbeats overtake them."""
    freshness = Freshness(started_term=0)
    heard(freshness, at_ms=100, round_=1)
    for round_ in range(2, limits.ROUNDS_KEPT_MAX + 2):
        heard(freshness, at_ms=100 + round_, round_=round_)
    heard(freshness, at_ms=900, round_=1)
    heard(freshness, at_ms=901, round_=1, echoed=1)
    claim_ms = freshness.staleness_ms(applied_index=0, now_ms=901)
    assert claim_ms is None or claim_ms >= 800

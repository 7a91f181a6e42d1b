"""An answer to an append of an earlier term is no echo of a round of the present one.

Found as a staleness claim of 0 ms on a copy that was 277 ms behind: a leader that came back in the
next term took the refusal of its own late append for an echo of a round that it had not sent
yet, and with it a majority for reads that nobody had confirmed.
"""

from __future__ import annotations

from lone_driver import LonePeer

from replicante.raft import messages as m


def append(*, term, round_):
    return m.Append(
        term=term,
        prev_index=1,
        prev_term=0,
        commit_index=1,
        clock_ms=0,
        round=round_,
        echoed_round=0,
        quorum_age_ms=-1,
    )


def test_the_refusal_of_an_old_append_echoes_no_round():
    follower = LonePeer("abc")
    follower.hears("b", append(term=2, round_=1), now_ms=1)
    (refusal,) = follower.hears("b", append(term=1, round_=68), now_ms=2)
    assert isinstance(refusal, m.AppendAck)
    assert (refusal.term, refusal.is_success, refusal.round) == (2, False, 0)

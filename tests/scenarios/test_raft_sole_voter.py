"""A peer that decides alone, with a learner: how every cluster that grows begins."""

from __future__ import annotations

from lone_driver import LonePeer, member

from replicante.raft import driver as d
from replicante.raft import messages as m


def test_a_learner_hears_of_a_term_only_when_the_sole_voter_has_it_on_disk():
    """Told earlier, and forgotten in a crash, the same term would begin with another entry."""
    sole = LonePeer("a", learners="b")
    effects = sole.step(d.LinkChanged(member("b").key, True), now_ms=1)
    assert sole.driver.engine.is_leader
    assert sole.disk.hard.term < sole.driver.engine.term
    assert not effects.early
    sole.sync()
    sent = [message for _, message in effects.late if isinstance(message, m.Append)]
    assert sent
    assert {message.term for message in sent} == {sole.disk.hard.term}

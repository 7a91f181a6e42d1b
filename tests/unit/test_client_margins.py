"""What a holder relies on is over before the cluster gives it away, whatever the leader's clock."""

from __future__ import annotations

import pytest

from replicante import limits
from replicante.client.margins import sure_ms

RATE = 1.05
"""By so much may the leader's clock run faster than the holder's."""


@pytest.mark.parametrize("duration_ms", [limits.LEASE_MS_MIN, 3_000, 30_000, 600_000])
@pytest.mark.parametrize("step_ms", [0, 1, limits.CLOCK_STEP_MS_MAX])
def test_the_cluster_gives_nothing_away_that_a_holder_still_relies_on(duration_ms, step_ms):
    # Granted with the clock of the step before, which catches up step_ms right after it (ADR 0013).
    given_away_ms = (duration_ms - step_ms) / RATE
    assert 0 < sure_ms(duration_ms) <= given_away_ms


def test_a_holder_relies_on_most_of_it():
    assert sure_ms(1_000) == 700
    assert sure_ms(30_000) == 28_250

"""Feature levels: what apply does for the same tables and entry is fixed within a level. Pure.

Whatever changes that, a bug fix too, is a new level. Peers with a higher LEVEL_MAX go on doing what
the tables' level says until a committed SetFeatureLevel raises it. The golden histories of each
released level are replayed by tests/scenarios/golden.
"""

from __future__ import annotations

from typing import Final

LEVEL_FIRST: Final = 1
"""Of a state that no SetFeatureLevel has touched."""
LEVEL_MAX: Final = 1
"""Highest level that this version can apply."""

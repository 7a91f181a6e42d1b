"""Defects of the gate before the log and of raising the feature level (ADR 0004, ADR 0045)."""

from __future__ import annotations

from mutant_parts import Edit, Mutant

_LEVELS, _LEVELS_TEST = "api/routes_levels.py", "tests/unit/test_api_levels.py"

STATE_MUTANTS = (
    Mutant(
        "level_over_a_peer_that_was_not_heard",
        "a level is proposed only when every member said that it supports it",
        (Edit(_LEVELS, "if found is None or found < level}", "if (found or level) < level}"),),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "level_over_a_peer_of_an_older_version",
        "a member that supports less keeps the level where it is",
        (Edit(_LEVELS, "if found is None or found < level}", "if found is None}"),),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "level_of_a_peer_that_is_away",
        "what a member that is away supported says nothing of what comes back",
        (
            Edit(
                _LEVELS,
                "    return member.level_max if member.is_connected else None\n",
                "    return member.level_max\n",
            ),
        ),
        test=_LEVELS_TEST,
    ),
    Mutant(
        "gate_that_lets_tokens_of_nobody_pass",
        "what apply's own decoder cannot read is refused before it is proposed",
        (
            Edit(
                "state/queue_admission.py",
                '    check_positive(token, f"{where}token", what="a token")\n',
                "",
            ),
        ),
        test="tests/unit/test_state_refusals.py",
    ),
)

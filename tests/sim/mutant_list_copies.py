"""Defects of what a peer does beside its steps: saving, copying and replacing its state."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

IN_MEMORY = "raft/in_memory.py"

COPY_MUTANTS = (
    Mutant(
        "failed_save_is_told_to_nobody",
        "a failure of the disk other than for room ends the peer (DESIGN of the Raft room)",
        (
            Edit(
                IN_MEMORY,
                "        elif not self._lacks_room:\n            self._failed = (index, failure)\n",
                "",
            ),
        ),
        test=unit_test("raft_in_memory", "a_disk_that_fails_ends_the_peer"),
    ),
)

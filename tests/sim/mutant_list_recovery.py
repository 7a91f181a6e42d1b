"""Defects of backups, recoveries and generations, as edits of the product's code (ADR 0038 to 0040,
0060)."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ADVICE = "tests/unit/test_recover_advice.py"
_BACKUP = "tests/unit/test_raft_backup_and_jump.py"
_FORCE = "tests/unit/test_recover_force.py"
_INSPECT = "tests/unit/test_recover_inspect.py"
_GENERATIONS = "tests/unit/test_state_generations.py"
_HISTORY = "tests/unit/test_api_history.py"
_RESTORE = "tests/integration/test_peers_backup.py"
_SKIP = "tests/unit/test_recover_skip.py"
_WELCOME = "tests/unit/test_raft_welcome.py"
_SKIPPING = "raft/skip_rules.py"
_GENERATION = "raft/generations.py"
_SURVIVORS = "raft/survivors.py"
_WELCOMING = "raft/welcome.py"

RECOVERY_MUTANTS = (
    Mutant(
        "everybody_is_welcome",
        "peers of two generations never meet (ADR 0038, ADR 0060)",
        (
            Edit(_WELCOMING, "hello.generation != header.generation:", "False:"),
            Edit(_WELCOMING, "if has_history and hello.lineage != header.lineage:", "if False:"),
            Edit(_WELCOMING, "    return _judge_stranger(hello, roster)\n", "    return None\n"),
        ),
    ),
    Mutant(
        "longest_survivor_is_best",
        "the survivor to go on from has what any of them knows to be committed (ADR 0038)",
        (
            Edit(
                _SURVIVORS,
                "                -it.last_term,\n",
                "",
            ),
        ),
        test=_INSPECT,
    ),
    Mutant(
        "latest_term_is_best",
        "the survivor to go on from has what any of them knows to be committed (ADR 0038)",
        (Edit(_SURVIVORS, "                not _has(it, certain),\n", ""),),
        test=unit_test(
            "recover_advice",
            "the_best_one_has_all_that_any_of_them_knows_to_be_committed",
        ),
    ),
    Mutant(
        "half_of_them_counts_as_whole",
        "nothing is lost when it is said that nothing is lost (ADR 0038)",
        (
            Edit(
                _SURVIVORS,
                "        len(it.voters) - _count(it, here) < majority(len(it.voters)) for",
                "        len(it.voters) - _count(it, here) <= majority(len(it.voters)) for",
            ),
        ),
        test=_INSPECT,
    ),
    Mutant(
        "half_is_whole_whoever_was_voted_for",
        "half of the voters have everything only with the last leader among them (ADR 0038)",
        (
            Edit(
                _SURVIVORS, "if it.term == term} - {None, *here}:", "if it.term == term} and False:"
            ),
        ),
        test=_ADVICE,
    ),
    Mutant(
        "half_is_whole_whoever_led_later",
        "half of the voters have everything only with the last leader among them (ADR 0038)",
        (Edit(_SURVIVORS, "if best.last_term != term or not", "if not"),),
        test=_ADVICE,
    ),
    Mutant(
        "half_is_whole_whoever_could_vote",
        "half of the voters have everything only with the last leader among them (ADR 0038)",
        (
            Edit(
                _SURVIVORS,
                "if best.last_term != term or not needs_us:",
                "if best.last_term != term:",
            ),
        ),
        test=_ADVICE,
    ),
    Mutant(
        "half_is_whole_whatever_was_committed",
        "half of the voters have everything only with the last leader among them (ADR 0038)",
        (Edit(_SURVIVORS, "return is_committed or len(best.electors) == 2", "return True"),),
        test=_ADVICE,
    ),
    Mutant(
        "sessions_outlive_their_generation",
        "a session of before is over when the generation begins (ADR 0040)",
        (Edit("raft/host.py", "            self.sessions.end_all()\n", "            pass\n"),),
    ),
    Mutant(
        "backup_is_dropped_when_it_is_installed",
        "a crash anywhere in the first start is finished by the next one (ADR 0060)",
        (
            Edit(
                _GENERATION,
                "        machine.install(shelf.copy(manifest), index=manifest.index)\n",
                "        machine.install(shelf.copy(manifest), index=manifest.index)\n"
                "        shelf.drop()\n",
            ),
        ),
    ),
    Mutant(
        "first_entry_is_not_kept",
        "the first entry is durable in the state before the backup is dropped (ADR 0060)",
        (
            Edit(
                _GENERATION,
                "        machine.flush()\n        return True\n",
                "        return True\n",
            ),
            Edit(
                _GENERATION,
                "    if machine.durable_index < loaded.first_index:\n",
                "    if False:\n",
            ),
        ),
    ),
    Mutant(
        "state_jumps_under_a_backup",
        "a backup is of one index, whatever arrives meanwhile (ADR 0060)",
        (
            Edit(
                "raft/peer_snapshots.py",
                "        async with self._turns.installing():\n",
                "        if True:\n",
            ),
            Edit("raft/peer_snapshots.py", "        self._turns.hold_up()\n", ""),
        ),
        test=_BACKUP,
    ),
    Mutant(
        "backup_is_installed_without_a_copy",
        "a crash in the first start leaves the backup whole (ADR 0060)",
        (
            Edit(
                "raft/restoring.py",
                "        shutil.copyfile(check_state(self._folder, manifest), taken)\n",
                "        check_state(self._folder, manifest).rename(taken)\n",
            ),
        ),
        test=_RESTORE,
    ),
    Mutant(
        "old_generation_is_let_in",
        "nobody who is left of the old generation is let in (ADR 0060)",
        (
            Edit(
                _WELCOMING,
                "if has_history and hello.generation != header.generation:",
                "if False:",
            ),
        ),
        test=_WELCOME,
    ),
    Mutant(
        "two_recoveries_are_one",
        "two recoveries to one generation never meet (ADR 0038)",
        (
            Edit(
                _WELCOMING,
                "if has_history and hello.lineage != header.lineage:",
                "if False:",
            ),
        ),
        test=_WELCOME,
    ),
    Mutant(
        "survivor_is_not_replayed",
        "the new generation has all that the survivor's log did (ADR 0038)",
        (
            Edit(
                _GENERATION,
                "        if record.index > machine.applied_index:\n",
                "        if False:\n",
            ),
            Edit(
                _GENERATION,
                "    if machine.durable_index != loaded.last.index:\n",
                "    if False:\n",
            ),
        ),
    ),
    Mutant(
        "leases_outlive_their_generation",
        "a lease of before is over when the generation begins (ADR 0040)",
        (Edit("state/generations.py", "    for name in held:\n", "    for name in held[:0]:\n"),),
    ),
    Mutant(
        "claims_outlive_their_generation",
        "a claim of before is over when the generation begins (ADR 0040)",
        (
            Edit(
                "state/generations.py",
                "        if row.state is JobState.CLAIMED:\n",
                "        if False:\n",
            ),
        ),
    ),
    Mutant(
        "fork_is_not_told",
        "who has read what is lost is told so (ADR 0040)",
        (
            Edit(
                "state/forks.py",
                "if it.last_index < index < it.first_index",
                "if it.last_index < index < it.last_index",
            ),
        ),
        test=_HISTORY,
    ),
    Mutant(
        "skips_what_somebody_applied",
        "an entry that a peer has applied is skipped nowhere (ADR 0039)",
        (
            Edit(
                _SKIPPING,
                "    if max(state, loaded.first_index) >= index:\n",
                "    if loaded.first_index >= index:\n",
            ),
        ),
        test=_SKIP,
    ),
    Mutant(
        "skips_what_can_be_applied",
        "only an entry that breaks is skipped (ADR 0039)",
        (Edit(_SKIPPING, "    if broken == index:\n", "    if True:\n"),),
        test=_SKIP,
    ),
    Mutant(
        "skipped_in_one_log",
        "an entry is skipped everywhere or nowhere (ADR 0039)",
        (Edit(_SKIPPING, "is_fresh=it in fresh)", "is_fresh=it in fresh[:1])"),),
    ),
    Mutant(
        "what_follows_a_skipped_entry_is_dropped",
        "all that follows a skipped entry stays (ADR 0039)",
        (
            Edit(
                _SKIPPING, "it.log.read(index, it.last.index + 1)", "it.log.read(index, index + 1)"
            ),
        ),
    ),
    Mutant(
        "skipped_without_a_trace",
        "the chain of what follows tells that an entry was skipped, and why (ADR 0039)",
        (
            Edit(
                _SKIPPING,
                '{"chain": record.chain.hex(), "reason": reason}',
                '{"chain": record.chain.hex(), "reason": ""}',
            ),
        ),
        test=_SKIP,
    ),
)

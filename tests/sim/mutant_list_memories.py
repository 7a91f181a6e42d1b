"""Defects of what agents keep, and of how those that forget, are two or were raised by a stranger
are met, and of a protection that is declared later, as edits of the code (ADR 0066, 0084, 0090,
0091)."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_CYCLE = "orchestrate/cycle.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_MEMORIES = "orchestrate/looking/doubts.py"
_SERVER = "agents/sdk/server.py"
_STORE = "agents/sdk/action_store.py"
_PROTECT = "orchestrate/converge/protect_writes.py"
_REDIS = "agents/stores/redis/server.py"
_SYNC_ACTIONS = "orchestrate/looking/sync_actions.py"
_WRITE_HOLD = "agents/stores/redis/write_hold.py"

MEMORY_MUTANTS = (
    Mutant(
        "starts_as_it_likes_by_another_hand",
        "a Redis server never starts as a primary, whoever starts it (ADR 0085)",
        (
            Edit(
                _REDIS,
                '            f"replicaof {self._follows[0]} {self._follows[1]}",\n',
                "",
            ),
        ),
        test=unit_test(
            "agents_redis_start", "a_server_begins_as_a_copy_whoever_starts_it_and_whenever"
        ),
    ),
    Mutant(
        "sent_to_whoever_answers",
        "what an agent may have done before it lost its folder is not done by the next one",
        (
            Edit(
                _SERVER,
                "        if meant is not None and meant != self._marks[INCARNATION_HEADER]:\n",
                "        if meant is not None and not meant:\n",
            ),
        ),
        test=unit_test(
            "agents_sdk", "an_agent_tells_who_it_is_and_takes_only_what_is_meant_for_it"
        ),
    ),
    Mutant(
        "incarnation_of_each_start",
        "an agent that keeps its folder is the same one",
        (
            Edit(
                _STORE,
                "INSERT OR IGNORE INTO identity",
                "INSERT OR REPLACE INTO identity",
            ),
        ),
        test=unit_test(
            "agents_sdk", "an_agent_tells_who_it_is_and_takes_only_what_is_meant_for_it"
        ),
    ),
    Mutant(
        "two_agents_in_one_folder",
        "two agents never work in one folder",
        (Edit(_STORE, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB"),),
        test=unit_test("agents_sdk", "two_agents_never_work_in_one_folder"),
    ),
    Mutant(
        "not_written_whom_it_was_sent_to",
        "what an agent may have had before it lost its folder is never sent again",
        (Edit(_DISPATCH, "_incarnation(situation, action.node_id),", "None,"),),
        test=unit_test(
            "orchestrate_memories",
            "what_its_agent_may_have_had_before_it_lost_its_folder_is_never_sent_again",
        ),
    ),
    Mutant(
        "waits_for_ever_for_who_is_gone",
        "an action of an agent that lost its folder ends as lost",
        (
            Edit(
                _SYNC_ACTIONS,
                "        if action.sent_to not in (None, observation.incarnation):\n",
                "        if action.sent_to == observation.incarnation is None:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_memories",
            "what_its_agent_may_have_had_before_it_lost_its_folder_is_never_sent_again",
        ),
    ),
    Mutant(
        "unknown_believed_of_two",
        "no action is lost by the word of another process than has it",
        (
            Edit(
                _SYNC_ACTIONS,
                "            action.node_id in unsure and",
                "            action.node_id in () and",
            ),
        ),
        test=unit_test(
            "orchestrate_memories",
            "nobody_is_believed_that_an_action_is_unknown_while_two_processes_answer",
        ),
    ),
    Mutant(
        "a_restart_is_a_second_process",
        "the restart of an agent that keeps its folder blocks nothing",
        (
            Edit(
                _MEMORIES,
                "if boot in before[:-1]]",
                "if before and boot not in before]",
            ),
        ),
        test=unit_test(
            "orchestrate_memories", "a_restart_of_an_agent_that_keeps_its_folder_is_nothing"
        ),
    ),
    Mutant(
        "a_returned_process_is_a_restart",
        "two processes that answer for one node are seen",
        (Edit(_MEMORIES, "if returned or len", "if len"),),
        test=unit_test(
            "orchestrate_memories",
            "two_processes_are_told_apart_from_a_restart_by_the_first_one_coming_back",
        ),
    ),
    Mutant(
        "silence_clears_a_doubt",
        "a doubt ends by answers, not by silence",
        (
            Edit(
                _MEMORIES,
                "            has_answered and now_ms",
                "            now_ms",
            ),
        ),
        test=unit_test("orchestrate_memories", "silence_ends_no_doubt"),
    ),
    Mutant(
        "sent_again_to_two",
        "what was sent is not sent again while two processes answer",
        (
            Edit(
                _DISPATCH,
                "    if action.node_id in acting.situation.state.doubts and action",
                "    if action.node_id in () and action",
            ),
        ),
        test=unit_test(
            "orchestrate_memories",
            "an_action_that_was_sent_is_not_sent_again_while_two_processes_answer",
        ),
    ),
    Mutant(
        "epoch_remembered_before_it_is_checked",
        "an epoch raises the fence only when its call passed every check (ADR 0090)",
        (
            Edit(
                _SERVER,
                "        self._expect_ours(request.headers)\n        if epoch is None",
                "        if epoch is None",
            ),
        ),
        test=unit_test("agents_epoch", "a_call_that_fails_a_check_locks_nobody_out"),
    ),
    Mutant(
        "epoch_of_anybody_remembered",
        "who takes no action keeps no epoch (ADR 0090)",
        (
            Edit(
                _SERVER,
                "        if epoch is None or not self._settings.takes_actions:\n",
                "        if epoch is None:\n",
            ),
        ),
        test=unit_test("agents_epoch", "an_agent_that_takes_no_action_keeps_no_epoch_and_says_so"),
    ),
    Mutant(
        "one_stranger_stops_the_cluster",
        "a greater epoch at one agent is the fault of that agent (ADR 0090)",
        (
            Edit(
                _CYCLE,
                "    if overtaken is not None:\n",
                "    stale = (it.answer == 'stale_epoch' for it in inputs.observations)\n"
                "    if overtaken is not None or any(stale):\n",
            ),
        ),
        test=unit_test("workers_epoch", "an_agent_that_a_stranger_raised_stops_nobody_else"),
    ),
    Mutant(
        "limit_on_writes_left_by_a_cancel",
        "writes are let in again however a switchover through Sentinel ends (ADR 0066)",
        (
            Edit(
                _WRITE_HOLD,
                '        """There is no next step after all."""\n        self._is_in_use = False\n',
                '        """There is no next step after all."""\n',
            ),
        ),
        test=unit_test(
            "agents_redis_write_hold",
            "writes_are_let_in_after_a_cancel_when_sentinel_does_nothing",
        ),
    ),
    Mutant(
        "setting_holds_up_a_recovery",
        "a protection on its way stands in the way of no recovery (ADR 0091)",
        (
            Edit(
                _DISTURBANCE,
                "    return does_disturb(action) and not (is_setting and is_recovery)\n",
                "    return does_disturb(action) or (is_setting and is_recovery)\n",
            ),
        ),
        test=unit_test(
            "orchestrate_protection",
            "one_that_is_under_way_stands_in_the_way_of_no_recovery",
        ),
    ),
    Mutant(
        "primary_protected_first",
        "a changed protection reaches the primary last (ADR 0091)",
        (
            Edit(
                _PROTECT,
                "min(others, key=lambda it: _is_primary(view, it))",
                "max(others, key=lambda it: _is_primary(view, it))",
            ),
        ),
        test=unit_test(
            "orchestrate_protection",
            "it_reaches_one_node_after_another_and_the_primary_last",
        ),
    ),
    Mutant(
        "primary_without_copies_protected",
        "a primary that no copy hears is not made to refuse every write (ADR 0091)",
        (
            Edit(
                _PROTECT,
                " and not _is_heard(view, node_id):\n",
                " and not node_id:\n",
            ),
        ),
        test=unit_test(
            "orchestrate_protection",
            "a_primary_that_no_copy_hears_is_not_made_to_refuse_every_write",
        ),
    ),
    Mutant(
        "refused_writes_in_silence",
        "who was replaced, refuses every write and is not told of it is told of to people",
        (
            Edit(
                _WRITE_HOLD,
                "0 if named is None else self._replaced_looks + 1\n",
                "0 if named is None else 1\n",
            ),
        ),
        test=unit_test(
            "agents_redis_write_hold",
            "writes_are_let_in_after_a_cancel_when_the_server_was_replaced",
        ),
    ),
    Mutant(
        "refused_writes_by_an_old_word",
        "a condition holds now, or not: what a store told last is no news",
        (
            Edit(
                "orchestrate/conditions.py",
                "attributes.get(WRITES_REFUSED) if extras and extras.is_fresh else None\n",
                "attributes.get(WRITES_REFUSED) if extras else None\n",
            ),
        ),
        test=unit_test("orchestrate_conditions", "refused_writes_are_told_of_by_a_fresh_word_only"),
    ),
)

"""Defects of the fences and of the workers, as edits of the product's code (ADR 0028, 0033).

The simulator of peers runs no workers, so each of them has to be found by a named test.
"""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_CLIENT = "agents/client.py"
_CALLS = "agents/calls.py"
_SERVER = "agents/sdk/server.py"
_STORE = "agents/sdk/action_store.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_SYNC_ACTIONS = "orchestrate/looking/sync_actions.py"
_RECORDS = "state/apply_records.py"
_HOLDINGS = "workers/holdings.py"
_JOB = "workers/orchestrate_job.py"
_SUPERVISOR = "workers/supervisor.py"

_FENCE_MUTANTS = (
    Mutant(
        "fence_not_looked_at_before_an_effect",
        "nothing leaves a peer whose fence may be over (ADR 0030)",
        (
            Edit(
                _JOB,
                "        if not self.hold.is_sure:\n            return Sent(",
                "        if self.hold is None:\n            return Sent(",
            ),
        ),
        test=unit_test("workers_fence", "nothing_is_sent_when_the_fence_may_be_over"),
    ),
    Mutant(
        "fence_sure_for_ever",
        "a fence counts as lost after its time less 5 % (design R5)",
        (
            Edit(
                _HOLDINGS,
                "return not self._is_lost and age_ms < WORK_LEASE_SURE_MS",
                "return not self._is_lost and age_ms >= 0",
            ),
        ),
        test=unit_test("workers_fence", "nothing_is_sent_when_the_fence_may_be_over"),
    ),
    Mutant(
        "fence_counted_from_its_answer",
        "a fence counts from before its request left (design R5)",
        (
            Edit(
                _HOLDINGS,
                "            self.renewed(asked_ms=asked_ms)\n        else:",
                "            self.renewed(asked_ms=self._clock.monotonic_ms())\n        else:",
            ),
        ),
        test=unit_test("workers_fence", "a_fence_counts_from_before_its_renewal_was_asked_for"),
    ),
    Mutant(
        "fence_kept_by_a_deposed_leader",
        "who does not lead any more sends nothing",
        (Edit(_SUPERVISOR, "            self._holdings.drop_all()\n", ""),),
        test=unit_test("workers_fence", "who_does_not_lead_any_more_sends_nothing"),
    ),
    Mutant(
        "platform_asked_without_a_confirmed_fence",
        "who keeps no epoch is asked only after the fence was confirmed by a write",
        (
            Edit(
                _JOB,
                "if (result.calls or is_unguarded) and not await hold.confirm():",
                "if is_unguarded and not await hold.confirm():",
            ),
        ),
        test=unit_test(
            "workers_fence", "a_platform_is_not_asked_by_who_lost_the_fence_after_the_record"
        ),
    ),
    Mutant(
        "unfenced_agent_asked_without_a_confirmed_fence",
        "who keeps no epoch is asked only after the fence was confirmed by a write",
        (
            Edit(
                _JOB,
                "if (result.calls or is_unguarded) and not await hold.confirm():",
                "if result.calls and not await hold.confirm():",
            ),
        ),
        test=unit_test(
            "workers_fence", "an_agent_without_epochs_is_sent_nothing_by_who_lost_the_fence"
        ),
    ),
    Mutant(
        "records_of_a_former_worker_written",
        "nothing is written under a fence that is not held at this very entry",
        (
            Edit(
                _RECORDS,
                "    if row is None or row.token != fence.token:\n",
                "    if row is None:\n",
            ),
        ),
        test=unit_test("state_records", "a_cycle_without_its_fence_writes_nothing"),
    ),
    Mutant(
        "epoch_not_sent",
        "every call of a cycle carries the epoch",
        (
            Edit(
                _CALLS,
                "headers = {protocol.EPOCH_HEADER: self._epoch, ",
                "headers = {",
            ),
        ),
        test=unit_test("agents_client", "one_look_asks_for_everything_and_reads_it"),
    ),
    Mutant(
        "every_agent_counts_as_fenced",
        "an agent keeps epochs when it repeats the one of the call",
        (
            Edit(
                _CALLS,
                "is_fenced = response.headers.get(protocol.EPOCH_HEADER) == self._epoch",
                "is_fenced = True",
            ),
        ),
        test=unit_test("agents_client", "an_agent_without_epochs_is_unfenced"),
    ),
    Mutant(
        "agent_obeys_an_older_epoch",
        "an agent refuses an epoch that is older than one it knows",
        (Edit(_STORE, "        if epoch < held:\n", "        if epoch < 0:\n"),),
        test=unit_test(
            "agents_sdk", "an_older_epoch_is_refused_also_for_reads_and_by_the_next_process"
        ),
    ),
    Mutant(
        "agent_forgets_its_epoch",
        "an agent keeps the epoch before it answers",
        (
            Edit(
                _STORE,
                '        self._db.execute("UPDATE fence SET epoch = ?", (epoch,))\n',
                "",
            ),
        ),
        test=unit_test(
            "agents_sdk", "an_older_epoch_is_refused_also_for_reads_and_by_the_next_process"
        ),
    ),
    Mutant(
        "agent_acts_without_an_epoch",
        "who names no epoch may read but not act once epochs were seen",
        (
            Edit(
                _STORE,
                "        if self._fence(epoch) > 0 and epoch is None:\n",
                "        if self._fence(epoch) < 0:\n",
            ),
        ),
        test=unit_test(
            "agents_sdk", "who_names_no_epoch_may_read_but_not_act_once_epochs_were_seen"
        ),
    ),
)

_ORDER_MUTANTS = (
    Mutant(
        "acts_before_the_record",
        "nothing is asked of an agent before the intent is committed",
        (
            Edit(
                _JOB,
                "    try:\n        refusal = await writing.record(result.changes, revisions,",
                "    await _act(rooms, writing, hold, read, result)\n"
                "    try:\n        refusal = await writing.record(result.changes, revisions,",
            ),
            Edit(
                _JOB,
                "    if refusal is None:\n"
                "        refusal = await _act(rooms, writing, hold, read, result)\n",
                "",
            ),
        ),
        test=unit_test("workers", "the_intent_is_recorded_before_the_agent_hears_of_it"),
    ),
    Mutant(
        "acts_on_a_refused_record",
        "what was not recorded is not done",
        (
            Edit(
                _JOB,
                "    if refusal is None:\n        refusal = await _act(",
                "    if refusal is not None or refusal is None:\n        refusal = await _act(",
            ),
        ),
        test=unit_test(
            "workers", "a_change_between_decision_and_record_costs_the_cycle_and_is_kept"
        ),
    ),
    Mutant(
        "pause_not_looked_at",
        "a pause that was acknowledged is followed by nothing that did not know of it",
        (
            Edit(
                _RECORDS,
                "        or _not_under(writer, command)\n",
                "",
            ),
        ),
        test=unit_test(
            "workers_fence",
            "a_pause_that_was_acknowledged_is_followed_by_nothing_that_did_not_know_of_it",
        ),
    ),
    Mutant(
        "records_overwritten",
        "nothing is written over a record that is not as the cycle saw it",
        (
            Edit(
                _RECORDS,
                "            if change.seen != (None if row is None else row.revision):\n",
                "            if change.seen is None and row is not None:\n",
            ),
        ),
        test=unit_test(
            "state_records", "a_record_that_changed_since_it_was_seen_refuses_the_whole_cycle"
        ),
    ),
    Mutant(
        "lost_without_asking",
        "an action is lost only by its agent's own word about that very id",
        (
            Edit(
                _SYNC_ACTIONS,
                "    if action.action_id in observation.unknown_actions:\n",
                "    if action.action_id not in (observation.queue or ()):\n",
            ),
        ),
        test=unit_test(
            "orchestrate_defects", "defect_7_an_action_missing_from_both_lists_is_not_lost_by_that"
        ),
    ),
    Mutant(
        "late_without_asking",
        "what may have arrived is never given up",
        (
            Edit(
                _DISPATCH,
                "if observation is None or action.action_id not in observation.unknown_actions:",
                "if observation is None:",
            ),
        ),
        test=unit_test("workers_doubt", "what_an_agent_may_have_is_never_given_up"),
    ),
    Mutant(
        "silence_counts_as_a_refusal",
        "what may have arrived is never given up",
        (
            Edit(
                _JOB,
                "is_refused=outcome.answer is SendAnswer.REFUSED,\n",
                "is_refused=outcome.answer is not SendAnswer.TAKEN,\n",
            ),
            Edit(
                _DISPATCH,
                "if observation is None or action.action_id not in observation.unknown_actions:",
                "if observation is None:",
            ),
        ),
        test=unit_test("workers_doubt", "silence_is_never_counted_as_a_refusal"),
    ),
    Mutant(
        "a_404_of_silence",
        "an action is unknown only when its agent answered 404 for that very id",
        (
            Edit(
                _CLIENT,
                "        return None\n    except Invalid:\n        return None\n    return seen",
                "        return False\n    except Invalid:\n        return False\n    return seen",
            ),
        ),
        test=unit_test(
            "agents_client", "a_list_that_cannot_be_read_is_not_known_and_proves_nothing"
        ),
    ),
    Mutant(
        "known_id_counts_as_refused",
        "an agent that has an action already took it",
        (
            Edit(
                _CLIENT,
                "        if reply.status < 300 or reply.status == 409:\n",
                "        if reply.status < 300:\n",
            ),
        ),
        test=unit_test("agents_client", "a_submission_is_taken_refused_overtaken_or_unknown"),
    ),
    Mutant(
        "time_to_begin_not_told",
        "an action that did not begin in its time does not begin (ADR 0051)",
        (
            Edit(
                _JOB,
                "        return max(0, action.deadline_ms - self.rooms.peer.clock_ms)\n",
                "        return None\n",
            ),
        ),
        test=unit_test("workers_doubt", "an_action_is_to_begin_in_the_time_that_is_left_of_it"),
    ),
    Mutant(
        "given_up_under_the_epoch_that_sent_it",
        "an action is given up under an epoch in which it was not sent (ADR 0070)",
        (
            Edit(
                _DISPATCH,
                "    elif situation.may_be_on_its_way(action):\n",
                "    elif situation is None:\n",
            ),
        ),
        test=unit_test("workers_doubt", "what_was_given_up_is_refused_when_it_arrives_at_last"),
    ),
    Mutant(
        "lost_under_the_epoch_that_sent_it",
        "an action is lost under an epoch in which it was not sent (ADR 0070)",
        (
            Edit(
                _SYNC_ACTIONS,
                "            if is_lost and observation.is_fenced and",
                "            if is_lost and not action.action_id and",
            ),
        ),
        test=unit_test("workers_doubt", "what_its_agent_lost_is_refused_when_it_arrives_once_more"),
    ),
    Mutant(
        "sent_and_not_remembered",
        "who holds a lease knows what left under it (ADR 0070)",
        (Edit(_JOB, "        self.hold.sends(action.action_id)\n", ""),),
        test=unit_test(
            "workers_doubt", "what_failed_by_refusals_is_refused_when_it_arrives_at_last"
        ),
    ),
    Mutant(
        "time_to_begin_forgotten",
        "an action that did not begin in its time does not begin (ADR 0051)",
        (Edit(_SERVER, "        ends.append(now_ms + within_ms)\n", "        pass\n"),),
        test=unit_test("agents_sdk", "a_time_to_begin_counts_from_when_the_agent_took_it"),
    ),
    Mutant(
        "another_node_believed",
        "an agent that speaks for another node is never acted upon",
        (
            Edit(
                _CLIENT,
                "    if node_id != ask.node.node_id:\n",
                "    if not node_id:\n",
            ),
        ),
        test=unit_test("agents_client", "what_is_no_answer_of_this_agent_is_told_apart"),
    ),
    Mutant(
        "another_cluster_believed",
        "an agent of another cluster is never acted upon",
        (Edit(_CLIENT, "    if store.cluster_id != ask.cluster_id:\n", "    if not store:\n"),),
        test=unit_test("agents_client", "what_is_no_answer_of_this_agent_is_told_apart"),
    ),
)

WORKER_MUTANTS = (*_FENCE_MUTANTS, *_ORDER_MUTANTS)

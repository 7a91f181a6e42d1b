"""Defects of whose turn it is at an agent, and of what left for it and did not arrive."""

from __future__ import annotations

from mutant_parts import Edit, Mutant, unit_test

_ACTING = "orchestrate/actions/acting.py"
_DISPATCH = "orchestrate/actions/dispatch.py"
_DISTURBANCE = "orchestrate/safety/rules_disturbance.py"
_GATHERING = "orchestrate/gathering.py"
_HELD = "orchestrate/actions/held_promotions.py"
_PROPOSAL = "orchestrate/proposal.py"
_SYNC = "orchestrate/looking/sync.py"


def _lost(name: str) -> str:
    return unit_test("orchestrate_by_name_lost", name)


def _nowhere(name: str) -> str:
    return unit_test("orchestrate_by_name_nowhere", name)


def _turns(name: str) -> str:
    return unit_test("orchestrate_by_name_turns", name)


TURN_MUTANTS = (
    Mutant(
        "what_may_go_costs_a_failover",
        "a recovery goes before what a person asked for and what did not begin (ADR 0106)",
        (
            Edit(
                _DISTURBANCE,
                "        has_begun = action.may_be_at_agent or is_wish(action)\n",
                "        has_begun = not is_person_waiting(action)\n",
            ),
        ),
        test=_turns("a_failover_does_not_wait_for_what_waits_for_an_orchestrator_action"),
    ),
    Mutant(
        "what_has_begun_is_overtaken",
        "an agent does one action at a time (ADR 0102)",
        (
            Edit(
                _DISTURBANCE,
                "        has_begun = action.may_be_at_agent or is_wish(action)\n",
                "        has_begun = is_wish(action)\n",
            ),
        ),
        test=_turns("a_failover_waits_for_what_its_agent_has_begun"),
    ),
    Mutant(
        "role_waits_behind_what_may_go",
        "a change of roles that a person asked for goes before what did not begin (ADR 0106)",
        (
            Edit(
                _DISPATCH,
                "    roles = (it for it in actions if _is_asked_role(it))\n",
                "    roles = (it for it in actions if _is_asked_role(it) and"
                " oldest[0].phase.value == 'PENDING_APPROVE')\n",
            ),
        ),
        test=_turns("an_approved_failover_goes_before_an_approved_action_that_is_older"),
    ),
    Mutant(
        "marked_in_its_turn_only",
        "a promotion beside the primary is marked whatever holds it (ADR 0105)",
        (
            Edit(
                _DISPATCH,
                "    mark_held(acting)\n",
                "    if may_begin(acting.situation):\n        mark_held(acting)\n",
            ),
        ),
        test=_turns("a_promotion_that_is_held_beside_the_primary_by_anything_is_marked"),
    ),
    Mutant(
        "overtaken_and_waiting",
        "a promotion of who is the primary already ends (ADR 0102)",
        (
            Edit(
                _HELD,
                "        if wanted.get(action.kind) == primary.node_id:\n",
                "        if wanted.get(action.kind) == primary.shard_id:\n",
            ),
        ),
        test=_turns("a_promotion_of_who_is_the_primary_already_ends_and_says_so"),
    ),
    Mutant(
        "overtaken_by_a_doubt",
        "a promotion of a primary that is in doubt may be needed yet (ADR 0102)",
        (
            Edit(
                _HELD,
                "        if primary is None or primary.verdict is not PrimaryVerdict.PRESENT:\n",
                "        if primary is None or primary.verdict is PrimaryVerdict.NEVER:\n",
            ),
        ),
        test=_turns("a_promotion_of_a_primary_that_is_in_doubt_does_not_end"),
    ),
    Mutant(
        "lost_and_sent_again_unjudged",
        "what a person asked for and what did not arrive is judged again (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    if end is None and is_persons_disruption(action):\n",
                "    if end is None and is_person_waiting(action):\n",
            ),
        ),
        test=_lost("a_promotion_that_did_not_arrive_is_not_sent_again_beside_the_primary"),
    ),
    Mutant(
        "taken_back_on_its_way",
        "what may arrive yet is taken back under another epoch (ADR 0070)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return is_fenced and self.is_denied(action)\n",
            ),
        ),
        test=_lost("what_may_be_on_its_way_is_taken_back_under_an_epoch_in_which_it_was_not_sent"),
    ),
    Mutant(
        "taken_back_and_the_epoch_kept",
        "what is to be taken back and may arrive yet costs its epoch (ADR 0104)",
        (
            Edit(
                _DISPATCH,
                "    if situation.may_be_on_its_way(action):\n        found.is_epoch_spent = True\n"
                "    elif situation.is_denied",
                "    if outcome is None:\n        found.is_epoch_spent = True\n"
                "    elif situation.is_denied",
            ),
        ),
        test=_lost("what_may_be_on_its_way_is_taken_back_under_an_epoch_in_which_it_was_not_sent"),
    ),
    Mutant(
        "asked_of_what_left",
        "what was sent is taken back before a person is asked about it (ADR 0104)",
        (
            Edit(
                _ACTING,
                "                self._put(action, unsent, ChangeCode.NACTION_DISPATCH_FAIL)\n"
                "                action = unsent\n",
                "                assert unsent != action\n",
            ),
        ),
        test=unit_test("workers_doubt", "what_was_taken_back_is_refused_when_it_arrives_at_last"),
    ),
    Mutant(
        "taken_back_unheard",
        "what its agent may have is not taken back (ADR 0104)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return is_fenced and action.action_id not in self.sent_ids\n",
            ),
        ),
        test=_lost("without_the_word_of_its_agent_it_is_neither_sent_again_nor_taken_back"),
    ),
    Mutant(
        "taken_back_where_it_may_arrive",
        "an agent that keeps no epoch takes what comes later, so it is asked to end it (ADR 0104)",
        (
            Edit(
                _PROPOSAL,
                "        return is_fenced and self.is_denied(action) and action.action_id not in"
                " self.sent_ids\n",
                "        return self.is_denied(action) and action.action_id not in self.sent_ids\n",
            ),
        ),
        test=_lost("at_an_agent_that_keeps_no_epoch_it_ends_and_says_why"),
    ),
    Mutant(
        "asked_of_nobody_for_ever",
        "what is asked of a node that no discovery names ends (ADR 0102)",
        (
            Edit(
                _SYNC,
                "if it.node_id not in known.node_ids and it.created_ms < discovered_ms\n",
                "if it.node_id is None and it.created_ms < discovered_ms\n",
            ),
        ),
        test=_nowhere("what_is_asked_of_a_node_that_never_was_ends_with_the_next_discovery"),
    ),
    Mutant(
        "ended_by_an_older_discovery",
        "only a discovery that began after the action says that its node is not there (ADR 0102)",
        (
            Edit(
                _SYNC,
                "if it.node_id not in known.node_ids and it.created_ms < discovered_ms\n",
                "if it.node_id not in known.node_ids\n",
            ),
        ),
        test=_nowhere("an_older_discovery_says_nothing_of_it"),
    ),
    Mutant(
        "ended_by_an_answer_that_is_held",
        "an answer of the platform that is held ends nothing (ADR 0102)",
        (
            Edit(
                _SYNC,
                "    if discovered_ms is not None and view.discovery.held is None:\n",
                "    if discovered_ms is not None:\n",
            ),
        ),
        test=_nowhere("an_answer_that_is_held_says_nothing_of_it"),
    ),
    Mutant(
        "ended_by_a_discovery_that_failed",
        "a platform that did not answer says nothing of a node (ADR 0102)",
        (
            Edit(
                _GATHERING,
                '    is_answer = isinstance(run, dict) and run.get("is_success") is True\n',
                "    is_answer = isinstance(run, dict)\n",
            ),
        ),
        test=unit_test("workers_discovery", "what_is_asked_of_a_node_that_no_discovery_names_ends"),
    ),
)

"""Green needs more than no violation: each clause of it is seen failing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jlike import proof
from jlike.runner import verdict_of
from jlike.verdict import Finding, Verdict

FAULTLESS = {"effects": {"kill": 2, "pause": 1}, "breaches": (), "changes": 1, "terms": 3}


def _of_faults(**differing) -> Finding:
    return proof.of_faults(("kill", "pause"), **{**FAULTLESS, **differing})


def _verdict(*findings: Finding) -> Verdict:
    return verdict_of([("harness", it) for it in findings])


def test_a_run_in_which_all_of_it_was_seen_is_valid():
    seen = (_of_faults(), proof.of_load(()), proof.of_processes(()))
    assert _verdict(*seen) is Verdict.VALID
    assert seen[0].figures == {"kill": 2, "pause": 1, "terms": 3}


@pytest.mark.parametrize(
    ("differing", "verdict", "said"),
    [
        ({"effects": {"kill": 2}}, Verdict.UNKNOWN, "took no effect: pause"),
        ({"effects": {"kill": 0, "pause": 0}}, Verdict.UNKNOWN, "took no effect: kill, pause"),
        ({"changes": 0}, Verdict.UNKNOWN, "the leader never changed"),
        ({"breaches": ["failsync: p1 went on"]}, Verdict.INVALID, "failsync: p1 went on"),
        ({"breaches": ["it went on"], "changes": 0}, Verdict.INVALID, "it went on"),
    ],
)
def test_each_clause_about_faults_fails_by_itself(differing, verdict, said):
    found = _of_faults(**differing)
    assert (found.verdict, found.reason) == (verdict, said)
    assert _verdict(found, proof.of_load(()), proof.of_processes(())) is verdict


def test_a_run_without_faults_needs_no_change_of_the_leader():
    found = proof.of_faults((), effects={}, breaches=(), changes=0, terms=1)
    assert found.verdict is Verdict.VALID


def test_what_never_succeeded_under_load_leaves_a_run_unknown():
    found = proof.of_load([("queue", "ack"), ("lock", "renew")])
    assert found.verdict is Verdict.UNKNOWN
    assert found.reason.endswith("ack of queue, renew of lock")
    assert _verdict(_of_faults(), found, proof.of_processes(())) is Verdict.UNKNOWN


ENDED = "p2 ended with 1, error: the state is not mine"
TAKEN = "p3 ended with 1, error: The HTTP address 127.0.0.1:4 is taken by another process"


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [([ENDED], Verdict.INVALID), ([TAKEN, ENDED], Verdict.INVALID), ([TAKEN], Verdict.UNKNOWN)],
)
def test_a_peer_that_ended_though_nobody_ended_it_is_told(ends, verdict):
    found = proof.of_processes(ends)
    assert found.verdict is verdict
    assert ends[-1] in found.reason
    assert _verdict(_of_faults(), proof.of_load(()), found) is verdict


@pytest.mark.parametrize(
    ("leaders", "since", "changes"),
    [
        ({}, 0, 0),
        ({1: "p1"}, 1, 0),
        ({1: "p1", 4: "p1", 5: "p1"}, 1, 0),
        ({1: "p1", 2: "p2"}, 1, 1),
        ({1: "p1", 2: "p2", 5: "p1"}, 1, 2),
        ({2: "p2", 1: "p1"}, 2, 0),
        ({1: "p1", 2: "p2", 3: "p3"}, 2, 1),
    ],
    ids=lambda it: str(it),
)
def test_a_leader_that_follows_itself_is_no_change(
    leaders: dict[int, str], since: int, changes: int
):
    assert proof.changes_of_leader(leaders, since=since) == changes


def test_no_finding_at_all_is_not_green():
    nothing: Sequence[tuple[str, Finding]] = ()
    assert verdict_of(nothing) is Verdict.UNKNOWN


def test_a_start_on_a_disk_that_a_fault_has_filled_is_refused_rightly():
    ends = ["p1 ended with 1, error: There is no room to start in data: No space left on device"]
    assert proof.of_processes(ends, kinds=("kill", "diskfull")).verdict is Verdict.VALID
    assert proof.of_processes(ends, kinds=("kill",)).verdict is Verdict.INVALID
    ends.append("p2 ended with 1, error: No space left on device")
    assert proof.of_processes(ends, kinds=("diskfull",)).verdict is Verdict.INVALID

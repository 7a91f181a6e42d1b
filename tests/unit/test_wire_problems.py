from __future__ import annotations

import msgspec
import pytest

from replicante import errors
from replicante.wire.problems import Problem, error_of, problem_kinds, type_of


def problem(code: str, status: int, **fields) -> Problem:
    return Problem(type=type_of(code), title="T", status=status, detail="why", code=code, **fields)


@pytest.mark.parametrize("kind", problem_kinds().values(), ids=lambda kind: kind.code)
def test_a_problem_comes_back_as_the_error_that_declares_its_code(kind):
    error = error_of(problem(kind.code, kind.status, definite=kind.is_definite))
    assert type(error) is kind.error
    assert (error.code, error.http_status, error.definite) == (
        kind.code,
        kind.status,
        kind.is_definite,
    )
    assert str(error) == "why"


def test_every_leaf_error_has_a_code_of_its_own_and_a_meaning():
    kinds = problem_kinds()
    assert kinds["invalid"].error is errors.Invalid
    assert kinds["no_leader"].error is errors.NoLeader
    assert kinds["outcome_unknown"].status == 504
    assert not kinds["outcome_unknown"].is_definite
    assert all(kind.meaning.endswith(".") for kind in kinds.values())
    assert all(400 <= kind.status < 600 for kind in kinds.values())


def test_whether_to_try_again_is_told_by_the_answer_also_of_a_code_of_a_newer_version():
    assert error_of(problem("queue_full", 429, definite=True)).retry
    assert not error_of(problem("invalid", 400, definite=True)).retry
    assert error_of(problem("busy_tomorrow", 503, definite=True, retry=True)).retry
    kinds = problem_kinds().values()
    assert all(kind.is_definite for kind in kinds if kind.is_retry), "else it might happen twice"
    assert {kind.code for kind in kinds if kind.status == 429} <= {
        kind.code for kind in kinds if kind.is_retry
    }


def test_facts_of_a_problem_become_details_of_the_error():
    error = error_of(
        problem(
            "revision_mismatch",
            412,
            definite=True,
            details={"revision": "0000000000000065537", "message": "not an argument"},
            hints=("read it again",),
            index=7,
            request_id="r1",
        )
    )
    assert error.details == {"revision": "0000000000000065537", "index": 7, "request_id": "r1"}
    assert error.hints == ("read it again",)


def test_a_code_of_a_newer_version_keeps_its_meaning():
    error = error_of(problem("lease_of_tomorrow", 409, definite=True))
    assert isinstance(error, errors.RequestError)
    assert (error.code, error.http_status, error.definite) == ("lease_of_tomorrow", 409, True)
    assert not error_of(problem("odd", 599, definite=False)).definite


def test_the_path_of_an_invalid_field_survives():
    error = error_of(problem("invalid", 400, definite=True, path="spec.nodes[0].name"))
    assert isinstance(error, errors.Invalid)
    assert error.path == "spec.nodes[0].name"


def test_empty_fields_stay_off_the_wire():
    body = msgspec.json.decode(msgspec.json.encode(problem("no_leader", 503, definite=True)))
    assert set(body) == {"type", "title", "status", "detail", "code", "definite"}

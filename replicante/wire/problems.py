"""The problem body (RFC 9457) and the registry of its codes, read off the error tree. Pure.

The server turns errors into problems, the client turns problems into errors; both look here.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from replicante import errors
from replicante.wire.values import Json

TYPE_PREFIX = "urn:replicante:problem:"
"""`type` is this and the code: an identifier that needs no host to exist."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """application/problem+json. `definite`: the request certainly changed nothing. `retry`: the
    same again, in a moment or at another peer, may well succeed. `outcome`:
    `unknown` when the write may still happen. `details`: facts for programs, by code.

    `error`, `error_msg`, `violations`, `resource` appear on the original's paths (/apply, /object,
    /list).
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    definite: bool
    retry: bool = False
    instance: str | None = None
    request_id: str | None = None
    index: int | None = None
    outcome: str | None = None
    path: str | None = None
    """Where in the request body the fault is, as `spec.nodes[0].name`."""
    blocked_by: tuple[Json, ...] = ()
    hints: tuple[str, ...] = ()
    details: dict[str, Json] = msgspec.field(default_factory=dict)
    error: bool | None = None
    error_msg: str | None = None
    violations: tuple[Json, ...] | None = None
    resource: dict[str, Json] | None = None
    """apiVersion and kind of what is not supported."""


OUTCOME_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """One code. title: short and the same for every occurrence; meaning: the default detail."""

    code: str
    status: int
    is_definite: bool
    is_retry: bool
    title: str
    meaning: str
    error: type[errors.ReplicanteError]


def problem_kinds() -> dict[str, ProblemKind]:
    """code → kind, for every code of errors/; the class that declares the code speaks for it,
    the most special one when several do."""
    return {
        error.code: _kind_of(error)
        for error in _error_classes(errors.ReplicanteError)
        if "code" in vars(error)
    }


def title_of(code: str) -> str:
    """`revision_mismatch` → `Revision mismatch`."""
    return code.replace("_", " ").capitalize()


def type_of(code: str) -> str:
    return TYPE_PREFIX + code


def error_of(problem: Problem) -> errors.ReplicanteError:
    """The typed error of a problem that a peer answered. A code that this version does not know
    becomes the nearest base: RequestError below 500, ReplicanteError above; `code`,
    `http_status` and `definite` of the instance are always those of the answer."""
    kind = _KINDS.get(problem.code)
    if kind is not None:
        cls = kind.error
    else:
        cls = errors.RequestError if problem.status < 500 else errors.ReplicanteError
    error = cls.__new__(cls)
    errors.ReplicanteError.__init__(error, problem.detail, hints=problem.hints, **_details(problem))
    # The answer knows better than this version's class: the codes of other versions stay visible.
    error.__dict__.update(
        code=problem.code,
        http_status=problem.status,
        definite=problem.definite,
        retry=problem.retry or cls.retry,
    )
    if isinstance(error, errors.Invalid):
        error.path = problem.path or ""
    return error


def _details(problem: Problem) -> dict[str, Json]:
    known = {
        "request_id": problem.request_id,
        "index": problem.index,
        "outcome": problem.outcome,
        "path": problem.path,
        "blocked_by": list(problem.blocked_by) or None,
        "violations": None if problem.violations is None else list(problem.violations),
    }
    present = {name: value for name, value in known.items() if value is not None}
    reserved = ("self", "message", "hints")
    return {k: v for k, v in problem.details.items() if k not in reserved} | present


def _error_classes(base: type[errors.ReplicanteError]) -> list[type[errors.ReplicanteError]]:
    found = [base]
    for child in base.__subclasses__():
        if child.__module__.startswith(errors.__name__ + "."):
            found.extend(_error_classes(child))
    return found


def _kind_of(error: type[errors.ReplicanteError]) -> ProblemKind:
    return ProblemKind(
        code=error.code,
        status=error.http_status,
        is_definite=error.definite,
        is_retry=error.retry,
        title=title_of(error.code),
        meaning=" ".join((error.__doc__ or "").split()),
        error=error,
    )


_KINDS = problem_kinds()

"""What is declared once must be complete: limits, error codes, room contracts."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

from source_tree import ROOT, allowed, is_text, project, python_files

from replicante import errors

UNITS = {"BYTES", "MS", "PATTERN", "INTEGER", "DEPTH", "FRACTION"}
SINGULAR = {"ADDRESS", "ACCESS", "PROCESS", "STATUS"}
BASES = {"KIB", "MIB", "GIB"}
LIMITS = "replicante/limits/"


def test_every_limit_names_its_unit():
    exceptions = allowed()["limits_without_unit"]
    nameless = [name for name in _limits() if not any(map(_is_unit, name.split("_")))]
    assert sorted(nameless) == sorted(exceptions), "a unit in the name, or a reason in allowed.toml"


def test_every_limit_is_used():
    used: set[str] = set()
    for source in python_files("replicante"):
        if not source.path.startswith(LIMITS):
            used |= {name.rpartition(".")[2] for _, name in source.references()}
    unused = {name for name in _limits() if name not in used and not _feeds_another(name)}
    assert unused == set(allowed()["limits_unused"]), "a bound that nothing enforces is a wish"


def test_every_limit_says_why():
    reasons = {
        statement.targets[0].id
        for tree in _limits_trees()
        for statement, after in pairwise(tree.body)
        if isinstance(statement, ast.Assign) and is_text(after)
    }
    silent = [name for name in _limits() if name not in reasons]
    assert not silent, f"no reason below: {', '.join(silent)}"


def test_every_error_code_means_one_thing():
    owners: dict[str, type[errors.ReplicanteError]] = {}
    for error in _error_classes():
        if "code" in vars(error):
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code), error
            owner = owners.setdefault(error.code, error)
            assert issubclass(error, owner), f"{error.__name__} takes the code of {owner.__name__}"


def test_every_error_that_can_be_raised_has_its_own_code():
    for error in _error_classes():
        own = "code" in vars(error) or error.code != errors.ReplicanteError.code
        assert error.__subclasses__() or own, f"{error.__name__} has no code"


def test_every_error_explains_itself_and_says_whether_it_is_definite():
    for error in _error_classes():
        assert (error.__doc__ or "").strip().endswith("."), f"{error.__name__}: docstring = message"
        assert isinstance(error.definite, bool)
        assert 400 <= error.http_status <= 599


def test_only_an_unknown_outcome_an_unreadable_answer_a_lost_lease_or_our_bug_is_indefinite():
    indefinite = {error.code for error in _error_classes() if not error.definite}
    assert indefinite <= {"internal", "fatal", "outcome_unknown", "bad_answer", "lease_lost"}


def test_every_room_is_named_by_a_contract():
    named = {
        module.removeprefix("replicante.").split(".")[0]
        for contract in project()["tool"]["importlinter"]["contracts"]
        for key in ("layers", "source_modules", "forbidden_modules")
        for layer in contract.get(key, ())
        for module in re.findall(r"replicante\.\w+", layer)
    }
    rooms = {
        path.name for path in (ROOT / "replicante").iterdir() if (path / "__init__.py").exists()
    }
    assert rooms <= named, "no contract in pyproject.toml knows of it"


def _error_classes(base: type[errors.ReplicanteError] = errors.ReplicanteError):
    found = [base]
    for child in base.__subclasses__():
        if child.__module__.startswith(errors.__name__ + "."):
            found += _error_classes(child)
    return found


def _limits() -> list[str]:
    return [
        statement.targets[0].id
        for tree in _limits_trees()
        for statement in tree.body
        if isinstance(statement, ast.Assign) and statement.targets[0].id not in BASES
    ]


def _is_unit(word: str) -> bool:
    """A unit of measure, or the plural of the thing that is counted."""
    return word in UNITS or (len(word) > 3 and word.endswith("S") and word not in SINGULAR)


def _feeds_another(name: str) -> bool:
    """Whether another limit, which is used itself, is computed from this one."""
    return any(
        isinstance(statement, ast.Assign)
        and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(statement.value))
        for tree in _limits_trees()
        for statement in tree.body
    )


def _limits_trees() -> list[ast.Module]:
    return [source.tree for source in python_files("replicante") if source.path.startswith(LIMITS)]

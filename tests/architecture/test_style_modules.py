"""The house rules, held over every Python file of the project."""

from __future__ import annotations

import style_rules as rules
from source_tree import allowed, python_files

CODE = ("replicante",)
WITH_SUITES = ("replicante", "tests", "jepsen-like", "bench", "docs")
ONLY_HERE = {
    rules.reads_time: "replicante/clock.py",
    rules.reads_chance: "replicante/entropy.py",
}
FOREIGN = {
    "lmdb": (
        "replicante/raft/lmdb_file.py",
        "replicante/raft/log_store.py",
        "replicante/raft/log_tables.py",
        "replicante/raft/snapshots.py",
        "replicante/storage/lmdb_",
    ),
    "pysyncobj": ("replicante/raft/engine", "replicante/raft/upstream_parts.py"),
    "click": ("replicante/cli/",),
    "aiohttp": (
        "replicante/api/",
        "replicante/client/",
        "replicante/server.py",
        "replicante/agents/",
        "replicante/platforms/client.py",
    ),
    "redis": ("replicante/agents/stores/redis/", "replicante/demo/"),
    "structlog": (
        "replicante/workers/doors.py",
        "replicante/telemetry/",
        "replicante/server.py",
        "replicante/api/",
        "replicante/cli/",
    ),
    "prometheus_client": ("replicante/telemetry/", "replicante/agents/sdk/metrics.py"),
    "uvloop": ("replicante/server.py", "replicante/cli/"),
}
"""A library is known where it is adapted; elsewhere its types and errors would leak."""


def test_files_hold_one_idea_and_stay_short():
    exceptions = allowed()["long_files"]
    _expect_none(rules.lines(source, exceptions) for source in python_files(*WITH_SUITES))


def test_functions_stay_short():
    exceptions = allowed()["long_functions"]
    _expect_none(rules.function_lines(source, exceptions) for source in python_files(*WITH_SUITES))


def test_every_module_says_what_it_is_for():
    _expect_none(rules.docstring(source) for source in python_files(*CODE, "bench", "jepsen-like"))


def test_annotations_are_never_evaluated():
    _expect_none(rules.future_annotations(source) for source in python_files(*WITH_SUITES))


def test_time_is_read_in_one_file():
    _expect_none(_outside(rules.reads_time))


def test_randomness_comes_from_one_file():
    _expect_none(_outside(rules.reads_chance))


def test_no_bytes_from_outside_choose_what_code_runs():
    _expect_none(rules.runs_foreign_bytes(source) for source in python_files(*CODE))


def test_only_supervisors_catch_everything():
    exceptions = allowed()["broad_excepts"]
    _expect_none(rules.broad_excepts(source, exceptions) for source in python_files(*CODE))


def test_only_the_command_line_prints():
    _expect_none(
        rules.prints(source)
        for source in python_files(*CODE)
        if not source.path.startswith("replicante/cli/")
    )


def test_nothing_is_marked_as_unfinished():
    _expect_none(rules.unfinished_marks(source) for source in python_files(*WITH_SUITES))


def test_pure_rooms_touch_nothing():
    _expect_none(rules.impure_imports(source) for source in python_files(*CODE))


def test_a_foreign_library_stays_in_its_room():
    _expect_none(
        rules.foreign_imports(source, library, rooms)
        for source in python_files(*CODE)
        for library, rooms in FOREIGN.items()
    )


def test_apply_computes_the_same_on_every_machine():
    _expect_none(rules.machine_dependence(source) for source in python_files(*CODE))


def test_no_test_waits_for_time():
    _expect_none(rules.sleeps(source) for source in python_files("tests"))


def test_every_exception_has_a_reason_and_names_something_that_exists():
    sources = {source.path: source for source in python_files()}
    for section in ("long_files", "long_functions", "broad_excepts"):
        for key, value in allowed()[section].items():
            path, _, function = key.partition(":")
            assert value.get("reason"), f"{key} in allowed.toml has no reason"
            assert path in sources, f"{key} in allowed.toml names no file"
            names = {item.name for item in sources[path].functions()}
            assert not function or function in names, f"{key} in allowed.toml names no function"


def _outside(rule):
    return (rule(source) for source in python_files(*CODE) if source.path != ONLY_HERE[rule])


def _expect_none(violations):
    found = [violation for group in violations for violation in group]
    assert not found, "\n" + "\n".join(found)

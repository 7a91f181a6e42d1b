"""Each house rule, seen failing on a bad sample and passing on a good one."""

from __future__ import annotations

import pytest
import style_rules as rules
from source_tree import parse

PLAIN = "replicante/x.py"
FUTURE = "from __future__ import annotations\n"

BAD = [
    (rules.docstring, PLAIN, "import json\n"),
    (rules.future_annotations, PLAIN, '"""Text."""\nx = 1\n'),
    (rules.reads_time, PLAIN, "import time\ntime.monotonic()\n"),
    (rules.reads_time, PLAIN, "import time as t\nclock = t.time_ns\n"),
    (rules.reads_time, PLAIN, "from time import monotonic as now\nnow()\n"),
    (rules.reads_time, PLAIN, "from datetime import datetime\ndatetime.now()\n"),
    (rules.reads_time, PLAIN, "import datetime\ndatetime.datetime.utcnow()\n"),
    (rules.reads_chance, PLAIN, "import random\n"),
    (rules.reads_chance, PLAIN, "from uuid import uuid4\nuuid4()\n"),
    (rules.reads_chance, PLAIN, "import os\nos.urandom(4)\n"),
    (rules.runs_foreign_bytes, PLAIN, "from pickle import loads\n"),
    (rules.prints, PLAIN, "print(1)\n"),
    (rules.unfinished_marks, PLAIN, "x = 1  # TO" + "DO: later\n"),
    (rules.impure_imports, "replicante/state/x.py", "import asyncio\n"),
    (rules.impure_imports, "replicante/model/x.py", "def f():\n    from os import path\n"),
    (
        rules.impure_imports,
        "replicante/raft/driver.py",
        "from replicante.clock import SystemClock\nSystemClock()\n",
    ),
    (
        rules.impure_imports,
        "replicante/raft/driver.py",
        "from replicante import entropy\nentropy.SystemEntropy()\n",
    ),
    (rules.impure_imports, PLAIN, '"""Decides. Pure; called by y."""\nimport threading\n'),
    (rules.impure_imports, PLAIN, '"""Pure: decides."""\nimport threading\n'),
    (rules.machine_dependence, "replicante/state/x.py", "hash('a')\n"),
    (rules.machine_dependence, "replicante/state/x.py", "x = 1 / 2\n"),
    (rules.sleeps, "tests/x.py", "from time import sleep\nsleep(1)\n"),
]

GOOD = [
    (rules.docstring, PLAIN, '"""Text."""\n'),
    (rules.future_annotations, PLAIN, '"""Text."""\n'),
    (rules.future_annotations, PLAIN, f'"""Text."""\n{FUTURE}x = 1\n'),
    (rules.reads_time, PLAIN, "clock.monotonic_ms()\ntime_ms = 1\n"),
    (rules.reads_chance, PLAIN, "import os\nos.fspath('x')\n"),
    (rules.prints, PLAIN, "stream.print(1)\n"),
    (rules.impure_imports, PLAIN, '"""Impure: touches the disk."""\nimport os\n'),
    (rules.impure_imports, "replicante/state/x.py", "import operator\n"),
    (rules.impure_imports, "replicante/state/x.py", "from replicante.entropy import Entropy\n"),
    (
        rules.impure_imports,
        "replicante/state/x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio\n",
    ),
    (rules.machine_dependence, "replicante/state/x.py", "x = 1 // 2\n"),
    (rules.machine_dependence, PLAIN, "x = 1 / 2\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_a_rule_sees_its_bad_sample(rule, path, text):
    assert list(rule(parse(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_leaves_good_code_alone(rule, path, text):
    assert not list(rule(parse(path, text)))


def test_a_library_is_seen_outside_of_its_room():
    source = parse(PLAIN, "import lmdb\n")
    assert list(rules.foreign_imports(source, "lmdb", ("replicante/storage/",)))
    assert not list(rules.foreign_imports(source, "lmdb", ("replicante/x",)))


LONG = "def f():\n" + "    x = 1\n" * 80


def test_a_long_function_fails_until_it_is_listed_and_may_not_grow():
    source = parse(PLAIN, LONG)
    assert list(rules.function_lines(source, {}))
    assert not list(rules.function_lines(source, {f"{PLAIN}:f": {"lines": 81}}))
    assert list(rules.function_lines(source, {f"{PLAIN}:f": {"lines": 80}}))


def test_a_listed_function_that_became_short_leaves_the_list():
    assert list(rules.function_lines(parse(PLAIN, "def f(): ...\n"), {f"{PLAIN}:f": {"lines": 90}}))


def test_a_nested_function_is_named_by_its_owners():
    source = parse(PLAIN, "class A:\n    def b(self):\n        def c(): ...\n")
    assert [function.name for function in source.functions()] == ["A.b", "A.b.c"]


def test_a_long_file_fails_until_it_is_listed_and_may_not_grow():
    source = parse(PLAIN, "x = 1\n" * 401)
    assert list(rules.lines(source, {}))
    assert not list(rules.lines(source, {PLAIN: {"lines": 401}}))
    assert list(rules.lines(source, {PLAIN: {"lines": 400}}))
    assert list(rules.lines(parse(PLAIN, "x = 1\n"), {PLAIN: {"lines": 500}}))


SWALLOWS = "class A:\n  def b(self):\n    try: f()\n    except {}: g()\n"


@pytest.mark.parametrize("caught", ["Exception", "BaseException", "(OSError, Exception)", ""])
def test_a_broad_except_fails_until_its_function_is_listed(caught):
    source = parse(PLAIN, SWALLOWS.format(caught))
    assert list(rules.broad_excepts(source, ()))
    assert not list(rules.broad_excepts(source, {f"{PLAIN}:A.b"}))


def test_a_narrow_except_and_a_clean_up_that_raises_again_pass():
    assert not list(rules.broad_excepts(parse(PLAIN, SWALLOWS.format("OSError")), ()))
    translated = "try: f()\nexcept BaseException as e:\n  g()\n  raise h(e) from e\n"
    assert not list(rules.broad_excepts(parse(PLAIN, translated), ()))
    again = "try: f()\nexcept BaseException:\n  g()\n  raise\n"
    assert not list(rules.broad_excepts(parse(PLAIN, again), ()))

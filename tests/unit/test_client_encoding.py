"""What goes out is what was meant: values that JSON would bend are refused, by path."""

from __future__ import annotations

import datetime
import json

import pytest

from replicante import limits
from replicante.client.encoding import (
    encode_value,
    path_text,
    precondition,
    read_call,
    write_call,
)
from replicante.client.options import Read, Write
from replicante.errors import Invalid
from replicante.wire import paths


def deep(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(1 << 63), (1 << 63) - 1, 1.5, -0.0, "", "ä\0", [], {}, [1, [2, {"a": None}]],
     deep(limits.VALUE_DEPTH_MAX - 1)],
)  # fmt: skip
def test_plain_values_are_carried_unchanged(value):
    assert json.loads(encode_value(value)) == value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "value"),
        ({"a": [1, float("inf")]}, "value.a[1]"),
        ({"a": {1: 2}}, "value.a"),
        ([b"bytes"], "value[0]"),
        ([{1, 2}], "value[0]"),
        ([datetime.date(2026, 1, 1)], "value[0]"),
        (1 << 63, "value"),
        (-(1 << 63) - 1, "value"),
        (int("9" * 30), "value"),
        ("\ud800", "value"),
        (deep(limits.VALUE_DEPTH_MAX), "value" + "[0]" * limits.VALUE_DEPTH_MAX),
        (deep(100_000), "value" + "[0]" * limits.VALUE_DEPTH_MAX),
    ],
)
def test_a_value_that_would_be_bent_is_refused_by_path(value, path):
    with pytest.raises(Invalid) as caught:
        encode_value(value)
    assert caught.value.path == path


def test_conditions_become_headers():
    assert precondition(expect_revision="12", must_not_exist=False) == {"If-Match": '"12"'}
    assert precondition(expect_revision=None, must_not_exist=True) == {"If-None-Match": "*"}
    assert precondition(expect_revision=None, must_not_exist=False) == {}


@pytest.mark.parametrize(("revision", "must_not_exist"), [("1", True), ('1"\r\nX: y', False)])
def test_conditions_that_contradict_or_break_the_header_are_refused(revision, must_not_exist):
    with pytest.raises(Invalid):
        precondition(expect_revision=revision, must_not_exist=must_not_exist)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "é", "x" * 129])
def test_a_key_that_breaks_the_header_is_refused(key):
    with pytest.raises(Invalid):
        write_call("PUT", "/", None, headers={}, write=Write(idempotency_key=key))


def test_a_staleness_goes_with_bounded_reads_only():
    query = dict(read_call("/x", Read.bounded(max_stale_ms=7)).query)
    assert query == {"consistency": "bounded", "max_stale_ms": "7"}
    with pytest.raises(Invalid):
        read_call("/x", Read(max_stale_ms=7))


def test_a_key_without_encoding_is_refused():
    with pytest.raises(Invalid):
        path_text(paths.kv_path, "\ud800")

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante import errors
from replicante.api.negotiate import Media
from replicante.api.strict_parse import join_path, parse_body, parse_json, parse_msgpack

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_json_and_msgpack_give_the_same_value(value):
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value
    assert parse_msgpack(msgpack.packb(value)) == value


HOSTILE_JSON = [
    (b"", ""),
    (b"   ", ""),
    (b"{", ""),
    (b'{"a":1', ""),
    (b'{"a":1}x', ""),
    (b'{"a":1} {"b":2}', ""),
    (b"{'a':1}", ""),
    (b'{"a":1,}', ""),
    (b"[1,]", ""),
    (b"\xff", ""),
    (b'"\xed\xa0\x80"', ""),
    (b"\xef\xbb\xbf{}", ""),
    (b'"\x01"', ""),
    (b"01", ""),
    (b"+1", ""),
    (b"1.", ""),
    (b"True", ""),
    (b'{"value": "\\ud800"}', "value"),
    (b'{"value": ["a", "\\uDFFF b"]}', "value[1]"),
    (b'{"a": {"\\ud800": 1}}', 'a["\\ud800"]'),
    (b'{"value": 123456789012345678901234567890}', "value"),
    (b'{"value": [9223372036854775808]}', "value[0]"),
    (b'{"value": -9223372036854775809}', "value"),
    (b'{"value": ' + b"9" * 5_000 + b"}", "value"),
    (b'{"value": {"x": NaN}}', "value.x"),
    (b'{"value": Infinity}', "value"),
    (b'{"value": -Infinity}', "value"),
    (b'{"value": 1e999}', "value"),
    (b'{"a": 1, "a": 2}', "a"),
    (b'{"spec": [{"b": {"c d": 1, "c d": 1}}]}', 'spec[0].b["c d"]'),
    (b"[" * 100_000, "[0]" * 40),
    (b'{"a":' * 100_000, "a" + ".a" * 39),
]


@pytest.mark.parametrize(("body", "path"), HOSTILE_JSON, ids=lambda value: repr(value)[:30])
def test_hostile_json_is_refused_with_the_path_of_its_fault(body, path):
    with pytest.raises(errors.Invalid) as caught:
        parse_json(body)
    if path or not body.startswith((b"[", b"{")):
        assert caught.value.path == path
    str(caught.value).encode("utf-8")
    caught.value.path.encode("utf-8")


HOSTILE_MSGPACK = [
    (b"", ""),
    (b"\xc1", ""),
    (msgpack.packb([1, 2])[:-1], ""),
    (msgpack.packb(1) + b"\x01", ""),
    (msgpack.packb({"value": b"raw"}), "value"),
    (msgpack.packb({"value": float("nan")}), "value"),
    (msgpack.packb({"value": [float("inf")]}), "value[0]"),
    (msgpack.packb({"value": 1 << 63}), "value"),
    (msgpack.packb({"value": {1: 2}}), "value"),
    (msgpack.packb({"value": msgpack.ExtType(5, b"x")}), "value"),
    (msgpack.packb({"value": msgpack.Timestamp(1)}), "value"),
    (b"\x82\xa1a\x01\xa1a\x02", "a"),
    (b"\xa3\xed\xa0\x80", ""),
    (b"\x91" * 600 + b"\xc0", "[0]" * 41),
    (b"\x91" * 100_000, ""),
    (b"\xdd\xff\xff\xff\xff" * 1_000, ""),
    (b"\xdf\xff\xff\xff\xff" * 1_000, ""),
    (b"\xc6\xff\xff\xff\xff", ""),
]


@pytest.mark.parametrize(("body", "path"), HOSTILE_MSGPACK, ids=lambda value: repr(value)[:30])
def test_hostile_msgpack_is_refused_with_the_path_of_its_fault(body, path):
    with pytest.raises(errors.Invalid) as caught:
        parse_msgpack(body)
    assert caught.value.path == path


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_being_refused(body):
    for media in (Media.JSON, Media.MSGPACK):
        try:
            parse_body(body, media)
        except errors.Invalid as exc:
            exc.path.encode()
            exc.message.encode()


@pytest.mark.parametrize(
    ("path", "name", "joined"),
    [
        ("", "a", "a"),
        ("a", "b-c", "a.b-c"),
        ("a", "1", 'a["1"]'),
        ("a", 'q"', 'a["q\\""]'),
        ("", "", '[""]'),
        ("", "x" * 300, "x" * 300),
        ("", "é" * 300, '["' + "é" * 100 + '…"]'),
    ],
)
def test_paths_can_be_read(path, name, joined):
    assert join_path(path, name) == joined

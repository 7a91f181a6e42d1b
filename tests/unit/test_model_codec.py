from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import Invalid
from replicante.limits import INTEGER_MAX, INTEGER_MIN, VALUE_DEPTH_MAX
from replicante.model.codec import (
    decode_value,
    encode_value,
    format_path,
    is_canonical,
    join_map,
    load_value,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5)
)
ANYTHING = st.recursive(
    SCALARS | st.floats() | st.integers() | st.text() | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
)


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def fault_of(value):
    with pytest.raises(Invalid) as caught:
        encode_value(value)
    return caught.value.path


@given(VALUES)
def test_a_value_comes_back_as_it_went_in(value):
    assert load_value(encode_value(value)) == value


@given(VALUES)
def test_types_are_kept(value):
    assert repr(load_value(encode_value([value]))).replace("-0.0", "0.0") == repr(
        _sorted([value])
    ).replace("-0.0", "0.0")


@given(VALUES)
def test_canonical_bytes_are_their_own_encoding(value):
    encoded = encode_value(value)
    assert is_canonical(encoded)
    assert encode_value(decode_value(encoded)) == encoded


@given(st.dictionaries(TEXT, SCALARS, max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_a_map_was_built_does_not_show(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert encode_value(dict(items)) == encode_value(value)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_a_value_or_invalid_and_nothing_else(raw):
    try:
        value = decode_value(raw)
    except Invalid:
        assert not is_canonical(raw)
    else:
        assert is_canonical(encode_value(value))


@given(ANYTHING)
def test_hostile_objects_are_a_value_or_invalid_and_nothing_else(value):
    try:
        encoded = encode_value(value)
    except Invalid:
        return
    assert is_canonical(encoded)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, "c0"),
        (False, "c2"),
        (True, "c3"),
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (-32, "e0"),
        (-33, "d0df"),
        (65_536, "ce00010000"),
        (INTEGER_MAX, "cf7fffffffffffffff"),
        (INTEGER_MIN, "d38000000000000000"),
        (1.0, "cb3ff0000000000000"),
        (0.0, "cb0000000000000000"),
        (-0.0, "cb0000000000000000"),
        ("é", "a2c3a9"),
        ("x" * 32, "d920" + "78" * 32),
        ([1, [2]], "92019102"),
        ({"b": 1, "a": 2}, "82a16102a16201"),
        ({"é": 1, "z": 2, "𐀀": 3, "\uffff": 4}, "84a17a02a2c3a901a3efbfbf04a4f090808003"),
    ],
)
def test_the_bytes_never_change(value, encoded):
    assert encode_value(value).hex() == encoded


def test_a_boolean_an_integer_and_a_float_are_three_values():
    assert len({encode_value(True), encode_value(1), encode_value(1.0)}) == 3


def test_a_tuple_is_a_list():
    assert encode_value((1, 2)) == encode_value([1, 2])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (INTEGER_MAX + 1, ""),
        (INTEGER_MIN - 1, ""),
        (10**30, ""),
        (math.nan, ""),
        ({"spec": {"a": [{"b": math.inf}]}}, "spec.a[0].b"),
        ({"spec": {"a": [0, -math.inf]}}, "spec.a[1]"),
        (["\ud800"], "[0]"),
        ({"\udfff": 1}, ""),
        ({"a": {1: 2}}, "a"),
        ({"a": {None: 2}}, "a"),
        ({"a b": b"raw"}, '["a b"]'),
        ({"a": bytearray()}, "a"),
        ({"a": {1, 2}}, "a"),
        ({"a": object()}, "a"),
        ({"a": msgpack.ExtType(1, b"x")}, "a"),
        ({"a": msgpack.Timestamp(1)}, "a"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_path(value, path):
    assert fault_of(value) == path


def test_the_path_begins_where_the_caller_says():
    with pytest.raises(Invalid) as caught:
        encode_value([math.nan], path=("spec", "nodes"))
    assert caught.value.path == "spec.nodes[0]"


def test_depth_ends_at_the_bound():
    encode_value(nested(VALUE_DEPTH_MAX))
    assert fault_of(nested(VALUE_DEPTH_MAX + 1)) == "[0]" * VALUE_DEPTH_MAX


@pytest.mark.parametrize("bomb", [b"\x91" * 100_000 + b"\x00", b"\x81\xa1a" * 100_000 + b"\x00"])
def test_a_depth_bomb_in_bytes_is_invalid(bomb):
    with pytest.raises(Invalid):
        decode_value(bomb)


def test_a_depth_bomb_in_objects_is_invalid():
    value = {}
    for _ in range(200_000):
        value = {"a": value}
    fault_of(value)
    # The interpreter itself would recurse while it frees the chain; take it apart link by link.
    while value:
        value = value.pop("a")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xc4\x01x",
        b"\xd4\x01x",
        b"\xa2\xff\xfe",
        b"\xa3\xed\xa0\x80",
        b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x81\x01\x02",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=lambda raw: raw.hex() or "empty",
)
def test_bytes_that_are_no_value_are_invalid(raw):
    with pytest.raises(Invalid):
        decode_value(raw)


def test_a_key_named_twice_is_named():
    with pytest.raises(Invalid, match="twice") as caught:
        decode_value(b"\x81\xa1x\x82\xa1a\x01\xa1a\x02")
    assert caught.value.path == "x.a"


@pytest.mark.parametrize("raw", [b"\xcc\x01", b"\xd9\x01x", b"\x82\xa1b\x01\xa1a\x02"])
def test_another_form_of_a_value_is_not_canonical_but_can_be_read(raw):
    decode_value(raw)
    assert not is_canonical(raw)


def test_a_float_of_four_bytes_is_read_and_stored_as_eight():
    assert encode_value(decode_value(b"\xca\x3f\x80\x00\x00")) == encode_value(1.0)


def test_a_joined_map_is_the_map_of_its_values():
    fields = {"a": encode_value([1]), "b": encode_value(None)}
    assert join_map(fields) == encode_value({"a": [1], "b": None})


def test_a_path_with_an_odd_key_can_be_read_back():
    assert format_path(("a", "b.c", 3, 'x"y')) == 'a["b.c"][3]["x\\"y"]'
    assert len(format_path(("k" * 10_000 + " ",))) < 100


def _sorted(value):
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str.encode)}
    return value

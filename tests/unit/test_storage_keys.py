"""Row keys: order, round trip, sizes and prefixes, on hostile parts."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replicante.limits import ROW_KEY_BYTES_MAX
from replicante.storage import keys
from replicante.storage.keys import (
    ABOVE_ALL_KEYS,
    decode_key,
    encode_key,
    encode_prefix,
    encoded_key_bytes,
    prefix_range,
)

TABLE = b"\x07"

# Zeros, ones and 0xff are where escaping goes wrong, so they come often.
hostile_bytes = st.one_of(
    st.binary(max_size=20), st.lists(st.sampled_from([0, 1, 2, 254, 255]), max_size=8).map(bytes)
)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
numbers = st.one_of(st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1, 255, 256, (1 << 64) - 1]))
part_by_kind = {bytes: hostile_bytes, str: texts, int: numbers}
shapes = st.lists(st.sampled_from([bytes, str, int]), min_size=1, max_size=4)


def parts_of(shape):
    return st.tuples(*(part_by_kind[kind] for kind in shape))


two_of_one_shape = shapes.flatmap(lambda shape: st.tuples(parts_of(shape), parts_of(shape)))


@given(two_of_one_shape)
def test_byte_order_is_tuple_order(pair):
    left, right = pair
    encoded_left, encoded_right = encode_key(TABLE, *left), encode_key(TABLE, *right)
    assert (encoded_left < encoded_right) == (left < right)
    assert (encoded_left == encoded_right) == (left == right)


@given(shapes.flatmap(lambda shape: st.tuples(st.just(shape), parts_of(shape))))
def test_a_key_decodes_to_the_parts_it_was_made_of(case):
    shape, parts = case
    assert decode_key(encode_key(TABLE, *parts), *shape) == parts


@given(shapes.flatmap(parts_of))
def test_the_size_is_known_without_encoding(parts):
    assert encoded_key_bytes(*parts) == len(encode_key(TABLE, *parts))


def test_the_size_of_an_impossible_key_is_told_and_encoding_it_is_our_bug():
    longest = b"k" * (ROW_KEY_BYTES_MAX - 1)
    assert len(encode_key(TABLE, longest)) == ROW_KEY_BYTES_MAX
    assert encoded_key_bytes(longest + b"k") == ROW_KEY_BYTES_MAX + 1
    with pytest.raises(AssertionError):
        encode_key(TABLE, longest + b"k")


def test_escaped_zeros_count_towards_the_size():
    zeros = bytes(200)
    assert encoded_key_bytes(zeros, b"x") == 1 + 400 + 2 + 1


@given(two_of_one_shape, st.data())
def test_a_prefix_range_holds_exactly_the_keys_with_these_first_parts(pair, data):
    left, right = pair
    assume(len(left) > 1)
    count = data.draw(st.integers(0, len(left) - 1))
    start, end = prefix_range(encode_prefix(TABLE, *left[:count]))
    assert start <= encode_key(TABLE, *left) < end
    assert (start <= encode_key(TABLE, *right) < end) == (right[:count] == left[:count])


@given(hostile_bytes, hostile_bytes)
def test_a_prefix_range_of_bytes_holds_exactly_what_begins_with_them(prefix, other):
    start, end = prefix_range(prefix)
    assert (start <= other < end) == other.startswith(prefix)
    assert start <= prefix + other < end


@pytest.mark.parametrize("prefix", [b"", b"\xff", b"\xff" * ROW_KEY_BYTES_MAX])
def test_a_prefix_without_a_successor_ends_above_all_keys(prefix):
    start, end = prefix_range(prefix)
    assert start <= b"\xff" * ROW_KEY_BYTES_MAX < end == ABOVE_ALL_KEYS


@pytest.mark.parametrize(
    ("encoded", "shape"),
    [
        (TABLE + b"abc", (int,)),
        (TABLE + bytes(9), (int,)),
        (TABLE + b"abc", (bytes, bytes)),
        (TABLE + b"a\x00", (bytes, bytes)),
        (TABLE + b"a\x00\x02b", (bytes, bytes)),
        (TABLE + b"\xff", (str,)),
    ],
)
def test_a_key_of_another_shape_is_refused(encoded, shape):
    with pytest.raises(ValueError):
        decode_key(encoded, *shape)


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_a_number_outside_64_bits_is_our_bug(number):
    with pytest.raises(OverflowError):
        encode_key(TABLE, number)


def test_the_end_mark_sorts_below_an_escaped_zero():
    assert keys.END < keys.ESCAPED_ZERO

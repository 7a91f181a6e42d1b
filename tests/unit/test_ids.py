from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replicante import ids

STAMPS = st.integers(0, ids.STAMP_MAX)


@given(STAMPS, STAMPS)
def test_text_order_of_stamps_is_numeric_order(left, right):
    assert (left < right) == (ids.format_stamp(left) < ids.format_stamp(right))


@given(STAMPS)
def test_a_formatted_stamp_parses_to_itself(stamp):
    assert ids.parse_stamp(ids.format_stamp(stamp)) == stamp


@given(
    st.integers(0, ids.GENERATION_MAX),
    st.integers(0, (1 << ids.POSITION_BITS) - 1),
    st.integers(0, ids.ORDINAL_MAX),
)
def test_a_stamp_keeps_generation_position_and_ordinal(generation, position, ordinal):
    stamp = ids.make_stamp(ids.make_index(generation, position), ordinal)
    assert 0 <= stamp <= ids.STAMP_MAX
    assert ids.generation_of(ids.stamp_index(stamp)) == generation
    assert ids.position_of(ids.stamp_index(stamp)) == position
    assert ids.stamp_ordinal(stamp) == ordinal


def test_text_that_is_no_stamp_parses_to_none():
    for text in ("", "-1", "+1", " 1", "1.0", "x", "٣", "9223372036854775808", "0" * 20):
        assert ids.parse_stamp(text) is None

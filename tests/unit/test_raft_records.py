"""A stored record proves itself: every flipped bit, torn tail and foreign place is seen."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raft_harness import genesis_record, history, record_after

from replicante.raft.records import (
    CHAIN_ZERO,
    BadRecord,
    CommandItem,
    OpenItem,
    decode_detail,
    decode_items,
    decode_record,
    encode_detail,
    encode_items,
    encode_record,
)
from replicante.raft.state_machine import EntryKind

UNSIGNED = st.integers(0, (1 << 63) - 1)
ITEMS = st.lists(
    st.one_of(
        st.builds(CommandItem, UNSIGNED, UNSIGNED, UNSIGNED, st.binary(max_size=40)),
        st.builds(OpenItem, st.text(max_size=8), st.text(max_size=8), UNSIGNED),
    )
)


@given(term=UNSIGNED, payload=st.binary(max_size=200), clock_ms=UNSIGNED)
def test_a_record_reads_back_as_it_was_written(term, payload, clock_ms):
    before = genesis_record("abc")
    record = record_after(before, term=term, payload=payload, clock_ms=clock_ms)
    assert decode_record(2, encode_record(record), chain_before=before.chain) == record
    assert len(encode_record(record)) == record.size_bytes


def test_every_flipped_bit_of_a_record_is_seen():
    record = record_after(genesis_record("abc"), term=3, payload=b"command", clock_ms=9)
    stored = encode_record(record)
    for place in range(len(stored)):
        for bit in range(8):
            damaged = bytearray(stored)
            damaged[place] ^= 1 << bit
            with pytest.raises(BadRecord):
                decode_record(2, bytes(damaged), chain_before=None)


def test_a_record_cut_at_any_byte_is_seen():
    stored = encode_record(record_after(genesis_record("abc"), term=3, payload=b"command"))
    for length in range(len(stored)):
        with pytest.raises(BadRecord):
            decode_record(2, stored[:length], chain_before=None)


def test_a_record_at_another_index_is_seen():
    stored = encode_record(record_after(genesis_record("abc"), term=3))
    with pytest.raises(BadRecord, match="checksum"):
        decode_record(3, stored, chain_before=None)


def test_a_record_of_another_history_is_seen():
    ours, theirs = history("abc", [1, 1]), history("abd", [1, 1])
    stored = encode_record(theirs[2])
    assert decode_record(3, stored, chain_before=theirs[1].chain) == theirs[2]
    with pytest.raises(BadRecord, match="chain"):
        decode_record(3, stored, chain_before=ours[1].chain)


def test_equal_histories_have_equal_chains_and_others_have_not():
    assert history("abc", [1, 2])[-1].chain == history("abc", [1, 2])[-1].chain
    chains = {
        history("abc", [1, 2])[-1].chain,
        history("abc", [2, 2])[-1].chain,
        history("abd", [1, 2])[-1].chain,
        history("abc", [1, 1, 2])[-1].chain,
    }
    assert len(chains) == 4 and CHAIN_ZERO not in chains


def test_another_version_of_the_layout_is_named():
    stored = bytearray(encode_record(genesis_record("abc")))
    stored[0] = 2
    with pytest.raises(BadRecord, match="record version 2; this program reads 1"):
        decode_record(1, bytes(stored), chain_before=None)


def test_a_stored_entry_of_format_1_stays_readable():
    """Written by the first version; every later one must read it, or refuse by its version."""
    stored = bytes.fromhex(GOLDEN)
    record = decode_record(7, stored, chain_before=None)
    assert (record.term, record.kind, record.clock_ms, record.wall_ms) == (
        3,
        EntryKind.COMMANDS,
        1_000,
        1_700_000_000_000,
    )
    assert decode_items(record.payload) == [
        OpenItem("p1", "disk", 4),
        CommandItem(65_536, 2, 1, b"command"),
    ]
    assert encode_record(record) == stored


GOLDEN = (
    "0104000000000000000300000000000003e80000018bcfe568009288524c7382fa9571598543d1b0"
    "a3e83bc2e942929401a27031a46469736b049500ce000100000201c407636f6d6d616e64"
)


@given(items=ITEMS)
def test_items_read_back_as_they_were_written(items):
    assert decode_items(encode_items(items)) == items


@given(payload=st.binary(max_size=100))
def test_bytes_that_are_no_items_raise_one_error_only(payload):
    with contextlib.suppress(BadRecord):
        decode_items(payload)


@pytest.mark.parametrize(
    "rows",
    [
        1,
        {"a": 1},
        [{}],
        [1],
        [[]],
        [[9, 1]],
        [[0, 1, 2]],
        [[0, 1, 2, 3, 4, 5]],
        [[1, "p", "d"]],
        ["0abc"],
    ],
)
def test_rows_of_another_shape_are_no_items(rows):
    with pytest.raises(BadRecord):
        decode_items(msgpack.packb(rows))


def test_a_detail_is_a_map():
    assert decode_detail(encode_detail({"leader": "p1"})) == {"leader": "p1"}
    for payload in (b"", b"\xc1", msgpack.packb([1])):
        with pytest.raises(BadRecord):
            decode_detail(payload)


def test_the_header_of_an_entry_of_commands_has_no_detail_and_that_of_genesis_has():
    records = history("abc", [1])
    assert records[1].header().detail == {}
    assert [row[0] for row in records[0].header().detail["voters"]] == ["a", "b", "c"]

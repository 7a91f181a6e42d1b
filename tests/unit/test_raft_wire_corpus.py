"""Bodies of messages that are kept: what peers of level 1 say, and what could do harm.

A line of tests/scenarios/wire/messages.json is either read as it says, by every later version, or
refused. What a fuzzer finds is added there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from replicante.raft import messages as m
from replicante.raft.frames import FrameError

CORPUS = json.loads((Path(__file__).parents[1] / "scenarios/wire/messages.json").read_text())
READABLE = [it for it in CORPUS if "reads_as" in it]
REFUSED = [it for it in CORPUS if "refused" in it]


def test_every_line_says_what_becomes_of_it():
    assert len(READABLE) + len(REFUSED) == len(CORPUS)
    assert len(REFUSED) >= 20


@pytest.mark.parametrize("line", READABLE, ids=lambda it: it["reads_as"].partition("(")[0])
def test_what_peers_say_is_read_and_said_in_the_same_bytes(line):
    body = bytes.fromhex(line["hex"])
    message = m.decode_message(body)
    assert repr(message) == line["reads_as"]
    assert m.encode_message(message) == body


def test_every_kind_of_message_is_kept():
    kinds = {type(m.decode_message(bytes.fromhex(it["hex"]))) for it in READABLE}
    assert kinds == set(get_args(m.Message))


@pytest.mark.parametrize("line", REFUSED, ids=lambda it: it["refused"])
def test_what_is_no_message_is_refused_and_harms_nobody(line):
    with pytest.raises(FrameError):
        m.decode_message(bytes.fromhex(line["hex"]))

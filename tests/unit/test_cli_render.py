"""Text for terminals and programs."""

from __future__ import annotations

import json

import pytest
import yaml

from replicante.cli.render import (
    Output,
    cut,
    document,
    json_line,
    json_text,
    pairs,
    shown,
    table,
    width,
)


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(("A", "LONG"), [("xyz", 1), (None, "")]) == "A     LONG\nxyz   1\n-"


def test_wide_and_combining_characters_count_as_what_they_take():
    assert width("日本") == 4
    assert width("e\u0301") == 1
    lines = table(("K", "V"), [("日本", 1), ("ab", 2)]).splitlines()
    assert width(lines[1].partition("1")[0]) == width(lines[2].partition("2")[0])


def test_long_cells_are_cut():
    assert cut("abcdef", width_max=4) == "abc…"
    assert cut("日本語", width_max=4) == "日…"
    assert cut("abcd", width_max=4) == "abcd"


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\nb", "\x7f", "\x9b", "\u202e", "\u2028", "\U000e0001"]
)
def test_control_characters_are_shown_and_stay_json(text):
    assert shown(text).isprintable()
    assert json.loads(f'"{shown(text)}"') == text
    assert json.loads(json_line([text])) == [text]
    assert json.loads(json_text({"a": text})) == {"a": text}


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"b": [1, {"a": None}], "a": "ä"}])
def test_documents_can_be_read_back(value):
    assert json.loads(document(value, Output.JSON)) == value
    assert yaml.safe_load(document(value, Output.YAML)) == value


def test_a_name_is_never_cut():
    name = "n" * 384
    assert table(("NAME", "VALUE"), [(name, "v" * 384)]).splitlines()[1].startswith(f"{name}   v")
    assert pairs([("name", name)]) == f"name   {name}"


def test_names_and_values_stand_below_each_other():
    assert pairs([("a", 1), ("long", None)]) == "a      1\nlong   -"

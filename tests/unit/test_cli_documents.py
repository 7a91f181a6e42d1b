"""Declarations are read whole or refused by place."""

from __future__ import annotations

import json

import pytest

from replicante.cli.documents import parse_documents
from replicante.errors import Invalid

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def test_many_documents_are_read_in_order_and_empty_ones_left_out():
    found = parse_documents("---\nkind: A\n---\n---\nkind: B\n...\n", name="x.yaml")
    assert [(it.kind, it.origin) for it in found] == [
        ("a", "x.yaml, document 1"),
        ("b", "x.yaml, document 3"),
    ]


def test_json_is_read_as_well():
    body = {"kind": "A", "spec": {"list": [1, 2.5, None, True, "ä"]}}
    assert parse_documents(json.dumps(body), name="x")[0].body == body


def test_aliases_may_be_used():
    found = parse_documents("a: &x {b: 1}\nc: *x\n", name="x")
    assert found[0].body == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no document"),
        ("---\n---\n", "no document"),
        ("- a\n", "document 1"),
        ("just text", "document 1"),
        ("a: 1\nb: [1\n", "line 3"),
        ("a: !!python/object/apply:os.system ['true']\n", "line 1"),
        (LAUGHS, "aliases"),
        ("a: &a [*a]\n", "aliases"),
        ("[" * 20_000, "deep"),
        ("\x00", "x"),
    ],
)
def test_what_is_no_declaration_is_refused_by_place(text, word):
    with pytest.raises(Invalid, match=word):
        parse_documents(text, name="x")

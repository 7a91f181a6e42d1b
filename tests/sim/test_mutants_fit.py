"""Every mutant still fits the code that it is made from."""

from __future__ import annotations

import ast

import pytest
from mutant_list import MUTANTS
from mutants import PACKAGE, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant):
    for path, text in mutated(PACKAGE, mutant.edits).items():
        ast.parse(text, filename=path)


def test_mutants_have_names_of_their_own():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)

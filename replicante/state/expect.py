"""What a command expects of a thing before it happens: compare-and-set, as a value. Pure.

Built by `api`, carried by commands, decided by `expectations`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from replicante.errors import Invalid


class Expect(msgspec.Struct, frozen=True):
    """What must be true of the thing for the command to happen: compare-and-set.

    Made by `absent()`, `present()`, `at(revision)`; a command without expectation has None.
    """

    code: int
    """A revision when positive, else _ABSENT or _PRESENT: its form in a packed command."""

    @classmethod
    def absent(cls) -> Expect:
        """There is no such thing (If-None-Match: *)."""
        return _EXPECT_ABSENT

    @classmethod
    def present(cls) -> Expect:
        """There is such a thing, at whatever revision."""
        return _EXPECT_PRESENT

    @classmethod
    def at(cls, revision: int) -> Expect:
        """The thing is there with exactly this revision, a stamp (If-Match: "<revision>").

        Raises Invalid for 0 and below, which no thing ever has.
        """
        if revision <= 0:
            raise Invalid("a revision is a positive number", path="expect")
        return cls(revision)


_ABSENT: Final = 0
_PRESENT: Final = -1
_EXPECT_ABSENT = Expect(_ABSENT)
_EXPECT_PRESENT = Expect(_PRESENT)


def pack_expect(expect: Expect | None) -> int | None:
    return None if expect is None else expect.code


def unpack_expect(code: Any) -> Expect | None:
    """Raises ValueError for what `pack_expect` never makes."""
    if code is None:
        return None
    if type(code) is not int or code < _PRESENT:
        raise ValueError("an expectation is a revision, 0 or -1")
    return Expect(code)

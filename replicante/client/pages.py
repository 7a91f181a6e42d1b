"""A list that comes page by page, as one. IO; called by the groups of calls that list something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
ItemOfPage = TypeVar("ItemOfPage", covariant=True)


class Page(Protocol[ItemOfPage]):
    @property
    def items(self) -> Sequence[ItemOfPage]: ...

    @property
    def next(self) -> str | None:
        """Cursor of the page that follows; None: there is none."""


async def every_item(page_at: Callable[[str | None], Awaitable[Page[Item]]]) -> AsyncIterator[Item]:
    """The items of all pages, each of which is asked for when the one before is used up.

    page_at: the page at a cursor, None for the first. Raises what it raises.
    """
    cursor: str | None = None
    while True:
        page = await page_at(cursor)
        for item in page.items:
            yield item
        if page.next is None:
            return
        cursor = page.next

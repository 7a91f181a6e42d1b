"""Pages of an LMDB file as bytes: what its meta pages say, the nodes of a page of a tree. Pure; a
leaf, called by lmdb_commits.

Layout: LMDB 0.9 (data version 1) of a 64-bit build, in the byte order of the machine, as in mdb.c.
Rule: no bytes make these functions fail in another way than by `Unsound`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""(offset, length) → those bytes of the file, fewer at its end."""

MAGIC = 0xBEEFC0DE
DATA_VERSION = 1
NO_PAGE = (1 << 64) - 1
META_PAGES = 2
PAGE_BYTES = frozenset(1 << bit for bit in range(8, 16))
META_PAGE, BRANCH, LEAF = 0x08, 0x01, 0x02
"""Of a page."""
LARGE, TABLE = 0x01, 0x02
"""Of a node: its data lies on pages of its own; its data is the record of a named table's tree."""

_HEADER = struct.Struct("=QHHHH")
"""Page number, padding, flags, end of the node offsets, begin of the nodes."""
_PREFIX = struct.Struct("=II16x")
"""Magic and version; an address and a size of the map, which say nothing about the content."""
_TREE = struct.Struct("=IHHQQQQQ")
_END = struct.Struct("=QQ")
_OFFSET = struct.Struct("=H")
_NODE = struct.Struct("=HHHH")
"""Low and high half of the data's size, flags, size of the key; in a branch the first three are the
number of a page."""
_NUMBER = struct.Struct("=Q")
META_BYTES = _HEADER.size + _PREFIX.size + 2 * _TREE.size + _END.size


class Unsound(Exception):
    """What is wrong with the file."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One of LMDB's trees, as its record tells it."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int

    @property
    def pages(self) -> int:
        return self.branch_pages + self.leaf_pages + self.overflow_pages

    @property
    def is_empty(self) -> bool:
        return self.root == NO_PAGE and not (self.depth or self.pages or self.entries)


@dataclass(frozen=True, slots=True)
class MetaPage:
    number: int
    """That it has by its place."""
    header: tuple[int, ...]
    magic: int
    version: int
    free: Tree
    main: Tree
    last_page: int
    commit: int
    """LMDB's mm_txnid."""

    @property
    def page_bytes(self) -> int:
        return self.free.pad  # LMDB keeps it there


@dataclass(frozen=True, slots=True)
class Node:
    flags: int
    child: int
    """In a branch: the page that it leads to."""
    key: bytes
    size: int
    """Of the data, in bytes."""
    data: bytes
    """In a leaf; of LARGE data the number of its first page."""

    def table(self) -> Tree | None:
        """That this node is the record of."""
        if self.flags != TABLE or len(self.data) != _TREE.size:
            return None
        return Tree(*_TREE.unpack(self.data))


def parse_meta_page(number: int, content: bytes) -> MetaPage:
    """content: its first META_BYTES, or less of a file that is too short."""
    content = content.ljust(META_BYTES, b"\0")
    at = _HEADER.size
    magic, version = _PREFIX.unpack_from(content, at)
    at += _PREFIX.size
    free, main = (Tree(*_TREE.unpack_from(content, at + skip)) for skip in (0, _TREE.size))
    last_page, commit = _END.unpack_from(content, at + 2 * _TREE.size)
    header = _HEADER.unpack_from(content)
    return MetaPage(number, header, magic, version, free, main, last_page, commit)


def read_tree_page(read: Read, meta: MetaPage, number: int) -> tuple[int, list[Node]]:
    """(BRANCH or LEAF, its nodes in the order of their keys) of page `number`. Raises Unsound."""
    if not META_PAGES <= number <= meta.last_page:
        raise Unsound(f"commit {meta.commit} leads to page {number}, which it does not have")
    content = read(number * meta.page_bytes, meta.page_bytes)
    if len(content) < meta.page_bytes:
        raise Unsound(f"commit {meta.commit} leads to page {number}, which the file lacks")
    found, _, kind, lower, _ = _HEADER.unpack_from(content)
    if found != number or kind not in (BRANCH, LEAF):
        raise Unsound(f"page {number}, to which commit {meta.commit} leads, is another one")
    count, rest = divmod(lower - _HEADER.size, _OFFSET.size)
    if rest or count <= 0:
        raise Unsound(f"page {number}, to which commit {meta.commit} leads, holds nothing")
    try:
        offsets = struct.unpack_from(f"={count}H", content, _HEADER.size)
        return kind, [_parse_node(content, at, kind) for at in offsets]
    except struct.error:
        raise Unsound(f"page {number} has a node that is none") from None


def _parse_node(content: bytes, at: int, kind: int) -> Node:
    low, high, flags, key_bytes = _NODE.unpack_from(content, at)
    begin = at + _NODE.size
    key = content[begin : begin + key_bytes]
    if kind == BRANCH:
        return Node(0, low | high << 16 | flags << 32, key, 0, b"")
    size = low | high << 16
    begin += key_bytes
    data = content[begin : begin + (_NUMBER.size if flags & LARGE else size)]
    return Node(flags, 0, key, size, data)


def noted_commit(node: Node) -> int:
    """Of a leaf of the free tree: the commit that noted its pages. Raises Unsound."""
    if len(node.key) != _NUMBER.size:
        raise Unsound("a note of free pages names no commit")
    return int(_NUMBER.unpack(node.key)[0])


def noted_pages(read: Read, meta: MetaPage, node: Node) -> int:
    """How many pages it notes. Raises Unsound."""
    return _number(_beginning(read, meta, node))


def large_pages(meta: MetaPage, node: Node) -> int:
    """How many pages of its own its data lies on."""
    if node.flags & LARGE:
        return (_HEADER.size - 1 + node.size) // meta.page_bytes + 1
    return 0


def _beginning(read: Read, meta: MetaPage, node: Node) -> bytes:
    if not node.flags & LARGE:
        return node.data
    number = _number(node.data)
    if not META_PAGES <= number <= meta.last_page:
        raise Unsound(f"commit {meta.commit} leads to page {number}, which it does not have")
    return read(number * meta.page_bytes + _HEADER.size, _NUMBER.size)


def _number(data: bytes) -> int:
    if len(data) < _NUMBER.size:
        raise Unsound("a note of free pages is cut short")
    return int(_NUMBER.unpack_from(data)[0])

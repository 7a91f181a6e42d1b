"""Whether the two pages by which LMDB finds its last commit can be believed. The judgement is pure,
the reading is IO; a leaf, called by raft.lmdb_file and storage before LMDB opens a file.

Commit N writes one of two meta pages, page N & 1, and LMDB opens the one that names the greater
commit. Neither has a checksum: a flipped bit in such a name opens the commit before the last one,
and what was acknowledged since is gone without a word. That the two are neighbours does not prove
them: of pages 6 and 5 the first becomes 4 by one bit, and 4 and 5 are neighbours too.

What proves a name is the tree of free pages that its meta page leads to. Each commit after the
first replaces a page, the root of the main tree at the least, and notes in that tree, under its own
number, what it replaced: so the greatest number there is the commit's. Both trees are whole
whenever nobody writes, after a crash too: commit N + 1 writes over no page that commit N or N - 1
leads to. And a commit accounts for each page that it has, once: meta pages, trees, free pages.

One page may lie and nothing is lost: where the write of commit N + 1's meta page fails, LMDB gives
that page its old name, N - 1, and leaves it leading to the trees of N + 1. LMDB passes it over,
since N is whole. Whoever saw the write fail notes what both pages are then (`note_failed_commit`):
as long as they are just that, nothing was committed since, and N is the last.

Not seen: both pages as they were at an earlier time, by a disk that lost the last write after it
had said that it kept it (ADR 0015).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from replicante.lmdb_pages import (
    BRANCH,
    DATA_VERSION,
    LEAF,
    MAGIC,
    META_BYTES,
    META_PAGE,
    META_PAGES,
    NO_PAGE,
    PAGE_BYTES,
    MetaPage,
    Read,
    Unsound,
    large_pages,
    noted_commit,
    noted_pages,
    parse_meta_page,
    read_tree_page,
)

_INTEGER_KEYS = 0x08
"""A flag of the tree of free pages, in every file of LMDB."""
_PAGES_MAX = 1 << 47
"""Far above any file; their places are numbers of 63 bits."""


def find_commit_damage(file: Path, *, left: bytes = b"") -> str | None:
    """Why the last commit of this LMDB file cannot be told. None when it can be; when there is no
    file, or an empty one; and when it is no file of this LMDB, which LMDB itself refuses.

    left: what `note_failed_commit` told this process. The file is open nowhere. Reads the meta
    pages, one page of names and the lists of free pages.
    """
    try:
        with file.open("rb") as stream:
            read = _reader(stream)
            damage = judge_commits(read)
            if damage is not None and _mark(read) in (left, _noted(file)):
                return None
            return damage
    except OSError:  # LMDB meets it too, and its caller says which
        return None


def note_failed_commit(file: Path) -> bytes:
    """Right after a commit that failed, by whoever tried it: the mark of both meta pages, which is
    also kept beside the file for the next start, durably, if the disk takes it."""
    try:
        with file.open("rb") as stream:
            mark = _mark(_reader(stream))
    except OSError:
        return b""
    with contextlib.suppress(OSError):
        _keep_durably(_note_of(file), mark)
    return mark


def judge_commits(read: Read) -> str | None:
    """`find_commit_damage` over the bytes of a file."""
    first = parse_meta_page(0, read(0, META_BYTES))
    # Where the second page lies is told by the first alone. With a wrong size it is not found.
    second = parse_meta_page(1, read(first.page_bytes, META_BYTES))
    if MAGIC not in (first.magic, second.magic):
        return None
    if first.magic == second.magic and first.version == second.version != DATA_VERSION:
        return None
    try:
        _check_pair(first, second)
        for meta in (first, second):
            _check_commit(read, meta)
    except Unsound as error:
        return str(error)
    return None


def _reader(stream: BinaryIO) -> Read:
    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return stream.read(length)

    return read


def _mark(read: Read) -> bytes:
    """Of the meta pages as they are."""
    page_bytes = parse_meta_page(0, read(0, META_BYTES)).page_bytes
    return hashlib.sha256(read(0, META_BYTES) + read(page_bytes, META_BYTES)).digest()


def _noted(file: Path) -> bytes:
    try:
        return _note_of(file).read_bytes()
    except OSError:
        return b""


def _keep_durably(path: Path, mark: bytes) -> None:
    """Over an older mark: a full disk may not give back the room of what is cut off. Raises
    OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, mark)
        os.fsync(file)
    finally:
        os.close(file)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _note_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.failed-commit")


def _check_pair(first: MetaPage, second: MetaPage) -> None:
    for meta in (first, second):
        if meta.header != (meta.number, 0, META_PAGE, 0, 0) or meta.magic != MAGIC:
            raise Unsound(f"page {meta.number} is not LMDB's meta page")
        if meta.version != DATA_VERSION or meta.page_bytes not in PAGE_BYTES:
            raise Unsound(f"meta page {meta.number} is of another format than the other one")
    kinds = [(it.page_bytes, it.free.flags, it.main.flags, it.main.pad) for it in (first, second)]
    if kinds[0] != kinds[1] or not first.free.flags & _INTEGER_KEYS:
        raise Unsound("its two meta pages describe two different files")
    older, newer = sorted((first, second), key=lambda meta: meta.commit)
    is_pair = newer.commit & 1 == newer.number and older.commit + 1 == newer.commit
    if newer.commit > 0 and not is_pair:
        raise Unsound(
            f"its meta pages tell of commits {first.commit} and {second.commit}, and no two commits"
            " in a row left them behind"
        )


def _check_commit(read: Read, meta: MetaPage) -> None:
    """That what the page leads to was written by the commit that it tells of, and is all of it."""
    if meta.last_page >= _PAGES_MAX:
        raise Unsound(f"meta page {meta.number} tells of more pages than a file can have")
    if meta.commit == 0:
        if not (meta.free.is_empty and meta.main.is_empty and meta.last_page == META_PAGES - 1):
            raise Unsound(f"meta page {meta.number} tells of no commit, and has pages")
        return
    table_pages = _count_table_pages(read, meta)
    noted, free_pages = _count_free_pages(read, meta)
    # The first commit wrote into an empty file, or is a compact copy: it replaced nothing.
    if noted != (meta.commit if meta.commit > 1 else 0):
        raise Unsound(
            f"meta page {meta.number} tells of commit {meta.commit}, and its pages are those of"
            f" commit {noted}"
        )
    pages = META_PAGES + meta.main.pages + table_pages + meta.free.pages + free_pages
    if pages != meta.last_page + 1:
        raise Unsound(
            f"commit {meta.commit} accounts for {pages} pages and has {meta.last_page + 1}"
        )


def _count_table_pages(read: Read, meta: MetaPage) -> int:
    """Of the named tables, whose records lie in the one leaf of the main tree: both rooms have two
    tables, and no rows beside them."""
    main = meta.main
    kind, nodes = read_tree_page(read, meta, main.root)
    tables = [table for table in (node.table() for node in nodes) if table is not None]
    if kind != LEAF or (main.depth, main.pages, main.leaf_pages) != (1, 1, 1):
        raise Unsound(f"the main tree of commit {meta.commit} is more than one page of names")
    if main.entries != len(nodes):  # LMDB calls a file new when it counts none
        raise Unsound(f"the main tree of commit {meta.commit} counts its names wrong")
    return sum(table.pages for table in tables)


def _count_free_pages(read: Read, meta: MetaPage) -> tuple[int, int]:
    """(greatest commit that noted free pages, how many are noted); (0, 0) where there are none."""
    free = meta.free
    noted, pages, overflow, entries = 0, 0, 0, 0
    counts = {BRANCH: 0, LEAF: 0}
    depths = {} if free.root == NO_PAGE else {free.root: 1}
    rest = list(depths)
    while rest:
        number = rest.pop()
        kind, nodes = read_tree_page(read, meta, number)
        counts[kind] += 1
        if kind == LEAF and depths[number] != free.depth:
            raise Unsound(f"the free pages of commit {meta.commit} are not as deep as they say")
        for node in nodes:
            if kind == LEAF:
                entries += 1
                overflow += large_pages(meta, node)
                noted = max(noted, noted_commit(node))
                pages += noted_pages(read, meta, node)
            elif node.child in depths:
                raise Unsound(f"the free pages of commit {meta.commit} are reached twice")
            else:
                depths[node.child] = depths[number] + 1
                rest.append(node.child)
    found = (counts[BRANCH], counts[LEAF], overflow, entries)
    if found != (free.branch_pages, free.leaf_pages, free.overflow_pages, free.entries):
        raise Unsound(f"the free pages of commit {meta.commit} are counted wrong")
    return noted, pages

"""LMDB opens the commit that it made last, or nothing is opened."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from meta_flips import META_BYTES, PAGE_BYTES

from replicante.limits import MIB
from replicante.lmdb_commits import find_commit_damage, judge_commits, note_failed_commit

COMMIT_AT = 144
"""Where in a meta page the number of its commit lies."""
WRITER = """
import random, sys, lmdb
environment = lmdb.open(sys.argv[1], map_size=1 << 28, max_dbs=2)
rows = environment.open_db(b"rows")
chance = random.Random(sys.argv[2])
while True:
    with environment.begin(write=True) as txn:
        for _ in range(20):
            key = b"%d" % chance.randrange(500)
            txn.put(key, bytes(chance.choice((1, 100, 3_000, 9_000))), db=rows)
    print(flush=True)
"""


def opened(path, *, map_bytes=16 * MIB):
    return lmdb.open(str(path), map_size=map_bytes, max_dbs=2)


def filled(path, *, commits_count: int) -> bytes:
    """A file with as many commits, the first of which makes a table."""
    with opened(path) as environment:
        table = environment.open_db(b"rows") if commits_count else None
        for number in range(1, commits_count):
            with environment.begin(write=True) as txn:
                txn.put(b"row", b"%d" % number, db=table)
    return (path / "data.mdb").read_bytes()


def judged(content: bytes) -> str | None:
    return judge_commits(lambda offset, length: content[offset : offset + length])


def commits_of(content: bytes) -> tuple[int, int]:
    first, second = (
        struct.unpack_from("=Q", content, page + COMMIT_AT)[0] for page in (0, PAGE_BYTES)
    )
    return first, second


def test_every_number_of_commits_is_believed(tmp_path):
    for count in range(9):
        content = filled(tmp_path / str(count), commits_count=count)
        assert max(commits_of(content)) == count
        assert judged(content) is None


def test_a_flipped_bit_in_the_number_of_a_commit_is_seen_whatever_the_number_is(tmp_path):
    """6 and 5 become 4 and 5: neighbours too."""
    for count in range(1, 12):
        content = filled(tmp_path / str(count), commits_count=count)
        for page in (0, PAGE_BYTES):
            for bit in range(64):
                flipped = bytearray(content)
                flipped[page + COMMIT_AT + bit // 8] ^= 1 << bit % 8
                assert judged(bytes(flipped)) is not None, (count, page, bit)


@pytest.mark.parametrize("part", ["log", "state"])
def test_a_flipped_bit_in_a_meta_page_is_refused_or_changes_nothing(tmp_path, part):
    """None opens with less than was there, and none ends the process."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("meta_flips.py")), part, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-300:]
    told = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [what for _, _, what in told] == ["refused", "the same"], done.stdout
    assert sum(int(times) for times, _, _ in told) == 2 * META_BYTES * 8


def test_a_copy_is_believed_and_what_is_written_into_it_too(tmp_path):
    filled(tmp_path / "whole", commits_count=7)
    for is_compact in (True, False):
        path = tmp_path / f"copy-{is_compact}"
        path.mkdir()
        with opened(tmp_path / "whole") as environment:
            environment.copy(str(path), compact=is_compact)
        assert find_commit_damage(path / "data.mdb") is None
        for number in range(3):
            with opened(path, map_bytes=64 * MIB) as environment:  # a larger map, as after a change
                assert find_commit_damage(path / "data.mdb") is None
                table = environment.open_db(b"rows", create=False)
                with environment.begin(write=True) as txn:
                    txn.put(b"more", b"%d" % number, db=table)
            assert find_commit_damage(path / "data.mdb") is None


def test_what_lmdb_does_with_its_pages_is_believed_after_every_commit(tmp_path):
    """Rows that need pages of their own, deletes, a reader that holds old pages, aborts, a map that
    is full: pages are freed, noted in pieces and used again."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with opened(tmp_path, map_bytes=4 * MIB) as environment:
        table = environment.open_db(b"rows")
        reader = environment.begin()
        fulls = 0
        for number in range(600):
            if number % 50 == 0:
                reader.abort()
                reader = environment.begin()
            try:
                with environment.begin(write=True) as txn:
                    for _ in range(chance.randrange(60)):
                        key = b"%d" % chance.randrange(400)
                        if chance.random() < 0.4:
                            txn.delete(key, db=table)
                        else:
                            size = chance.choice((1, 100, 3_000, 9_000, 50_000))
                            txn.put(key, bytes(size), db=table)
                    if chance.random() < 0.1:
                        txn.abort()
            except lmdb.MapFullError:
                fulls += 1
            assert find_commit_damage(tmp_path / "data.mdb") is None, number
        reader.abort()
    assert fulls


def test_what_a_killed_writer_leaves_behind_is_believed(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(chance.random())]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            for _ in range(chance.randrange(1, 100)):
                writer.stdout.readline()
            writer.kill()
            writer.wait(timeout=20)
        assert find_commit_damage(tmp_path / "data.mdb") is None


def test_a_commit_whose_meta_page_was_never_written_is_as_if_it_had_not_begun(tmp_path):
    """A crash between the pages of a commit and its meta page: the one before it is the last."""
    before = filled(tmp_path / "env", commits_count=6)
    with opened(tmp_path / "env") as environment:
        table = environment.open_db(b"rows", create=False)
        with environment.begin(write=True) as txn:
            txn.put(b"row", b"new", db=table)
    after = (tmp_path / "env" / "data.mdb").read_bytes()
    assert commits_of(after) == (6, 7)
    crashed = after[:PAGE_BYTES] + before[PAGE_BYTES : 2 * PAGE_BYTES] + after[2 * PAGE_BYTES :]
    assert commits_of(crashed) == (6, 5)
    assert judged(crashed) is None


def test_a_meta_page_that_is_older_than_its_neighbour_allows_is_refused(tmp_path):
    """As when the disk gives back what the page held a while ago."""
    old = filled(tmp_path / "env", commits_count=3)
    with opened(tmp_path / "env") as environment:
        table = environment.open_db(b"rows", create=False)
        for number in range(5):
            with environment.begin(write=True) as txn:
                txn.put(b"row", b"new %d" % number, db=table)
    content = (tmp_path / "env" / "data.mdb").read_bytes()
    assert commits_of(content) == (8, 7)
    assert "no two commits in a row" in judged(old[:PAGE_BYTES] + content[PAGE_BYTES:])
    stale = content[:PAGE_BYTES] + old[PAGE_BYTES : 2 * PAGE_BYTES] + content[2 * PAGE_BYTES :]
    assert "no two commits in a row" in judged(stale)


@pytest.fixture(scope="module")
def failing_meta_write(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "failing_meta_write.so"
    source = Path(__file__).with_name("failing_meta_write.c")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("part", ["log", "state"])
@pytest.mark.parametrize(("number", "error"), [("EIO", "FatalError"), ("ENOSPC", "DiskFull")])
def test_a_meta_page_that_could_not_be_written_is_no_damage_for_whoever_saw_it_fail(
    tmp_path, failing_meta_write, part, number, error
):
    """LMDB leaves it with its old number before the pages of the commit that failed."""
    script = Path(__file__).with_name("failing_meta_write.py")
    (tmp_path / part).mkdir()
    done = subprocess.run(
        [sys.executable, str(script), part, str(tmp_path / part), number],
        env={**os.environ, "LD_PRELOAD": str(failing_meta_write), "ARM": str(tmp_path / "arm")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.splitlines() == [f"failed: {error}", "holds: 5", "without a note: True"]


def test_a_note_of_a_failed_commit_is_of_these_meta_pages_and_no_others(tmp_path):
    content = bytearray(filled(tmp_path, commits_count=6))
    file = tmp_path / "data.mdb"
    content[COMMIT_AT] ^= 2
    file.write_bytes(content)
    mark = note_failed_commit(file)
    assert find_commit_damage(file) is None
    (tmp_path / "data.mdb.failed-commit").unlink()
    assert find_commit_damage(file) is not None
    assert find_commit_damage(file, left=mark) is None
    content[PAGE_BYTES + COMMIT_AT] ^= 4
    file.write_bytes(content)
    assert find_commit_damage(file, left=mark) is not None
    assert note_failed_commit(tmp_path / "nowhere") == b""


def test_numbers_that_no_file_can_have_are_damage(tmp_path):
    content = bytearray(filled(tmp_path, commits_count=6))
    for page in (0, PAGE_BYTES):
        struct.pack_into("=QQ", content, page + COMMIT_AT - 16, 1 << 60, 1 << 61)
    (tmp_path / "data.mdb").write_bytes(content)
    assert "more pages" in find_commit_damage(tmp_path / "data.mdb")


def test_what_is_no_file_of_this_lmdb_is_left_to_lmdb(tmp_path):
    content = bytearray(filled(tmp_path / "env", commits_count=2))
    for page in (0, PAGE_BYTES):
        content[page + 20] = 2  # another version, in both
    assert judged(bytes(content)) is None
    assert judged(b"") is None
    assert judged(bytes(10_000)) is None
    assert judged(b"not a database " * 1_000) is None
    assert find_commit_damage(tmp_path / "nowhere") is None
    assert find_commit_damage(tmp_path) is None


@given(data=st.data())
def test_no_bytes_make_the_look_fail(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "hostile-lmdb"
    content = bytearray(filled(path, commits_count=0 if path.exists() else 5))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    judged(bytes(content[:length]))

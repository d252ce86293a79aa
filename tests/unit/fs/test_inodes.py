"""Inode numbers: stable for texts and directories, new for every lookup of a stream, freed by forget."""

from __future__ import annotations

import pytest

from schemefs.fs.attributes import attributes_of
from schemefs.fs.inodes import EVICTION_THRESHOLD, GONE_THRESHOLD, ROOT, Inodes
from schemefs.log import LogRing
from schemefs.scheme import Caller, FollowedFile, Handle, Node, StaticDirectory, StreamFile, TextFile


class Stream(StreamFile):
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        raise NotImplementedError


@pytest.fixture
def inodes() -> Inodes:
    return Inodes(StaticDirectory({}))


def test_text_keeps_its_number_while_it_is_known(inodes: Inodes) -> None:
    text = TextFile(lambda: "")
    first = inodes.remember(text, inodes.root, None, b"t")
    assert inodes.remember(text, inodes.root, None, b"t") is first
    assert inodes.forget(first.number, 1)
    assert inodes[first.number] is first
    inodes.forget(first.number, 1)
    assert len(inodes) == 1
    assert inodes.remember(text, inodes.root, None, b"t").number != first.number


@pytest.mark.parametrize(
    ("node", "is_kept"),
    [
        (StaticDirectory({}).permanent(), True),
        (StaticDirectory({}, mode=0o500).permanent(), False),  # a kept name would skip the check of the caller's rights
        (StaticDirectory({}), False),  # it may go, as tcp/7
        (TextFile(lambda: ""), False),
        (Stream(), False),
    ],
)
def test_a_permanent_directory_that_all_may_enter_is_kept(inodes: Inodes, node: Node, *, is_kept: bool) -> None:
    shown = attributes_of(inodes.remember(node, inodes.root, None, b"x"))
    assert bool(shown.entry_timeout) == bool(shown.attr_timeout) == is_kept


def test_stream_gets_a_new_number_at_every_lookup(inodes: Inodes) -> None:
    stream = Stream()
    numbers = {inodes.remember(stream, inodes.root, None, b"s").number for _ in range(10)}
    assert len(numbers) == 10
    for number in numbers:
        inodes.forget(number, 1)
    assert len(inodes) == 1


def test_log_is_another_file_after_a_cut_and_open_ones_keep_their_offsets(inodes: Inodes) -> None:
    ring = LogRing(capacity=100)
    log = FollowedFile(ring)
    first = inodes.remember(log, inodes.root, None, b"log")
    ring.append("x" * 49)
    assert inodes.remember(log, inodes.root, None, b"log") is first
    assert attributes_of(first).st_size == 50
    ring.append("x" * 50)
    second = inodes.remember(log, inodes.root, None, b"log")
    assert second is not first
    assert inodes.remember(log, inodes.root, None, b"log") is second
    assert (attributes_of(first).st_size, attributes_of(second).st_size) == (101, 51)
    inodes.forget(first.number, 2)
    inodes.forget(second.number, 2)
    assert len(inodes) == 1


def test_number_is_never_used_again(inodes: Inodes) -> None:
    seen = set()
    for _ in range(100):
        inode = inodes.remember(Stream(), inodes.root, None, b"s")
        assert inode.number not in seen
        seen.add(inode.number)
        inodes.forget(inode.number, 1)


def test_forgetting_what_is_not_there_is_told(inodes: Inodes) -> None:
    assert not inodes.forget(77, 1)


def test_root_is_never_forgotten(inodes: Inodes) -> None:
    inodes.forget(ROOT, 5)
    assert inodes[ROOT] is inodes.root


def test_handle_goes_with_the_last_open_file(inodes: Inodes) -> None:
    inode = inodes.remember(Stream(), inodes.root, None, b"s")
    inode.handle = object()  # type: ignore[assignment]
    inode.opens = 2
    inode.closed()
    assert inode.handle is not None and not inode.ended
    inode.closed()
    assert inode.handle is None and inode.ended


def test_many_unused_names_are_offered_once_and_never_what_is_in_use(inodes: Inodes) -> None:
    told: list[int] = []
    inodes.on_eviction_due = lambda: told.append(len(inodes))
    directory = inodes.remember(StaticDirectory({}), inodes.root, None, b"d")
    opened = inodes.remember(Stream(), directory, None, b"open")
    opened.opens = 1
    for number in range(EVICTION_THRESHOLD):
        inodes.remember(Stream(), directory, None, b"%d" % number)
    assert told == [EVICTION_THRESHOLD + 1]
    names = inodes.unused()
    assert names == [(directory.number, b"%d" % number) for number in range(EVICTION_THRESHOLD)]
    assert inodes.unused() == []
    for number in range(2 * EVICTION_THRESHOLD):
        inodes.remember(Stream(), directory, None, b"more %d" % number)
    assert 2 <= len(told) <= 3


def test_directories_that_are_gone_are_offered_unless_another_has_their_name(inodes: Inodes) -> None:
    told: list[int] = []
    inodes.on_eviction_due = lambda: told.append(len(inodes))
    directories = [StaticDirectory({}) for _ in range(GONE_THRESHOLD)]
    for number, directory in enumerate(directories):
        inodes.remember(directory, inodes.root, None, b"%d" % number)
    for directory in directories:
        assert not told
        directory.gone()
    assert told == [GONE_THRESHOLD + 1]
    inodes.remember(StaticDirectory({}), inodes.root, None, b"7")
    names = inodes.unused()
    assert sorted(names) == sorted((ROOT, b"%d" % number) for number in range(GONE_THRESHOLD) if number != 7)
    assert inodes.unused() == []

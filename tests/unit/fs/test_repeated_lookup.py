"""A lookup repeated by the same thread and uid before an open returns the same inode; every other lookup a new one."""

from __future__ import annotations

import os

import pytest

from schemefs.fs import repeated_lookup
from schemefs.fs.inodes import Inode, Inodes
from schemefs.fs.repeated_lookup import KEPT, RepeatedLookups
from schemefs.scheme import Caller, Handle, StaticDirectory, StreamFile, TextFile


class Stream(StreamFile):
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        raise NotImplementedError


class Lookups:
    """Looks names up in the root directory."""

    def __init__(self) -> None:
        self.inodes = Inodes(StaticDirectory({}))
        self._lookups = RepeatedLookups(self.inodes)

    def __call__(self, name: bytes = b"s", *, thread: int = os.getpid(), uid: int = 1000) -> Inode:
        return self._lookups.inode_for(Caller(uid, 0, thread), Stream(), self.inodes.root, None, name)


@pytest.fixture
def lookup() -> Lookups:
    return Lookups()


def test_repeated_lookup_is_the_same_inode_until_it_is_opened(lookup: Lookups) -> None:
    first = lookup()
    assert lookup() is lookup() is first
    assert first.lookups == 3
    first.opened = True
    second = lookup()
    assert second.number != first.number
    assert lookup() is second


def test_repeated_lookup_opens_what_the_last_lookup_found(lookup: Lookups) -> None:
    inode = lookup()
    before = inode.node
    lookup()
    assert inode.node is not before


@pytest.mark.parametrize("other", [{"uid": 1001}, {"thread": 1}, {"name": b"t"}])
def test_lookup_of_another_caller_or_name_is_another_inode(lookup: Lookups, other: dict[str, int]) -> None:
    first = lookup()
    assert lookup(**other) is not first  # type: ignore[arg-type]


def test_callers_without_a_thread_number_never_share_an_inode(lookup: Lookups) -> None:
    assert len({lookup(thread=0).number for _ in range(100)}) == 100


def test_lookups_of_several_names_are_repeated(lookup: Lookups) -> None:
    """What cp from one stream to another does."""
    source, target = lookup(b"source"), lookup(b"target")
    assert lookup(b"source") is source
    assert lookup(b"target") is target


def test_inode_that_the_kernel_forgot_meanwhile_keeps_its_number(lookup: Lookups) -> None:
    """Another caller's lookup of the name drops it from the kernel's cache, and with it the inode."""
    first = lookup()
    lookup.inodes.forget(first.number, 1)
    assert lookup() is first
    assert lookup.inodes[first.number] is first
    assert first.lookups == 1
    lookup.inodes.forget(first.number, 1)
    assert len(lookup.inodes) == 1


def test_forget_that_arrives_after_the_repeated_lookup_counts(lookup: Lookups) -> None:
    first = lookup()
    lookup()
    lookup.inodes.forget(first.number, 1)
    assert lookup.inodes[first.number] is first


def test_eviction_asks_again_for_an_inode_that_was_looked_up_again(lookup: Lookups) -> None:
    first = lookup()
    assert lookup.inodes.unused() == [(1, b"s")]
    assert lookup.inodes.unused() == []
    lookup()
    assert lookup.inodes.unused() == [(1, b"s")]
    assert not first.opened


def test_thread_number_used_again_gets_another_inode(lookup: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_lookup, "NUMBER_IN_USE", 0.0)
    first = lookup()
    assert lookup() is first  # this process started before its first lookup
    first_of_old = lookup(thread=1 << 30)  # no such thread
    assert lookup(thread=1 << 30) is not first_of_old
    monkeypatch.setattr(repeated_lookup.time, "clock_gettime", lambda _clock: 0.0)
    at_boot = lookup(b"at boot")  # long before this process started
    monkeypatch.undo()
    monkeypatch.setattr(repeated_lookup, "NUMBER_IN_USE", 0.0)
    assert lookup(b"at boot") is not at_boot


def test_kept_lookups_are_limited(lookup: Lookups) -> None:
    first = lookup(b"first")
    for number in range(KEPT):
        lookup(b"%d" % number)
    assert lookup(b"first") is not first


def test_text_keeps_its_inode(lookup: Lookups) -> None:
    lookups = RepeatedLookups(lookup.inodes)
    text = TextFile(lambda: "")
    callers = (Caller(0, 0, 0), Caller(1, 0, 5), Caller(1, 0, 6))
    assert len({lookups.inode_for(caller, text, lookup.inodes.root, None, b"t").number for caller in callers}) == 1

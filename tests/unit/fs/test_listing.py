"""The names of an open directory: each made once, when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from schemefs.fs.listing import Listing
from schemefs.scheme import Node, TextFile


def test_entries_are_made_as_they_are_asked_for_and_kept() -> None:
    made: list[int] = []

    def entries() -> Iterator[tuple[str, Node]]:
        for number in range(10):
            made.append(number)
            yield str(number), TextFile()

    listing = Listing(entries())
    assert not made
    some = listing.after(0)
    first = [next(some) for _ in range(3)]
    assert made == [0, 1, 2]
    rest = listing.after(2)
    assert next(rest) is first[2]
    assert [name for name, _ in rest] == [str(number) for number in range(3, 10)]
    assert list(listing.after(10)) == []
    assert [name for name, _ in listing.after(0)] == [str(number) for number in range(10)]
    assert made == list(range(10))

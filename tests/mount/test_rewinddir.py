"""A directory that stays open and is listed again shows what is there now."""

from __future__ import annotations

import os

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def test_second_listing_of_an_open_directory_is_of_now(module_scheme_mount: SchemeMount) -> None:
    directory = os.open(module_scheme_mount.path / "tcp", os.O_RDONLY | os.O_DIRECTORY)
    before = os.listdir(directory)
    ctl = os.open(module_scheme_mount.path / "tcp/clone", os.O_RDWR)
    number = os.read(ctl, 20).decode().strip()
    assert sorted(os.listdir(directory)) == sorted([*before, number])
    os.close(ctl)
    assert os.listdir(directory) == before
    os.close(directory)


def test_directory_opened_before_a_change_lists_it(module_scheme_mount: SchemeMount, family: Family) -> None:
    directory = os.open(module_scheme_mount.path / "udp", os.O_RDONLY | os.O_DIRECTORY)
    file = os.open(module_scheme_mount.path / f"udp/{family.lo.at(9)}", os.O_RDWR)
    assert os.getxattr(file, "user.conversation").decode().partition("/")[2] in os.listdir(directory)
    os.close(file)
    os.close(directory)


def test_listing_that_is_read_in_parts_is_of_one_moment(module_scheme_mount: SchemeMount, family: Family) -> None:
    files = [os.open(module_scheme_mount.path / f"udp/{family.lo.at(9)}", os.O_RDWR) for _ in range(200)]
    with os.scandir(module_scheme_mount.path / "udp") as entries:
        names = [next(entries).name]
        while files:
            os.close(files.pop())
        names += [entry.name for entry in entries]
    assert len(names) == len(set(names)) >= 200

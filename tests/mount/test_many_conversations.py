"""Directories of thousands of conversations: listed in parts, and gone with what they show."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.fs.inodes import GONE_THRESHOLD
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import stats, wait_until

pytestmark = pytest.mark.needs("fuse")

MANY = 1000


@contextmanager
def clones(tcp: Path, count: int) -> Iterator[list[str]]:
    """Open as many conversations; yield their numbers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = [os.open(tcp / "clone", os.O_RDWR) for _ in range(count)]
    try:
        yield [os.read(file, 20).decode().strip() for file in files]
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_dead_directories_leave(module_scheme_mount: SchemeMount) -> None:
    mount = module_scheme_mount.path
    before = stats(mount / "stats")
    with clones(mount / "tcp", MANY) as numbers:
        assert set(numbers) < set(os.listdir(mount / "tcp"))
        listed = stats(mount / "stats")
        assert listed["inodes"] >= before["inodes"] + MANY
        # An inode, a directory and its name: none of the twelve files of each.
        assert listed["blocks"] - before["blocks"] < 60 * MANY
    wait_until(lambda: stats(mount / "stats")["inodes"] < before["inodes"] + 2 * GONE_THRESHOLD)


def test_a_process_in_a_dead_directory_still_reads_its_files(module_scheme_mount: SchemeMount) -> None:
    mount = module_scheme_mount.path
    before = Path.cwd()
    with clones(mount / "tcp", 1) as (number,):
        os.chdir(mount / "tcp" / number)
        assert Path("status").read_text().startswith("state=UNCONNECTED\n")
    try:
        with clones(mount / "tcp", 2 * GONE_THRESHOLD):
            os.listdir(mount / "tcp")
        wait_until(lambda: stats(mount / "stats")["inodes"] < 2 * GONE_THRESHOLD)
        assert Path("status").read_text().startswith("state=UNCONNECTED\n")
        assert "status" in os.listdir()
    finally:
        os.chdir(before)


def test_a_directory_whose_number_was_given_out_again_keeps_its_path(module_scheme_mount: SchemeMount) -> None:
    mount = module_scheme_mount.path
    before = Path.cwd()
    with clones(mount / "tcp", 1) as (number,):
        os.stat(mount / "tcp" / number)
    file = os.open(mount / "tcp/clone", os.O_RDWR)
    try:
        while os.read(file, 20).decode().strip() != number:
            os.close(file)
            file = os.open(mount / "tcp/clone", os.O_RDWR)
        os.chdir(mount / "tcp" / number)
        with clones(mount / "tcp", 2 * GONE_THRESHOLD):
            os.listdir(mount / "tcp")
        wait_until(lambda: stats(mount / "stats")["inodes"] < 2 * GONE_THRESHOLD)
        assert os.getcwd() == str(mount / "tcp" / number)
        assert Path("status").exists()
    finally:
        os.chdir(before)
        os.close(file)

"""A scheme that overrides only `open`: what the mount makes of its paths, and what it adds."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from path_scheme import PathScheme

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import stats

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture(scope="module")
def mounted(_no_leftovers: None) -> Iterator[SchemeMount]:
    with SchemeMount(schemes=[PathScheme], log_level="info") as mount:
        yield mount


@pytest.fixture
def paths(mounted: SchemeMount) -> Path:
    return mounted.path / "paths"


def failure(path: Path, flags: int = os.O_RDWR) -> tuple[int | None, str]:
    """Return the errno of an open, and what `err` says then."""
    with pytest.raises(OSError) as caught:
        os.close(os.open(path, flags))
    return caught.value.errno, (path.parent / "err").read_text().rstrip()


def test_the_directory_is_readme_and_err(mounted: SchemeMount, paths: Path) -> None:
    assert sorted(os.listdir(paths)) == ["README", "err"]
    assert "Open any path." in (paths / "README").read_text()
    assert "paths/     Open any path." in (mounted.path / "README").read_text()
    assert (paths / "err").read_text() == ""


def test_every_name_is_a_file_that_only_open_makes(mounted: SchemeMount, paths: Path) -> None:
    first = read_line(paths / "call:1", os.O_RDONLY)
    for _ in range(3):
        status = (paths / "call:2").stat()
        assert (status.st_mode, status.st_size, status.st_uid) == (0o100666, 0, 0)
    assert (paths / ".hidden").exists()
    count = int(first.split()[3])
    assert read_line(paths / "call:2", os.O_RDWR) == f"call:2 2 {os.getuid()} {count + 1}\n"
    assert stats(mounted.path / "stats")["streams"] == 0


def read_line(path: Path, flags: int) -> str:
    descriptor = os.open(path, flags)
    try:
        return os.read(descriptor, 1000).decode()
    finally:
        os.close(descriptor)


def test_a_path_with_a_slash(paths: Path) -> None:
    """A name is a file, so the kernel walks through none; %2F stands for a slash."""
    with pytest.raises(NotADirectoryError):
        os.open(paths / "call:a/b", os.O_RDONLY)
    assert read_line(paths / "call:a%2Fb", os.O_RDONLY).startswith("call:a/b 0 ")


def test_a_refused_open_is_explained(paths: Path) -> None:
    assert failure(paths / "refused:it") == (errno.ECONNREFUSED, "it refuses")


def test_an_open_that_waits(paths: Path) -> None:
    """Until its time is up; not at all with O_NONBLOCK where the handle must open at once."""
    began = time.monotonic()
    assert failure(paths / "opening:0.2")[0] == errno.EAGAIN
    assert time.monotonic() - began >= 0.2
    assert failure(paths / "opening:0", os.O_RDWR | os.O_NONBLOCK)[0] == errno.EAGAIN


def test_files_of_the_machine_are_read_for_an_open(paths: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("of the machine\n")
    name = str(tmp_path / "text").replace("/", "%2F")
    assert read_line(paths / f"file:{name}", os.O_RDONLY) == "of the machine\n"
    number, sentence = failure(paths / "file:%2Fno%2Fsuch")
    assert (number, sentence) == (errno.ENOENT, "/no/such can't be read: No such file or directory")


def test_one_inode_is_one_conversation(paths: Path) -> None:
    """Two opens of a path are two; /dev/fd/N of an open file is opened through its handle."""
    script = f"exec 3<>{paths}/any 4<>{paths}/any; echo one >&3; head -c 3 <&3; timeout 0.2 head -c 1 <&4; echo $?"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "one124\n"
    script = f"exec 3<>{paths}/any; head -c 12 </dev/fd/3"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "opened again"

"""A daemon without a free file descriptor: each call that needs one fails with EMFILE and a sentence; then all works.

The limit of the running daemon is lowered below its open files, so that every open in it fails.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from schemefs.fs import mountinfo
from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

SENTENCE = "the daemon has no file descriptor left: its limit (ulimit -n) must be higher"
SOON = 10.0
EVENT_READ = 1  # Redox's
RECORD = struct.Struct("<QQQ")  # descriptor, flags, data


@contextmanager
def limited(mount: SchemeMount, limit: int) -> Iterator[None]:
    limits = resource.prlimit(mount.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mount.pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(mount.pid, resource.RLIMIT_NOFILE, limits)


def no_descriptor_left(mount: SchemeMount) -> AbstractContextManager[None]:
    return limited(mount, 3)  # standard input, output and error are open


def descriptors(mount: SchemeMount) -> int:
    """Return the lowest free descriptor of the daemon."""
    used = {int(name) for name in os.listdir(f"/proc/{mount.pid}/fd")}
    return next(number for number in count() if number not in used)


def opening(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR))


def writing(path: Path, octets: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(octets)


@pytest.fixture
def authority(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate\n")
    return str(file).replace("/", "%2F")


def fails(mount: SchemeMount, act: Callable[[], None], scheme: str) -> None:
    """Check that *act* fails with EMFILE without a descriptor, that err says why, and that the mount goes on."""
    with no_descriptor_left(mount):
        with pytest.raises(OSError, match="Too many open files") as refused:
            act()
        assert refused.value.errno == errno.EMFILE
        if scheme:
            assert (mount.path / scheme / "err").read_text().strip() == SENTENCE
        opening(mount.path / "tcp/:0")  # this needs no descriptor of the daemon
    assert observing.stats(mount.path / "stats")["unexpected"] == 0
    assert "Traceback" not in mount.log()


def test_files_of_options(module_scheme_mount: SchemeMount, authority: str, family: Family) -> None:
    path = module_scheme_mount.path / f"tls/{family.lo.at(7700)},ca={authority}"
    fails(module_scheme_mount, lambda: opening(path), "tls")
    with pytest.raises(OSError, match="Invalid argument"):
        opening(path)


def test_more_opens_at_once_than_descriptors(module_scheme_mount: SchemeMount, authority: str, family: Family) -> None:
    """Some have their file read, which holds no certificate; the others are refused."""
    path = module_scheme_mount.path / f"tls/{family.lo.at(7700)},ca={authority}"
    ends: Counter[int | None] = Counter()

    def open_it() -> None:
        try:
            opening(path)
        except OSError as error:
            ends[error.errno] += 1

    threads = [threading.Thread(target=open_it) for _ in range(60)]
    with limited(module_scheme_mount, descriptors(module_scheme_mount) + 12):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errno.EMFILE in ends
    assert set(ends) <= {errno.EMFILE, errno.EINVAL}
    assert ends.total() == 60
    assert "Traceback" not in module_scheme_mount.log()


@pytest.mark.parametrize("limit", [5, 7, 9, 11])
def test_a_start_with_too_few(limit: int, tmp_path: Path) -> None:
    command = f"ulimit -n {limit}; exec {sys.executable} -m schemefs mount {tmp_path} --driver loopback"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=30)
    if done.returncode == 0:
        subprocess.run([sys.executable, "-m", "schemefs", "umount", tmp_path], check=True, timeout=30)
        return
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "limit" in done.stderr


def test_the_trust_of_the_system_is_loaded_later(module_scheme_mount: SchemeMount, family: Family) -> None:
    """OpenSSL ignores that it can't open its file; the context without certificates must not be kept."""
    path = module_scheme_mount.path / f"tls/{family.lo.at(7701)}"
    fails(module_scheme_mount, lambda: opening(path), "tls")
    with pytest.raises(ConnectionRefusedError):
        opening(path)


def test_counters(module_scheme_mount: SchemeMount) -> None:
    fails(module_scheme_mount, lambda: print((module_scheme_mount.path / "stats").read_text()), "")


def test_a_descriptor_to_watch(module_scheme_mount: SchemeMount) -> None:
    tree = module_scheme_mount.path
    listener = os.open(tree / "tcp/:0", os.O_RDWR)
    record = RECORD.pack(listener, EVENT_READ, 0)
    fails(module_scheme_mount, lambda: writing(tree / "event/raw", record), "event")
    writing(tree / "event/raw", record)
    os.close(listener)


@pytest.mark.parametrize(("node", "octets"), [("config", b"forward = true\n"), ("resolv/nameserver", b"::1")])
def test_a_text_whose_writer_can_not_be_watched(module_scheme_mount: SchemeMount, node: str, octets: bytes) -> None:
    text = module_scheme_mount.path / "netcfg" / node
    before = text.read_text()
    fails(module_scheme_mount, lambda: writing(text, octets), "netcfg")
    assert text.read_text() == before


def test_a_text_that_is_closed(module_scheme_mount: SchemeMount) -> None:
    """Whether the writer was killed, or has the file open elsewhere, is looked up when it closes."""
    config = module_scheme_mount.path / "netcfg/config"
    before = config.read_text()
    file = os.open(config, os.O_WRONLY | os.O_TRUNC)
    os.write(file, b"forward = true\n")
    fails(module_scheme_mount, lambda: os.close(file), "netcfg")
    wait_until(lambda: observing.stats(module_scheme_mount.path / "stats")["files"] <= 1, "it is not released")
    assert config.read_text() == before


@pytest.mark.needs("root", "tap")
def test_an_interface_to_add(_no_leftovers: None) -> None:
    with SchemeMount(prefix=["unshare", "--net"]) as mount:
        add = mount.path / "netcfg/ifaces/add"
        line = b"eth0 tap emfile0 host_address 10.99.0.2/24 address 10.99.0.1/24\n"
        fails(mount, lambda: writing(add, line), "netcfg")
        lowest_free = descriptors(mount)
        for more in range(1, 40):  # the device, the sockets, the modules: each is the first that can't be opened
            with limited(mount, lowest_free + more):
                try:
                    writing(add, line)
                except OSError as error:
                    assert error.errno == errno.EMFILE, (mount.path / "netcfg/err").read_text()
                    wait_until(lambda: descriptors(mount) == lowest_free, "descriptors are left open")
                else:
                    break
        assert (mount.path / "netcfg/ifaces/eth0").exists()
        assert "Traceback" not in mount.log()


def test_the_end_of_the_mount(_no_leftovers: None) -> None:
    mount = SchemeMount()
    with limited(mount, descriptors(mount)):  # that of /dev/fuse is free once it is closed
        os.kill(mount.pid, signal.SIGTERM)
        assert mount._daemon.wait(SOON) == 0
    assert "Traceback" not in mount.log()
    assert mountinfo.mounted_at(str(mount.path)) is None
    mount.close()

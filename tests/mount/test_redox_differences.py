"""docs/redox.md, "The same operation with another result": each row is tested, and each test has its row."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from path_scheme import PathScheme

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

PAGE = (Path(__file__).parents[2] / "docs" / "redox.md").read_text()
SECTION = PAGE.split("## The same operation with another result\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| (.*?) \| (.*) \| .* \|$", SECTION, re.MULTILINE)[1:]


class Mounted(NamedTuple):
    path: Path
    family: Family


Check = Callable[[Mounted], None]
CHECKS: list[tuple[str, Check]] = []  # in the order of the rows


def row(here: str) -> Callable[[Check], Check]:
    """Mark the check of the row whose second cell starts with *here*."""

    def mark(check: Check) -> Check:
        CHECKS.append((here, check))
        return check

    return mark


def write(path: Path, octets: bytes) -> int:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return os.write(descriptor, octets)
    finally:
        os.close(descriptor)


def refused(path: Path, line: str) -> int | None:
    with pytest.raises(OSError) as caught:
        write(path, f"{line}\n".encode())
    return caught.value.errno


@row("it names `lo`")
def loopback(at: Mounted) -> None:
    assert "127.0.0.0/8  dev lo " in (at.path / "netcfg/route/list").read_text()


@row("ENOENT")
def absent_rule(at: Mounted) -> None:
    assert refused(at.path / "netcfg/route/rm", at.family.link) == errno.ENOENT


@row("EINVAL")
def extra_words(at: Mounted) -> None:
    assert refused(at.path / "netcfg/route/add", f"{at.family.link} via {at.family.lo} nonsense") == errno.EINVAL


@row("EINVAL")
def host_bits(at: Mounted) -> None:
    assert refused(at.path / "netcfg/route/add", f"{at.family.absent}/24 via {at.family.lo}") == errno.EINVAL


@row("EEXIST; `metric 5`")
def two_defaults(at: Mounted) -> None:
    add, remove = at.path / "netcfg/route/add", at.path / "netcfg/route/rm"
    write(add, b"default dev lo\n")
    assert refused(add, "default dev lo") == errno.EEXIST
    write(add, b"default dev lo metric 5\n")
    assert (at.path / "netcfg/route/list").read_text().count("default ") == 2
    write(remove, b"default\n")
    assert "default " not in (at.path / "netcfg/route/list").read_text()


@row("ENETUNREACH")
def unreachable_gateway(at: Mounted) -> None:
    assert refused(at.path / "netcfg/route/add", f"{at.family.link} via {at.family.unrouted}") == errno.ENETUNREACH


@row("any number of lines")
def several_lines(at: Mounted) -> None:
    one, other = at.family.link, f"{at.family.unrouted}/{at.family.bits}"
    write(at.path / "netcfg/route/add", f"{one} dev lo\n{other} dev lo\n".encode())
    assert other in (at.path / "netcfg/route/list").read_text()
    write(at.path / "netcfg/route/rm", f"{one}\n{other}\n".encode())
    servers = f"{at.family.ours}\n{at.family.peer}\n"
    write(at.path / "netcfg/resolv/nameserver", servers.encode())
    assert (at.path / "netcfg/resolv/nameserver").read_text() == servers


@row("ENOENT")
def unknown_node(at: Mounted) -> None:
    with pytest.raises(FileNotFoundError):
        os.open(at.path / "netcfg/nothing", os.O_RDONLY)


@row("EISDIR; `ls`")
def directory(at: Mounted) -> None:
    descriptor = os.open(at.path / "netcfg/route", os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        os.read(descriptor, 100)
    os.close(descriptor)
    assert {"add", "list", "rm"} <= set(os.listdir(at.path / "netcfg/route"))


@row("0644; they read as empty")
def write_only(at: Mounted) -> None:
    for name in ("route/add", "route/rm", "ifaces/lo/addr/set"):
        assert stat.S_IMODE((at.path / "netcfg" / name).stat().st_mode) == 0o644
        assert (at.path / "netcfg" / name).read_bytes() == b""


@row("EDESTADDRREQ")
def no_destination(at: Mounted) -> None:
    descriptor = os.open(at.path / "udp/:0", os.O_RDWR)
    with pytest.raises(OSError) as caught:
        os.write(descriptor, b"x")
    assert caught.value.errno == errno.EDESTADDRREQ
    os.close(descriptor)


@row("the rest of the reply is lost")
def short_read(at: Mounted) -> None:
    descriptor = os.open(at.path / f"icmp/echo/{at.family.lo}", os.O_RDWR)
    os.write(descriptor, b"\0\1first")
    assert os.read(descriptor, 4) == b"\0\1fi"
    os.write(descriptor, b"\0\2second")
    assert os.read(descriptor, 100) == b"\0\2second"
    os.close(descriptor)


@row("it switches the time-out off")
def zero_time(at: Mounted) -> None:
    descriptor = os.open(at.path / f"icmp/echo/{at.family.lo}", os.O_RDWR)
    setting = at.path / os.getxattr(descriptor, "user.conversation").decode() / "settings/read_timeout.raw"
    write(setting, struct.pack("=qi4x", 1, 0))
    assert len(setting.read_bytes()) == 16
    write(setting, struct.pack("=qi4x", 0, 0))
    assert setting.read_bytes() == b""
    os.close(descriptor)


@row("ports 1 to 1023")
def privileged_ports(at: Mounted) -> None:
    if os.geteuid() == 0:
        os.chdir(at.path)  # the way to the mount is closed to other users
        try:
            command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c"]
            done = subprocess.run([*command, "true <>tcp/:1024 && true <>tcp/:1023"], capture_output=True, text=True)
        finally:
            os.chdir("/")
        assert ("1024" in done.stderr, ":1023: Permission denied" in done.stderr) == (False, True)


@row("it removes by descriptor")
def removal(at: Mounted) -> None:
    listener = os.open(at.path / "udp/:0", os.O_RDWR)
    queue = os.open(at.path / "event/raw", os.O_RDWR)
    os.write(queue, struct.pack("=QQQ", listener, 2, 99))  # writable, as it is now
    assert select.select([queue], [], [], 5)[0]
    os.write(queue, struct.pack("=QQQ", listener, 0, 0))
    assert not select.select([queue], [], [], 0)[0]
    os.close(queue)
    os.close(listener)


@row("`56(84) bytes`")
def ping(at: Mounted) -> None:
    assert f" 56({64 + at.family.header}) bytes " in (at.path / f"icmp/ping/{at.family.lo},count=1").read_text()


@row("below a scheme that has `open` alone")
def one_name(_at: Mounted) -> None:
    with SchemeMount(schemes=[PathScheme], log_level="info") as mount:
        descriptor = os.open(mount.path / "paths/call:a%2Fb", os.O_RDONLY)
        assert os.read(descriptor, 100).startswith(b"call:a/b ")
        os.close(descriptor)
        with pytest.raises(NotADirectoryError):
            os.open(mount.path / "paths/call:a/b", os.O_RDONLY)


@pytest.mark.parametrize("check", [check for _, check in CHECKS], ids=lambda check: check.__name__)
def test_the_row_is_true(check: Check, module_scheme_mount: SchemeMount, family: Family) -> None:
    check(Mounted(module_scheme_mount.path, family))


def test_each_row_has_its_check() -> None:
    assert len(ROWS) == len(CHECKS) > 10
    for (_, cell), (here, _) in zip(ROWS, CHECKS, strict=True):
        assert cell.startswith(here)

"""Two ordinary users of one mount: what one of them takes is refused at its share, and the other is served."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.shares import ECHO_OCTETS, LOOKUPS
from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "fuse")

ONE, OTHER = 65534, 65533
SOON = 20.0


def user(uid: int, mount: Path, script: str) -> subprocess.Popen[str]:
    """Run Python's *script* as *uid* in the mount; it ends when its standard input ends."""
    as_user = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all")
    return subprocess.Popen(
        [*as_user, sys.executable, "-S", "-c", script],
        cwd=mount,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=SOON)[0]


@pytest.fixture(scope="module")
def mount(_no_leftovers: None, module_family: Family) -> Iterator[Path]:
    """A mount whose name server never answers."""
    with SchemeMount() as mounted:
        silent = os.open(mounted.path / f"udp/{module_family.lo.at(53)},bind", os.O_RDWR)
        (mounted.path / "netcfg/resolv/nameserver").write_text(f"{module_family.lo}\n")
        yield mounted.path
        os.close(silent)


LOOK_UP = """
import errno, os, sys
ends = []
for number in range(%d):
    try: os.open(f'dns/n{number}.%d.com', os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error: ends.append(errno.errorcode[error.errno])
print(len(ends), *set(ends), open('dns/err').read().strip(), flush=True)
sys.stdin.read()
"""


def test_look_ups(mount: Path) -> None:
    one = user(ONE, mount, LOOK_UP % (300, ONE))
    assert one.stdout is not None
    sentence = f"uid {ONE} has {LOOKUPS} look-ups under way; no more are allowed"
    assert one.stdout.readline() == f"{300 - LOOKUPS} ENOBUFS {sentence}\n"
    other = user(OTHER, mount, LOOK_UP % (LOOKUPS, OTHER))
    assert other.stdout is not None
    assert other.stdout.readline().split() == ["0"]
    said(one)
    again = user(ONE, mount, LOOK_UP % (1, ONE))
    assert said(again).startswith("0 ")
    said(other)


PINGS = """
import os, sys
files = [os.open('icmp/ping/LO,count=0,size=65000,interval=0.001', os.O_RDONLY) for _ in range(10)]
print(flush=True)
sys.stdin.read()
"""
COUNTED = "import sys; print(open('icmp/ping/LO,count=20,interval=0.01').read())"
ECHOES = """
import errno, os
file = os.open('icmp/echo/LO', os.O_RDWR)
try:
    for _ in range(1000): os.write(file, bytes(60000))
except OSError as error:
    print(errno.errorcode[error.errno], open('icmp/err').read().strip())
"""


def test_echo_requests(mount: Path, module_family: Family) -> None:
    one = user(ONE, mount, module_family.fill(PINGS))
    assert one.stdout is not None
    one.stdout.readline()
    assert "20 packets transmitted, 20 packets received" in said(user(OTHER, mount, module_family.fill(COUNTED)))
    refusal = f"uid {ONE} sends {ECHO_OCTETS} octets of echo requests a second; no more are allowed"
    assert said(user(ONE, mount, module_family.fill(ECHOES))) == f"ENOBUFS {refusal}\n"
    said(one)

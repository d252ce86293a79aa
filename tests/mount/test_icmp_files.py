"""icmp through a real mount, from a shell and from Python."""

import os
import re
import select
import subprocess

import pytest

from schemefs.testing.observing import wait_until
from tests.support.families import FAMILIES, Family

pytestmark = pytest.mark.needs("fuse")


def run(command, **options):
    return subprocess.run(command, shell=True, check=False, capture_output=True, text=True, timeout=20, **options)


def test_cat_pings_lo(module_scheme_mount, family: Family):
    done = run(f"cat {module_scheme_mount.path}/icmp/ping/{family.lo},count=3,interval=0.05,size=40")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == f"PING {family.lo} ({family.lo}) 40({48 + family.header}) bytes of data."
    for number, line in enumerate(said[1:4]):
        assert re.fullmatch(rf"From {re.escape(family.lo)} icmp_seq={number} ttl=64 time=\d+\.\d{{3}}ms", line)
    assert said[4] == f"--- {family.lo} ping statistics ---"
    assert said[5] == "3 packets transmitted, 3 packets received, 0.00% packet loss"
    assert re.fullmatch(r"rtt min/avg/max = [\d.]+/[\d.]+/[\d.]+ ms", said[6])
    assert len(said) == 7


def test_a_name_from_the_hosts_file(module_scheme_mount):
    text = run(f"cat {module_scheme_mount.path}/icmp/ping/localhost,count=1").stdout
    assert text.startswith(tuple(f"PING {family.lo} " for family in FAMILIES))  # as the machine's hosts file has it


def test_a_ping_for_ever_ends_when_its_reader_does(module_scheme_mount, family: Family):
    path = module_scheme_mount.path
    done = run(f"timeout 0.5 cat {path}/icmp/ping/{family.lo},count=0,interval=0.1")
    assert done.returncode == 124
    assert 4 <= len(done.stdout.splitlines()) <= 7
    timers = path / "netcfg/stats/timers"
    wait_until(lambda: "pending=0" in timers.read_text(), timers.read_text)  # the release comes after the reader's end


def test_binary_echo_and_poll(module_scheme_mount, family: Family):
    descriptor = os.open(module_scheme_mount.path / f"icmp/echo/{family.lo}", os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 100)
        with pytest.raises(OSError, match="Invalid argument"):
            os.write(descriptor, b"x")
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert os.write(descriptor, b"\x00\x07hello") == 7
        assert poll.poll(5000) == [(descriptor, select.POLLIN)]
        assert os.read(descriptor, 100) == b"\x00\x07hello"
        assert poll.poll(0) == []
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ping/UNROUTED", "Network is unreachable"),
        ("ping/127.0.0.300", "Invalid argument"),
        ("ping/::1::", "Invalid argument"),
        ("ping/LO,colour=red", "Invalid argument"),
        ("ping/nobody.invalid", "No such file or directory"),
        ("ping", "Is a directory"),
        ("pong/LO", "No such file or directory"),
    ],
)
def test_errors_of_open(module_scheme_mount, name, words, family: Family):
    done = run(f"cat {module_scheme_mount.path}/icmp/{family.fill(name)}")
    assert done.returncode == 1
    assert words in done.stderr


def test_why_it_failed_is_in_err(module_scheme_mount, family: Family):
    icmp = module_scheme_mount.path / "icmp"
    for name, words in ((f"{family.lo},colour=red", "colour"), (family.unrouted, family.unrouted)):
        assert words in run(f"cat {icmp}/ping/{name} || cat {icmp}/err").stdout


def test_looking_sends_nothing(module_scheme_mount, family: Family):
    path = module_scheme_mount.path / "icmp"
    before = (path / "stats").read_text()
    assert run(f"ls -lR {path}; stat {path}/ping/{family.lo}; test -e {path}/echo/{family.lo}").returncode == 0
    assert (path / "stats").read_text() == before

"""The logs through a real mount: cat ends at the newest line, tail -f follows, and the link is another name."""

import os
import select
import subprocess

import pytest

from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def test_cat_ends_and_the_link_shows_the_same(module_scheme_mount, family: Family):
    net = module_scheme_mount.path / "logging/net"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    subprocess.run(["cat", module_scheme_mount.path / f"icmp/ping/{family.lo},count=1"], check=True, timeout=10)
    done = subprocess.run(["cat", net / "smolnetd.log"], check=True, capture_output=True, text=True, timeout=10)
    assert f"answered echo request of {family.lo}" in done.stdout
    assert (net / "smolnetd.log").readlink().name == "schemefs.log"


def test_tail_follows(module_scheme_mount, family: Family):
    net = module_scheme_mount.path / "logging/net"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    tail = subprocess.Popen(
        ["tail", "-n", "0", "-s", "0.05", "-f", "---disable-inotify", net / "schemefs.log"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        # What is logged before tail has looked for the end is not shown: ping until it has.
        path = module_scheme_mount.path / f"icmp/ping/{family.lo},count=20,interval=0.1"
        ping = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
        assert tail.stdout is not None
        assert "icmp: " in tail.stdout.readline()
        ping.wait(10)
    finally:
        tail.kill()
        tail.communicate()


def test_cat_of_follow_waits_for_more(module_scheme_mount, family: Family):
    net = module_scheme_mount.path / "logging/net"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    with subprocess.Popen(["cat", net / "smolnetd.log,follow"], stdout=subprocess.PIPE, text=True) as cat:
        assert cat.stdout is not None
        before = (net / "schemefs.log").read_text()
        assert [cat.stdout.readline() for _ in before.splitlines()] == before.splitlines(keepends=True)
        subprocess.run(["cat", module_scheme_mount.path / f"icmp/ping/{family.lo},count=1"], check=True, timeout=10)
        assert "echo request" in cat.stdout.readline()
        cat.terminate()


def test_follow_would_block_and_polls(module_scheme_mount, family: Family):
    path = module_scheme_mount.path / "logging/net/schemefs.log,follow"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert os.read(file, 1 << 20).startswith(b"+")
        with pytest.raises(BlockingIOError):
            while True:
                os.read(file, 1 << 20)
        with open(module_scheme_mount.path / f"icmp/ping/{family.lo},count=1", "rb", buffering=0) as ping:
            assert select.select([file], [], [], 5)[0] == [file]
            assert ping.readline()
    finally:
        os.close(file)


def test_follow_of_events_ends_with_the_conversation(module_scheme_mount, family: Family):
    scheme = module_scheme_mount.path
    with open(scheme / f"udp/{family.lo.at(9)},events", "r+b", buffering=0) as file:
        directory = scheme / os.getxattr(file.fileno(), "user.conversation").decode()
        cat = subprocess.Popen(["cat", directory / "events,follow"], stdout=subprocess.PIPE, text=True)
        assert cat.stdout is not None
        assert "open pid" in cat.stdout.readline()
    rest, _ = cat.communicate(timeout=10)
    assert "close: 0 files are left" in rest
    assert cat.returncode == 0


def test_follow_is_for_logs_alone(module_scheme_mount, family: Family):
    for path in ("tcp/README,follow", "logging/net/nothing.log,follow", "logging,follow"):
        with pytest.raises(FileNotFoundError):
            os.stat(module_scheme_mount.path / path)
    with pytest.raises(OSError, match="Invalid argument"):
        os.stat(module_scheme_mount.path / f"tcp/{family.lo.at(9)},follow")

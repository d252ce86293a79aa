"""The logs through a real mount: cat ends at the newest line, tail -f follows, and the link is another name."""

import subprocess

import pytest

pytestmark = pytest.mark.needs("fuse")


def test_cat_ends_and_the_link_shows_the_same(module_scheme_mount):
    net = module_scheme_mount.path / "logging/net"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    subprocess.run(["cat", module_scheme_mount.path / "icmp/ping/127.0.0.1,count=1"], check=True, timeout=10)
    done = subprocess.run(["cat", net / "smolnetd.log"], check=True, capture_output=True, text=True, timeout=10)
    assert "answered echo request of 127.0.0.1" in done.stdout
    assert (net / "smolnetd.log").readlink().name == "schemefs.log"


def test_tail_follows(module_scheme_mount):
    net = module_scheme_mount.path / "logging/net"
    (module_scheme_mount.path / "netcfg/log/level").write_text("icmp trace\n")
    tail = subprocess.Popen(
        ["tail", "-n", "0", "-s", "0.05", "-f", "---disable-inotify", net / "schemefs.log"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        # What is logged before tail has looked for the end is not shown: ping until it has.
        path = module_scheme_mount.path / "icmp/ping/127.0.0.1,count=20,interval=0.1"
        ping = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
        assert tail.stdout is not None
        assert "icmp: " in tail.stdout.readline()
        ping.wait(10)
    finally:
        tail.kill()
        tail.communicate()

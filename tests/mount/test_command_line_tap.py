"""`schemefs mount` with a TAP: what it makes, what it says when it can't, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.fs import mountinfo
from schemefs.testing.leftovers import Place
from schemefs.testing.network import Namespace
from tests.support.open_to_all import open_to_all

pytestmark = pytest.mark.needs("fuse", "tap", "root")


class Command:
    """The command line inside a network namespace, on a directory of its own."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory

    def mount(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "schemefs", "mount", str(self.directory), *options]
        return self.namespace.run(command, check=False, cwd="/")

    def umount(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "schemefs", "umount", str(self.directory)]
        return self.namespace.run(command, check=False, cwd="/")

    def fails(self, sentence: str, *options: str) -> None:
        """It fails with this one sentence and leaves no TAP, no mount and no process."""
        before = self.devices()
        done = self.mount(*options)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(f"schemefs: {sentence}\n", done.stderr), done.stderr
        assert self.devices() == before
        assert mountinfo.mounted_at(str(self.directory)) is None
        listed = subprocess.run(["pgrep", "-f", str(self.directory)], check=False, capture_output=True, text=True)
        assert listed.stdout == ""

    def devices(self) -> list[str]:
        """The interfaces and their addresses, without counters and states that come and go."""
        lines = self.namespace.run(["ip", "-br", "address"]).stdout.splitlines()
        return [" ".join(re.sub(r"@\S+", "", line).split()[0:1] + line.split()[2:]) for line in lines]


@pytest.fixture
def command(namespace: Namespace) -> Iterator[Command]:
    place = Place()
    directory = place.path / "m"
    directory.mkdir()
    place.note_mount(directory)
    yield Command(namespace, directory)
    mount = mountinfo.mounted_at(str(directory))
    if mount is not None and mount.daemon_lives:
        kill(mount.pid, signal.SIGKILL)
    place.remove()


def kill(pid: int, number: signal.Signals) -> None:
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, number)
    assert select.select([pidfd], [], [], 15)[0]
    os.close(pidfd)


def test_the_line_says_what_it_did(command: Command) -> None:
    before = command.devices()
    done = command.mount()
    assert (done.returncode, done.stderr) == (0, "")
    directory = command.directory
    assert done.stdout == (
        f"mounted {directory} (eth0 10.0.2.15/24 and fd00:10:0:2::15/64 on TAP schemefs0, gateway 10.0.2.2). "
        f"Try: cat {directory}/icmp/ping/10.0.2.2,count=3\n"
    )
    assert "schemefs0 10.0.2.2/24 fd00:10:0:2::2/64 fe80::1/64" in command.devices()
    # What the line says to try works, from any session.
    ping = subprocess.run(["sh", "-c", done.stdout.partition("Try: ")[2]], check=True, capture_output=True, text=True)
    assert "3 packets transmitted, 3 packets received, 0.00% packet loss" in ping.stdout
    assert command.umount().returncode == 0
    assert command.devices() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_puts_everything_back(command: Command, number: signal.Signals) -> None:
    before = command.devices()
    command.mount()
    mount = mountinfo.mounted_at(str(command.directory))
    assert mount is not None
    kill(mount.pid, number)
    assert command.devices() == before


def test_after_a_kill_the_next_mount_starts_clean(command: Command) -> None:
    before = command.devices()
    for _ in range(2):
        assert command.mount().returncode == 0
        mount = mountinfo.mounted_at(str(command.directory))
        assert mount is not None
        kill(mount.pid, signal.SIGKILL)
    assert command.mount().returncode == 0
    assert command.umount().returncode == 0
    assert command.devices() == before


def test_every_address_can_be_chosen(command: Command) -> None:
    done = command.mount(
        *("--tap", "lab7", "--address", "192.168.7.9/28", "--gateway", "192.168.7.1", "--nameserver", "192.168.7.5"),
        *("--host-address", "192.168.7.3/28", "--mac", "52:54:00:00:00:07", "--mtu", "1400"),
    )
    assert done.returncode == 0, done.stderr
    assert "(eth0 192.168.7.9/28 and fd00:10:0:2::15/64 on TAP lab7, gateway 192.168.7.1)" in done.stdout
    netcfg = command.directory / "netcfg"
    assert (netcfg / "iface/eth0/addr").read_text() == "192.168.7.9/28\nfd00:10:0:2::15/64\n"
    assert (netcfg / "iface/eth0/mac").read_text().strip() in ("52:54:00:00:00:07", "52-54-00-00-00-07")
    assert (netcfg / "iface/eth0/mtu").read_text() == "1400\n"
    assert (netcfg / "resolv/nameserver").read_text() == "192.168.7.5\n"
    assert "lab7 192.168.7.3/28 fd00:10:0:2::2/64 fe80::1/64" in command.devices()
    assert command.namespace.run(["ping", "-c", "1", "-W", "5", "192.168.7.9"])


def test_every_address_of_ipv6_can_be_chosen(command: Command) -> None:
    done = command.mount(
        *("--address", "2001:db8::9/64", "--address", "fd00:1::9/48", "--host-address6", "2001:db8::3/64"),
        *("--gateway", "2001:db8::1", "--nameserver", "2001:db8::53", "--nameserver", "10.0.2.3"),
    )
    assert done.returncode == 0, done.stderr
    assert "(eth0 10.0.2.15/24 and 2001:db8::9/64 on TAP schemefs0, gateway 10.0.2.2 and 2001:db8::1)" in done.stdout
    netcfg = command.directory / "netcfg"
    assert (netcfg / "resolv/nameserver").read_text() == "2001:db8::53\n10.0.2.3\n"
    assert "default via 2001:db8::1 dev eth0" in (netcfg / "route/list").read_text()
    shown = (netcfg / "config").read_text()
    assert '"10.0.2.15/24",\n    "2001:db8::9/64",\n    "fd00:1::9/48",\n' in shown
    assert 'host_address6 = "2001:db8::3/64"' in shown
    (netcfg / "ifaces/add").write_text("tap lab1 host_address6 fd00:77::2/64 address fd00:77::1/64\n")
    assert "tap lab1 host_address none host_address6 fd00:77::2/64 " in (netcfg / "ifaces/list").read_text()
    for address in ("2001:db8::9", "fd00:77::1", "10.0.2.15"):
        assert command.namespace.run(["ping", "-c", "1", "-W", "5", address])


def test_a_subnet_of_ipv6_that_is_in_use_moves_both_families(command: Command) -> None:
    run = command.namespace.run
    run(["ip", "link", "add", "vpn", "type", "veth", "peer", "name", "other"])
    run(["ip", "link", "set", "vpn", "up"])
    run(["ip", "-6", "route", "add", "fd00:10::/47", "dev", "vpn"])
    command.fails(
        ".*fd00:10:0:2::15/64 overlaps fd00:10::/47 on vpn; .*--host-address6", "--address", "fd00:10:0:2::15/64"
    )
    command.fails(".*every .* is in use on this machine.*")
    run(["ip", "-6", "route", "replace", "fd00:10:0:2::/63", "dev", "vpn"])
    run(["ip", "-6", "route", "del", "fd00:10::/47", "dev", "vpn"])
    done = command.mount()
    assert "eth0 10.0.4.15/24 and fd00:10:0:4::15/64" in done.stdout
    assert "because fd00:10:0:2::/63 on vpn is in use here" in done.stdout


@pytest.mark.parametrize("setting", ["all", pytest.param("default", marks=pytest.mark.full)])
def test_a_host_without_ipv6_has_a_mount_without_it(command: Command, setting: str) -> None:
    command.namespace.run(["sysctl", "-qw", f"net.ipv6.conf.{setting}.disable_ipv6=1"])
    command.fails(".*IPv6 is disabled on this machine.*", "--address", "fd00:1::15/64")
    done = command.mount()
    assert done.returncode == 0, done.stderr
    assert "(eth0 10.0.2.15/24 on TAP schemefs0, gateway 10.0.2.2; no IPv6: IPv6 is disabled on" in done.stdout
    assert command.namespace.run(["ping", "-c", "1", "-W", "5", "10.0.2.15"])
    assert "host_address6" not in (command.directory / "netcfg/config").read_text()


def test_a_link_too_small_for_ipv6_has_none(command: Command) -> None:
    done = command.mount("--mtu", "576")
    assert "no IPv6: an MTU of 576 is below the 1280 of IPv6 (RFC 8200 §5)" in done.stdout


def test_the_host_side_can_be_left_alone(command: Command) -> None:
    assert command.mount("--host-address", "none").returncode == 0
    assert [line for line in command.devices() if line.startswith("schemefs0")] == ["schemefs0"]


def test_a_taken_name(command: Command) -> None:
    command.namespace.run(["ip", "link", "add", "taken", "type", "veth", "peer", "name", "other"])
    command.fails(r".*\btaken\b.*", "--tap", "taken")


def test_a_tap_that_another_daemon_has(command: Command) -> None:
    assert command.mount().returncode == 0
    place = Place()
    second = Command(command.namespace, place.path / "m")
    second.directory.mkdir()
    try:
        second.fails(r".*\bschemefs0\b.*")
    finally:
        place.remove()


def test_a_bad_name(command: Command) -> None:
    command.fails(".*a-name-that-is-too-long.*", "--tap", "a-name-that-is-too-long")


def test_an_overlap_is_refused_when_asked_for_and_moved_when_not(command: Command) -> None:
    run = command.namespace.run
    run(["ip", "link", "add", "nat", "type", "veth", "peer", "name", "other"])
    run(["ip", "address", "add", "10.0.2.77/24", "dev", "nat"])
    run(["ip", "link", "set", "nat", "up"])
    command.fails(r".*\bnat\b.*", "--address", "10.0.2.15/24")
    done = command.mount()
    assert done.returncode == 0, done.stderr
    assert re.search(r"eth0 10\.0\.3\.15/24 and fd00:10:0:3::15/64 on TAP schemefs0, gateway 10\.0\.3\.2", done.stdout)
    assert "because 10.0.2.0/24 on nat is in use here" in done.stdout
    assert "schemefs0 10.0.3.2/24 fd00:10:0:3::2/64 fe80::1/64" in command.devices()


def test_without_a_tap_the_error_names_the_driver_that_needs_none(command: Command, tmp_path: Path) -> None:
    """In a mount namespace where /dev/net is empty."""
    script = (
        f"mount --bind {tmp_path} /dev/net && exec {sys.executable} -m schemefs mount {command.directory} --driver tap"
    )
    done = command.namespace.run(["unshare", "--mount", "sh", "-c", script], check=False, cwd="/")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("schemefs: .*/dev/net/tun.*--driver loopback.*\n", done.stderr)


@pytest.mark.needs("readable")
def test_without_root_the_error_says_so(command: Command) -> None:
    place = command.directory.parent
    script = f"""
        mknod -m 666 {place}/fuse c 10 229 && mount --bind {place}/fuse /dev/fuse || exit 9
        chown 65534 {command.directory}
        exec setpriv --reuid 65534 --regid 65534 --clear-groups {sys.executable} -m schemefs \\
            mount {command.directory} --driver tap
    """
    with open_to_all(place):
        done = command.namespace.run(["unshare", "--mount", "sh", "-c", script], check=False, cwd="/")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("schemefs: .*--driver loopback.*\n", done.stderr)

"""Mounts on TAPs among others: two daemons side by side, a user's own, one that is stopped; each leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from schemefs.fs import mountinfo
from schemefs.testing.leftovers import Place
from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import Address, Family

pytestmark = pytest.mark.needs("root", "tap", "fuse")


def on_tap(namespace: Namespace, tap: str, *options: str) -> SchemeMount:
    return SchemeMount("--driver", "tap", "--tap", tap, *options, prefix=namespace.prefix)


def address_of(mount: SchemeMount, family: Family) -> Address:
    listed = (mount.path / "netcfg/ifaces/eth0/addr/list").read_text().splitlines()
    found = [line.partition("/")[0] for line in listed if not line.startswith("fe80:")]
    return next(Address(one) for one in found if (":" in one) is (family.version == 6))


def routed_by_the_kernel(mount: SchemeMount, family: Family) -> None:
    """Give *mount* the default route of the family that the default one of IPv4 is."""
    if family.version == 6:  # only --uplink makes one
        gateway = address_of(mount, family).removesuffix("15") + "2"
        (mount.path / "netcfg/route/add").write_text(f"default via {gateway}\n")


def kernel_addresses(namespace: Namespace, tap: str, family: Family) -> str:
    return str(namespace.run(["ip", "-br", f"-{family.version}", "address", "show", tap]).stdout)


def test_two_daemons_side_by_side(namespace: Namespace, family: Family) -> None:
    """Each on its own TAP and subnet, both reached by the kernel, which routes between them."""
    namespace.run(["sysctl", "-qw", family.pick("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")])
    with on_tap(namespace, "first0") as first, on_tap(namespace, "second0") as second:
        one, two = address_of(first, family), address_of(second, family)
        assert one != two
        assert ", because 10.0.2.0/24 on first0 is in use here" in second.ready_line
        for address in (one, two):
            namespace.run(["ping", "-c", "1", "-W", "5", address])
        for mount in (first, second):
            routed_by_the_kernel(mount, family)
        with open(second.path / "tcp/:80", "r+b", buffering=0) as listener:
            with open(first.path / "tcp" / two.at(80), "r+b", buffering=0) as client:
                number, peer, _ = listener.readline().decode().split()
                assert peer.startswith(one.host)
                client.write(b"from one daemon to the other")
                with open(second.path / "tcp" / number / "rx", "rb", buffering=0) as server:
                    assert server.read(100) == b"from one daemon to the other"
    links = namespace.run(["ip", "-br", "link"]).stdout
    assert "first0" not in links
    assert "second0" not in links


def test_the_end_of_one_leaves_the_other(namespace: Namespace, family: Family) -> None:
    with on_tap(namespace, "first0") as first:
        with on_tap(namespace, "second0"):
            pass
        namespace.run(["ping", "-c", "1", "-W", "5", address_of(first, family)])


def test_a_tap_of_another_daemon_is_refused(namespace: Namespace) -> None:
    with on_tap(namespace, "first0"):
        place = Place()
        directory = place.path / "m"
        directory.mkdir()
        done = namespace.run([sys.executable, "-m", "schemefs", "mount", directory, "--tap", "first0"], check=False)
        place.remove()
        assert done.returncode == 1
        assert "the TAP first0 is in use by another program" in done.stderr


def test_force_puts_back_what_a_stopped_daemon_can_not(namespace: Namespace, family: Family) -> None:
    """A persistent TAP stays, so its address, MTU and state would too."""
    namespace.run(["ip", "tuntap", "add", "mode", "tap", "name", "stays0"])
    before = namespace.run(["ip", "-o", "link", "show", "stays0"]).stdout
    mount = on_tap(namespace, "stays0")
    try:
        assert f" {family.peer}/" in kernel_addresses(namespace, "stays0", family)
        os.kill(mount.pid, signal.SIGSTOP)
        command = [sys.executable, "-m", "schemefs", "umount", "--force", mount.path]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=30)
        assert "put back: the TAP stays0 is still set up" in done.stdout
        assert f" {family.peer}/" not in kernel_addresses(namespace, "stays0", family)
        after = namespace.run(["ip", "-o", "link", "show", "stays0"]).stdout
        assert settings_of(after) == settings_of(before)
    finally:
        mount.close(check=False)


def test_doctor_finds_the_tap_of_a_killed_daemon(namespace: Namespace) -> None:
    namespace.run(["ip", "tuntap", "add", "mode", "tap", "name", "stays1"])
    mount = on_tap(namespace, "stays1")
    command = [sys.executable, "-m", "schemefs", "doctor"]
    assert "stays1" not in namespace.run(command, check=False).stdout
    os.kill(mount.pid, signal.SIGKILL)
    mount.close(check=False)
    told = namespace.run(command, check=False)
    sentence = "FAIL  tap: the TAP stays1 is still set up for a daemon that was killed"
    assert f"{sentence} (it has 10.0.2.2/24 and fd00:10:0:2::2/64)" in told.stdout
    with on_tap(namespace, "stays1"):
        pass
    assert "stays1" not in namespace.run(command, check=False).stdout


def settings_of(line: str) -> list[str]:
    return re.findall(r"(?:mtu|qlen) \d+|[<,]UP[,>]", line)


@pytest.mark.needs("readable")
def test_a_users_mount_on_a_tap_of_its_own(namespace: Namespace, family: Family) -> None:
    """Without root: through fusermount3, on a persistent TAP that belongs to the uid."""
    namespace.run(["ip", "tuntap", "add", "mode", "tap", "user", "65534", "name", "mine0"])
    length = family.link.partition("/")[2]
    namespace.run(["ip", "address", "add", f"{family.peer}/{length}", "dev", "mine0", *family.pick([], ["nodad"])])
    namespace.run(["ip", "link", "set", "mine0", "up"])
    place = Place()
    directory = place.path / "m"
    directory.mkdir()
    user = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    options = family.pick("--host-address none", f"--host-address none --address {family.ours}/{length}")
    script = f"""
        mount -t tmpfs none /mnt && mkdir /mnt/m && chown 65534 /mnt/m || exit 9
        mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse || exit 9
        mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun || exit 9
        {user} {sys.executable} -m schemefs mount /mnt/m --tap mine0 {options} || exit 8
        ping -c 1 -W 5 {family.ours} >/dev/null || exit 7
        {user} cat /mnt/m/icmp/ping/{family.peer},count=1 || exit 6
        {user} cat /mnt/m/network/eth0/mac || exit 5
        {user} {sys.executable} -m schemefs doctor
        kill -STOP $(grep -o 'schemefs:[0-9]* .*user_id=65534' /proc/self/mountinfo | tr ' ' : | cut -d: -f2) || exit 4
        {user} {sys.executable} -m schemefs umount --force /mnt/m
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = namespace.run(["unshare", "--mount", "sh", "-c", script], check=False, env=environment)
    place.remove()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 packets received" in done.stdout
    assert "ended the daemon" in done.stdout
    assert "detached /mnt/m" in done.stdout
    assert mountinfo.mounted_at("/mnt/m") is None
    namespace.run(["ip", "link", "show", "mine0"])


@pytest.mark.needs("readable", "userns")
def test_a_whole_network_without_root(family: Family) -> None:
    """A user's own namespaces (unshare -Urmn) are enough for a TAP: no preparation by root is needed."""
    user = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all"
    python = f"/mnt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    inner = f"""
        {python} -m schemefs mount /mnt/m || exit 8
        ping -c 1 -W 5 {family.ours} >/dev/null || exit 7
        cat /mnt/m/icmp/ping/{family.peer},count=1 || exit 6
        {python} -m schemefs doctor
        {python} -m schemefs umount /mnt/m
    """
    # The interpreter, too, must be in a folder that every user can enter.
    outer = f"""
        mount -t tmpfs none /mnt && mkdir /mnt/m /mnt/python && chown 65534 /mnt/m || exit 9
        mount --bind {sys.base_prefix} /mnt/python || exit 9
        mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse || exit 9
        mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun || exit 9
        exec {user} unshare -Urmn sh -c '{inner}'
    """
    paths = (str(Path(__file__).parents[2]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    environment = os.environ | {"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/mnt/m"}
    environment["LD_LIBRARY_PATH"] = "/mnt/python/lib"  # where its libpython is, if it has one
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", outer],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 packets received" in done.stdout
    assert "ok    tap: /dev/net/tun can be used" in done.stdout

"""The passt driver: an ordinary user's mount reaches the network of its host, and says why it is no TAP.

mount 10.0.2.15 ── passt ── host ── veth 192.0.2.1 ── 192.0.2.2 world: www.example and six.example, by dnsmasq
                                      2001:db8:9::1   2001:db8:9::2
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import Family
from tests.support.uplink_host import WAYS, Host, WayOut

pytestmark = pytest.mark.needs("fuse", "root", "passt", "dnsmasq")

USER = "setpriv --reuid 65534 --regid 65534 --clear-groups"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def host(_no_leftovers: None) -> Iterator[Host]:
    made = Host(ipv6=True)
    made.namespace.run(["ip", "route", "add", "default", "via", "192.0.2.2"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def mount(host: Host) -> Iterator[SchemeMount]:
    # The resolver of the host, as passt reads it: /etc/resolv.conf of a mount namespace of its own
    script = """
        mount -t tmpfs none /mnt && echo nameserver 192.0.2.2 >/mnt/r && mount --bind /mnt/r /etc/resolv.conf || exit 9
        exec "$@"
    """
    prefix = (*host.namespace.prefix, "unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh")
    with SchemeMount("--driver", "passt", prefix=prefix) as made:
        yield made


def shell(mount: SchemeMount, command: str) -> str:
    inside = ["nsenter", f"--mount=/proc/{mount.pid}/ns/mnt", "bash", "-c", f"cd {mount.path} && {command}"]
    done = subprocess.run(inside, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr + mount.log()
    return done.stdout


GET = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
# An address by the advertisement of passt, with the prefix of the host, that is in use
STABLE = "grep '^2001:db8:9:.* origin stable' netcfg/ifaces/eth0/addr/list"
ADVERTISED = f"until {STABLE} | grep -qv tentative; do sleep 0.02; done"


@pytest.fixture
def way(family: Family) -> WayOut:
    return WAYS[family]


def has_an_address(mount: SchemeMount, family: Family) -> None:
    """Wait until *mount* has one of the family; that of IPv4 is there at once."""
    if family.version == 6:
        shell(mount, ADVERTISED)


def test_the_world_by_name(mount: SchemeMount, family: Family, way: WayOut) -> None:
    has_an_address(mount, family)
    assert "eth0 10.0.2.15/24 on PASST passt, gateway 10.0.2.2" in mount.ready_line
    assert mount.ready_line.endswith("/icmp/ping/127.0.0.1,count=3"), "no group may ping through passt here (icmp(7))"
    assert shell(mount, f"cat dns/{way.name},type=any") == f"{way.world}\n"
    page = shell(mount, f"exec 3<>tcp/{way.name}:80; {GET}")
    assert f"hello {way.host}" in page  # the host's own address


def test_an_address_of_ipv6_by_the_advertisement_of_passt(host: Host, mount: SchemeMount) -> None:
    """passt advertises the prefix of the host, whose server sees a connection of the host itself."""
    shell(mount, ADVERTISED)
    assert re.search(r"^default via fe80::.* dev eth0 ", shell(mount, "cat netcfg/route/list"), re.MULTILINE)
    code = """
import socket
with socket.create_server(("2001:db8:9::1", 0), family=socket.AF_INET6) as listener:
    print(listener.getsockname()[1], flush=True)
    with listener.accept()[0] as client:
        client.sendall(b"hello " + client.recv(100))
"""
    server = host.namespace.start([sys.executable, "-c", code], stdout=subprocess.PIPE)
    port = server.stdout.readline().strip()
    assert shell(mount, f"exec 3<>'tcp/[2001:db8:9::1]:{port}'; echo peer >&3; cat <&3") == "hello peer\n"


def test_a_ping_needs_a_group_of_the_hosts_setting(host: Host, mount: SchemeMount, family: Family, way: WayOut) -> None:
    """passt has ICMP sockets; `schemefs doctor` says whether its group may (icmp(7))."""
    has_an_address(mount, family)
    setting = "/proc/sys/net/ipv4/ping_group_range"  # of both
    doctor = [*host.namespace.prefix, sys.executable, "-m", "schemefs", "doctor"]
    for text, can_ping in (("1 0", False), ("0 65534", True)):
        host.namespace.run(["sh", "-c", f"echo {text} >{setting}"])
        replies = shell(mount, f"cat icmp/ping/{way.world},count=1,timeout=1")
        assert f"{int(can_ping)} packets received" in replies
        told = subprocess.run(doctor, check=False, capture_output=True, text=True, timeout=30).stdout
        assert ("no    ping by passt: " in told) is not can_ping


def test_passt_that_dies_is_started_again(mount: SchemeMount, family: Family, way: WayOut) -> None:
    children = Path(f"/proc/{mount.pid}/task/{mount.pid}/children")
    (before,) = children.read_text().split()
    shell(mount, f"exec 3<logging/net/passt/eth0.log,follow; kill -9 {before}; grep -m1 'has another end' <&3")
    assert children.read_text().split() != [before]
    has_an_address(mount, family)
    assert shell(mount, f"cat dns/{way.name},type=any") == f"{way.world}\n"
    shell(mount, f"exec 3<>'tcp/{way.world.at(80)}'")


def test_passt_that_cannot_be_started_again(host: Host, family: Family, way: WayOut, tmp_path: Path) -> None:
    """The interface is down, with the reason, until passt can be started again."""
    program = tmp_path / "passt"
    program.symlink_to(str(shutil.which("passt")))
    with SchemeMount("--driver", "passt", "--passt", str(program), prefix=host.namespace.prefix) as mount:
        has_an_address(mount, family)
        (passt,) = Path(f"/proc/{mount.pid}/task/{mount.pid}/children").read_text().split()
        state = mount.path / "netcfg/ifaces/eth0/state"
        program.unlink()
        with (mount.path / "logging/net/passt/eth0.log,follow").open() as log:
            os.kill(int(passt), signal.SIGKILL)
            assert any("has lost its other end: passt has ended: it was ended by SIGKILL" in line for line in log)
            assert any(f"has no other end: {program} is not installed" in line for line in log)
            assert state.read_text().startswith(f"down: {program} is not installed")
            with pytest.raises(OSError, match="No route to host"):
                (mount.path / "tcp" / way.world.at(80)).read_bytes()
            assert f"on eth0, which is down: {program} is not installed" in (mount.path / "err").read_text()
            program.symlink_to(str(shutil.which("passt")))
            assert any("has another end" in line for line in log)
        assert state.read_text() == "up\n"


def test_it_ends_with_the_mount_also_with_a_killed_one(host: Host) -> None:
    mount = SchemeMount("--driver", "passt", prefix=host.namespace.prefix)
    (passt,) = Path(f"/proc/{mount.pid}/task/{mount.pid}/children").read_text().split()
    descriptor = os.pidfd_open(int(passt))
    os.kill(mount.pid, signal.SIGKILL)
    mount.close(check=False)
    with os.fdopen(descriptor, "rb", buffering=0):
        subprocess.run(["timeout", "10", "tail", f"--pid={passt}", "-f", "/dev/null"], check=True)


REFUSAL = "eth0 takes no impairments: passt does not send again what is lost on this side, so connects would fail; "


def test_its_link_takes_no_impairments_and_lo_does(mount: SchemeMount, host: Host) -> None:
    refused = "echo 'drop syn 1' >netcfg/ifaces/eth0/impair || cat netcfg/err; cat netcfg/ifaces/eth0/impair"
    assert shell(mount, refused).splitlines() == [f"{REFUSAL}lo, a TAP and the links of a lab take them", "none"]
    put_on_lo = "echo 'drop syn 1' >netcfg/ifaces/lo/impair; head -1 netcfg/ifaces/lo/impair"
    assert shell(mount, f"{put_on_lo}; echo none >netcfg/ifaces/lo/impair") == "drop syn 1\n"
    with pytest.raises(MountFailed) as failure:
        SchemeMount("--driver", "passt", "--impair", "loss 5%", prefix=host.namespace.prefix)
    assert REFUSAL in str(failure.value)


def test_a_host_without_a_network(namespace: Namespace) -> None:
    with pytest.raises(MountFailed, match=r"passt can't give a network \(.+\); --driver loopback needs none"):
        SchemeMount("--driver", "passt", prefix=namespace.prefix)


def test_passt_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match="there is not installed: apt-get install passt, or mount with"):
        SchemeMount("--driver", "passt", "--passt", str(tmp_path / "there"))


@pytest.mark.needs("readable")
@pytest.mark.parametrize("has_passt", [True, False])
def test_an_ordinary_users_default(host: Host, family: Family, way: WayOut, has_passt: bool) -> None:
    advertised = f'{USER} sh -c "cd /mnt/m && {ADVERTISED}"' if has_passt and family.version == 6 else ""
    passt = "" if has_passt else "mount --bind /dev/null $(command -v passt) || exit 9"
    script = f"""
        mount -t tmpfs none /mnt && mkdir /mnt/m && chown 65534 /mnt/m || exit 9
        mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse || exit 9
        mknod -m 600 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun || exit 9
        {passt}
        {USER} {sys.executable} -m schemefs doctor
        {USER} {sys.executable} -m schemefs mount /mnt/m --address 10.0.9.1/24
        {USER} {sys.executable} -m schemefs umount /mnt/m
        {USER} {sys.executable} -m schemefs mount /mnt/m || exit 8
        {advertised}
        {USER} timeout 10 sh -c "exec 3<>/mnt/m/tcp/{way.world.at(80)}; {GET}"
        {USER} {sys.executable} -m schemefs umount /mnt/m
    """
    done = host.namespace.run(["unshare", "--mount", "sh", "-c", script], check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    if has_passt:
        assert "works: a mount without root reaches the host's network" in done.stdout
        assert (
            "gateway 10.0.2.2; no tap: uid 65534 may not open /dev/net/tun (root may)), for nobody alone."
            in done.stdout
        )
        assert f"hello {way.host}" in done.stdout, done.stderr
    else:
        assert "passt: is not installed" in done.stdout
        assert (
            "(lo 127.0.0.1/8 and ::1/128 only; no tap: uid 65534 may not open /dev/net/tun (root may); no passt: "
            in done.stdout
        )
        assert "--address needs an interface, and only lo can be had (no tap: uid 65534 may not" in done.stderr

"""`--uplink` over IPv6, with NAT66: three namespaces, as for IPv4; the world beyond has both families.

daemon fd00:10:0:2::15 ── TAP ── host ── veth 2001:db8:9::1 ── 2001:db8:9::2 world: six.example, by dnsmasq
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.uplink_host import Host

pytestmark = pytest.mark.needs("fuse", "tap", "root", "nft", "dnsmasq")

GET = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
TAP = ("--driver", "tap")


def shell(mount: SchemeMount, command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=mount.path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr + mount.log()
    return done.stdout


@pytest.fixture(scope="module")
def host(_no_leftovers) -> Iterator[Host]:
    made = Host(ipv6=True)
    made.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    yield made
    made.close()


@pytest.fixture
def before(host: Host) -> Iterator[None]:
    """Compare the settings of the host before and after the test."""
    found = (host.settings6(), host.rules(), host.forwards())
    yield
    assert (host.settings6(), host.rules(), host.forwards()) == found


@pytest.mark.usefixtures("before")
def test_the_world_by_both_families(host: Host) -> None:
    web = host.namespace.start([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert web.stdout.readline() == "ready\n"
    with host.mount(*TAP, "--uplink", "--resolver", "2001:db8:9::2") as mount:
        assert "masquerade" in host.namespace.run(["nft", "list", "table", "ip6", "schemefs_schemefs0"]).stdout
        assert shell(mount, "cat dns/six.example,type=aaaa") == "2001:db8:9::2\n"
        assert "3 packets received" in shell(mount, "cat icmp/ping/six.example,count=3,interval=0.05")
        assert "hello 2001:db8:9::1\n" in shell(mount, f"exec 3<>tcp/six.example:80; {GET}"), "masqueraded"
        # RFC 6724 rule 5: our unique local address matches no global one, and our private one of IPv4 does.
        assert "hello 192.0.2.1\n" in shell(mount, f"exec 3<>tcp/both.example:80; {GET}")
        assert "default via fd00:10:0:2::2 dev eth0" in shell(mount, "cat netcfg/route/list")
        listed = shell(mount, "cat netcfg/ifaces/eth0/addr/list").splitlines()
        assert listed[0] == "10.0.2.15/24"
        assert listed[1].startswith("fd00:10:0:2::15/64 scope global")
        # The relay's address is deprecated: Linux prefers the others as sources.
        route = host.namespace.run(["ip", "-6", "route", "get", "fd00:10:0:2::15"]).stdout
        assert " src fd00:10:0:2::2 " in route
        for server in ("10.0.2.3", "fd00:10:0:2::3"):  # the relay has a place in each family
            assert shell(mount, f"echo {server} >netcfg/resolv/nameserver; cat dns/www.example") == "192.0.2.2\n"
        assert "x" * 250 in shell(mount, "cat dns/long.example,type=txt"), "by TCP over IPv6"
        assert shell(mount, "exec 3<>'tcp/[fe80::1%eth0]:8081'; cat <&3").startswith("hello fe80::")
        _nothing_unasked_arrives(host, mount)


def _nothing_unasked_arrives(host: Host, mount: SchemeMount) -> None:
    host.world.run(["ip", "-6", "route", "add", "fd00:10:0:2::/64", "via", "2001:db8:9::1"])
    try:
        assert host.world.run(["ping", "-c1", "-W1", "fd00:10:0:2::15"], check=False).returncode
    finally:
        host.world.run(["ip", "-6", "route", "del", "fd00:10:0:2::/64"])
    with pytest.raises(OSError) as refused:
        (mount.path / "tcp/[2001:db8:9::2]:9").open("rb")
    assert refused.value.errno == errno.ECONNREFUSED, "an answer, although it is a RST"


SERVER = """
import socket
listener = socket.create_server(("::", 8081), family=socket.AF_INET6)
print("ready", flush=True)
peer, address = listener.accept()
peer.sendall(f"hello {address[0]}".encode())
"""


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    "next_step", ["the next start", "umount", pytest.param("umount --force", marks=pytest.mark.full)]
)
def test_what_a_killed_daemon_leaves_is_put_back(host: Host, next_step: str) -> None:
    found = host.settings6()
    mount = host.mount()
    os.kill(mount.pid, signal.SIGKILL)
    assert "all/forwarding:1" in host.settings6()
    if next_step == "the next start":
        mount.close(check=False)
        with host.mount(*TAP) as without:
            assert "no route to 2001:db8:9::2" in shell(without, "cat icmp/ping/2001:db8:9::2 2>&1 || cat icmp/err")
    else:
        command = [*host.namespace.prefix, sys.executable, "-m", "schemefs", *next_step.split(), str(mount.path)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert "put back: the host still forwards for the TAP schemefs0" in ended.stdout
        mount.close(check=False)
    assert host.settings6() == found


@pytest.mark.full
@pytest.mark.usefixtures("before")
def test_the_last_of_two_puts_the_settings_back(host: Host) -> None:
    host.namespace.run(["sysctl", "-qw", "net.ipv6.conf.up0.forwarding=1"])
    found = host.settings6()
    first = host.mount()
    second = host.mount(*TAP, "--tap", "schemefs1", "--uplink")
    assert "fd00:10:0:3::15/64" in second.ready_line
    first.close()
    assert "1 packets received" in shell(second, "cat icmp/ping/2001:db8:9::2,count=1")
    second.close()
    assert host.settings6() == found
    host.namespace.run(["sysctl", "-qw", "net.ipv6.conf.up0.forwarding=0"])


RADVD = """
interface up1 {{
    AdvSendAdvert on;
    MinRtrAdvInterval 3;
    MaxRtrAdvInterval 4;
    prefix 2001:db8:9::/64 {{ }};
}};
"""


@pytest.mark.usefixtures("before")
def test_the_hosts_routes_of_advertisements_stay(host: Host, tmp_path) -> None:
    """A Linux that begins to forward drops them, unless accept_ra is 2."""
    run = host.namespace.run
    run(["ip", "-6", "route", "del", "default"])
    (tmp_path / "radvd.conf").write_text(RADVD.format())
    host.world.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    radvd = host.world.start(
        ["radvd", "-n", "-C", str(tmp_path / "radvd.conf"), "-p", str(tmp_path / "pid"), "-m", "stderr"],
        stderr=subprocess.DEVNULL,
    )
    try:
        run(["ip", "link", "set", "up0", "down"])  # it solicits anew
        run(["ip", "link", "set", "up0", "up"])
        wait_until(lambda: run(["ip", "-6", "route", "show", "default"]).stdout, patience=15)
        wait_until(lambda: "tentative" not in run(["ip", "-6", "address", "show", "dev", "up0"]).stdout, patience=15)
        routes = run(["ip", "-6", "route", "show", "default"]).stdout
        with host.mount() as mount:
            assert "up0/accept_ra:2" in host.settings6()
            assert run(["ip", "-6", "route", "show", "default"]).stdout.split()[:5] == routes.split()[:5]
            assert "1 packets received" in shell(mount, "cat icmp/ping/2001:db8:9::2,count=1")
        assert run(["ip", "-6", "route", "show", "default"]).stdout.split()[:5] == routes.split()[:5]
    finally:
        radvd.terminate()
        radvd.wait(10)
        host.world.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"])
        run(["ip", "-6", "addr", "add", "2001:db8:9::1/64", "dev", "up0", "nodad"], check=False)
        run(["ip", "-6", "route", "replace", "default", "via", "2001:db8:9::2"])


@pytest.mark.usefixtures("before")
def test_a_host_without_a_route_says_so_as_iproute_does(host: Host) -> None:
    host.namespace.run(["ip", "-6", "route", "del", "default"])
    try:
        with host.mount() as mount:
            assert "no IPv6 beyond the host: the host has no default route of its own: Network is unreachable" in (
                mount.ready_line
            )
            with pytest.raises(OSError) as unreachable:
                (mount.path / "tcp/[2001:db8:77::1]:80").open("rb")
            assert unreachable.value.errno == errno.ENETUNREACH
            assert shell(mount, "cat dns/www.example") == "192.0.2.2\n"
    finally:
        host.namespace.run(["ip", "-6", "route", "add", "default", "via", "2001:db8:9::2"])


NO_NAT66 = """#!/bin/sh
rules=$(cat)
case $rules in *"table ip6 "*) echo 'Error: Could not process rule: Operation not supported' >&2; exit 1;; esac
echo "$rules" | {nft} -f -
"""


@pytest.mark.usefixtures("before")
def test_a_kernel_without_nat66_leaves_ipv4(host: Host, tmp_path) -> None:
    nft = tmp_path / "nft"
    nft.write_text(NO_NAT66.format(nft=shutil.which("nft")))
    nft.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with SchemeMount(*TAP, "--uplink", prefix=host.namespace.prefix, environment=environment) as mount:
        assert "no IPv6 beyond the host: this kernel can't forward and masquerade with nftables" in mount.ready_line
        assert "1 packets received" in shell(mount, "cat icmp/ping/192.0.2.2,count=1")
        assert "default via fd00" not in shell(mount, "cat netcfg/route/list")
        assert "all/forwarding:0" in host.settings6()

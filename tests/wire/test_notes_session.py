"""The session that the notes end with, and what they were waiting for: a name, ping by it, HTTP, HTTPS, the logs.

    daemon 10.0.2.15 ── TAP ── host ── veth ── world: www.example 192.0.2.2, dnsmasq, HTTP and HTTPS
           fd00:10:0:2::15                            six.example 2001:db8:9::2

Everything by shell from the mounted files, and by the tools; then once more after the daemon was ended and started.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.tls_certificates import Authority
from tests.support.uplink_host import WAYS, Host

pytestmark = pytest.mark.needs("fuse", "tap", "root", "nft", "dnsmasq")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.certificate("www", "www.example", "six.example")
    return made


@pytest.fixture
def host(_no_leftovers: None, authority: Authority, family: Family) -> Iterator[Host]:
    made = Host(ipv6=family.version == 6)
    made.serve("443", str(authority.folder / "www.pem"), address=WAYS[family].world)
    yield made
    made.close()


def shell(mount: SchemeMount, command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SCHEME": str(mount.path)}
    environment.pop("SSL_CERT_FILE", None)  # the CAs of the caller, which get would take: those of the mount are meant
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=mount.path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{mount.log()}"
    return done.stdout


def session(mount: SchemeMount, family: Family) -> None:
    name, world, masqueraded = WAYS[family]
    hello = f"hello {masqueraded}"
    assert {"ip", "tcp", "udp", "icmp", "netcfg", "dns", "tls"} <= set(shell(mount, "ls").split())
    assert f"default via {family.peer}" in shell(mount, "cat netcfg/route/list")
    assert shell(mount, f"cat dns/{name},type=any") == f"{world}\n"
    assert "5 packets transmitted, 5 packets received, 0.00% packet loss" in shell(
        mount, f"cat icmp/ping/{name},count=5,interval=0.1"
    )
    assert "0% packet loss" in shell(mount, f"schemefs ping -c 5 -i 0.2 {name}").replace("0.00%", "0%")
    request = "echo -ne 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    assert hello in shell(mount, f"exec 3<>tcp/{name}:80; {request}")
    assert hello in shell(mount, f"exec 3<>tls/{name}:443; {request}")
    assert shell(mount, f"schemefs get http://{name}/") == f"{hello}\n"
    assert shell(mount, f"schemefs get https://{name}/") == f"{hello}\n"
    refused = shell(mount, f"cat 'tls/{world.at(443)}' 2>&1 || cat tls/err")
    assert "IP address mismatch" in refused
    log = shell(mount, "cat logging/net/schemefs.log")
    for step in ("SYN", family.pick("ARP request for", "solicitation of")):
        assert step in log


def test_the_session_of_the_notes_twice(host: Host, authority: Authority, family: Family) -> None:
    for _ in range(2):
        mount = host.mount(trusting=authority.ca)
        try:
            session(mount, family)
        finally:
            mount.close()
        assert "schemefs" not in host.rules()

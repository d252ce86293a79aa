"""The network beyond the host, for the demo: a namespace with a name server and a web server, and an authority.

daemon 10.0.2.15 ── TAP ── host ── veth 192.0.2.1 ── 192.0.2.2 www.example: DNS, HTTP, HTTPS
       fd00:10:0:2::15              2001:db8:9::1 ── 2001:db8:9::2 six.example: HTTP, if the kernel has IPv6

It needs network and mount namespaces of its own: a bind mount covers the host's resolv.conf. SSL_CERT_FILE names the
authority's certificate, so it is the trust store of every program that is started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import trustme

ADDRESS = "192.0.2.2"
ADDRESS6 = "2001:db8:9::2"
NAME = "www.example"
NAME6 = "six.example"
PROBE = """table ip probe {
  chain out {
    type nat hook postrouting priority 100
    masquerade
  }
}
delete table ip probe
"""


def what_is_missing() -> str:
    """Return what this machine lacks for it; empty: nothing."""
    for program in ("nft", "dnsmasq"):
        if not shutil.which(program):
            return f"there is no {program} command"
    if subprocess.run(
        ["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"], check=False
    ).returncode:
        return "this kernel has no veth devices"
    _run("ip", "link", "delete", "probe0")
    probed = subprocess.run(["nft", "-f", "-"], input=PROBE, check=False, text=True, stderr=subprocess.DEVNULL)
    return "this kernel can't masquerade with nftables" if probed.returncode else ""


def has_ipv6() -> bool:
    """Return whether new interfaces have IPv6."""
    try:
        return Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").read_text().strip() == "0"
    except FileNotFoundError:
        return False


@contextmanager
def world(folder: Path) -> Iterator[None]:
    """Set up the network beyond the host, until the context ends; its files are in *folder*."""
    certificate = _certificate(folder)
    with ExitStack() as ends:
        namespace = _start(ends, ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"])
        inside = ["nsenter", f"--net=/proc/{namespace.pid}/ns/net"]
        _run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", str(namespace.pid))
        _run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
        _run("ip", "link", "set", "up0", "up")
        _run(*inside, "ip", "address", "add", f"{ADDRESS}/24", "dev", "up1")
        _run(*inside, "ip", "link", "set", "up1", "up")
        server = [*inside, sys.executable, str(Path(__file__).with_name("hello_server.py"))]
        if has_ipv6():
            _run("ip", "address", "add", "2001:db8:9::1/64", "dev", "up0", "nodad")
            _run("ip", "-6", "route", "add", "default", "via", ADDRESS6)
            _run(*inside, "ip", "address", "add", f"{ADDRESS6}/64", "dev", "up1", "nodad")
            _start(ends, [*server, ADDRESS6, "80"])
        _start(ends, [*server, ADDRESS, "80"])
        _start(ends, [*server, ADDRESS, "443", str(certificate)])
        names = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root"]
        names += [
            "--pid-file",
            f"--listen-address={ADDRESS}",
            "--bind-interfaces",
            "--local-ttl=60",
            f"--address=/{NAME}/{ADDRESS}",
            f"--address=/{NAME6}/{ADDRESS6}",
        ]
        _start(ends, [*inside, *names], says_ready=False)
        (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\n")
        _run("mount", "--bind", str(folder / "resolv.conf"), "/etc/resolv.conf")
        os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
        yield


def _certificate(folder: Path) -> Path:
    """Return a PEM file: a certificate for NAME, signed by the authority in ca.pem, and its key."""
    authority = trustme.CA(organization_name="the demo's authority")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    pem = folder / "www.pem"
    authority.issue_cert(NAME, common_name=NAME).private_key_and_cert_chain_pem.write_to_path(str(pem))
    return pem


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _start(ends: ExitStack, command: list[str], *, says_ready: bool = True) -> subprocess.Popen[str]:
    """Start a program that ends with the context, and wait until it is ready."""
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    ends.callback(_end, started)
    if says_ready:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line == "ready\n", f"{command[-1]}: {line!r}"
    return started


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    process.communicate()

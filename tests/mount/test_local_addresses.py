"""Listening and binding on one address of a real mount: by path, by `serve` and by `nc -l -s`; poll(2) of each."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Address, Family
from tests.support.tls_certificates import self_signed

pytestmark = pytest.mark.needs("fuse")

NONBLOCK = os.O_RDWR | os.O_NONBLOCK


@pytest.fixture
def tree(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path


@pytest.fixture
def files() -> Iterator[list[int]]:
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def refused(path: Path) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:
        os.close(os.open(path, NONBLOCK))
    return caught.value.errno, (path.parent / "err").read_text().strip()


def ready(descriptor: int, seconds: float) -> tuple[int, bool, int]:
    """Return what poll, select and epoll say of a descriptor that is to be read."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    polled = poller.poll(seconds * 1000)
    selected, _, _ = select.select([descriptor], [], [], seconds)
    with select.epoll() as epoll:
        epoll.register(descriptor, select.EPOLLIN)
        waited = epoll.poll(seconds)
    return polled[0][1] if polled else 0, bool(selected), waited[0][1] if waited else 0


NOTHING = (0, False, 0)
READABLE = (select.POLLIN, True, select.EPOLLIN)


def port_of(tree: Path, descriptor: int) -> str:
    return (
        (tree / os.getxattr(descriptor, "user.conversation").decode() / "local").read_text().strip().rpartition(":")[2]
    )


@pytest.fixture
def other(tree: Path, family: Family) -> Iterator[Address]:
    """Give lo a second address."""
    addresses = tree / "netcfg/ifaces/lo/addr"
    (addresses / "add").write_text(f"{family.absent}/{family.bits}\n")
    yield family.absent
    (addresses / "rm").write_text(f"{family.absent}/{family.bits}\n")


def test_a_tcp_listener_of_one_address_is_pollable(
    tree: Path, files: list[int], family: Family, other: Address
) -> None:
    listener = os.open(tree / f"tcp/{family.lo.at(0)},listen", NONBLOCK)
    files.append(listener)
    assert ready(listener, 0) == NOTHING
    with pytest.raises(BlockingIOError):
        os.read(listener, 100)
    port = port_of(tree, listener)
    files.append(os.open(tree / f"tcp/{family.lo.at(port)}", os.O_RDWR))
    assert ready(listener, 10) == READABLE
    number, _, local = os.read(listener, 100).decode().split()
    assert local == family.lo.at(port)
    assert ready(listener, 0) == NOTHING
    files.append(os.open(tree / f"tcp/{number}/data", os.O_RDWR))
    os.write(files[1], b"hello")
    assert os.read(files[2], 100) == b"hello"
    assert refuses_to_connect(tree / f"tcp/{other.at(port)}")
    assert refused(tree / f"tcp/:{port},listen") == (errno.EADDRINUSE, f"{family.lo.at(port)} is in use")
    os.close(os.open(tree / f"tcp/{other.at(port)},listen", NONBLOCK))


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
@pytest.mark.parametrize("host", ["[UNROUTED]", "no-such-host.invalid"])
def test_an_address_of_another_host_is_eaddrnotavail(tree: Path, scheme: str, host: str, family: Family) -> None:
    host = family.fill(host)
    sentence = f"{host.strip('[]')} is not a local address"
    assert refused(tree / scheme / f"{host}:7301,listen") == (errno.EADDRNOTAVAIL, sentence)
    word = "accept" if scheme == "tcp" else "bind"
    assert refused(tree / scheme / f"{host}:7301,{word}") == (errno.EADDRNOTAVAIL, sentence)


def test_a_udp_listener_and_a_bound_endpoint(tree: Path, files: list[int], family: Family) -> None:
    with open(tree / "netcfg/resolv/hosts", "a") as hosts:
        hosts.write(f"{family.lo} here.test\n")
    listener = os.open(tree / "udp/here.test:0,listen", NONBLOCK)
    bound = os.open(tree / f"udp/{family.lo.at(0)},bind,headers", NONBLOCK)
    files += [listener, bound]
    for local in files[:2]:
        assert ready(local, 0) == NOTHING
        client = os.open(tree / f"udp/{family.lo.at(port_of(tree, local))}", os.O_RDWR)
        files.append(client)
        os.write(client, b"hello")
        assert ready(local, 10) == READABLE
    number = os.read(listener, 100).split()[0].decode()
    data = os.open(tree / f"udp/{number}/data", os.O_RDWR)
    files.append(data)
    assert os.read(data, 100) == b"hello"
    line, payload = os.read(bound, 100).split(b"\n")
    assert payload == b"hello"
    os.write(bound, line.split()[0] + b"\nanswer")
    assert os.read(files[3], 100) == b"answer"


def test_a_tls_listener_of_one_address(tree: Path, files: list[int], tmp_path: Path, family: Family) -> None:
    pem = str(self_signed(tmp_path, "localhost")).replace("/", "%2F")
    pair = f"cert={pem},key={pem}"
    listener = os.open(tree / f"tls/{family.lo.at(0)},listen,{pair}", NONBLOCK)
    files.append(listener)
    assert ready(listener, 0) == NOTHING
    port = port_of(tree, listener)
    client = os.open(tree / f"tls/{family.lo.at(port)},verify=no", os.O_RDWR)
    files.append(client)
    assert ready(listener, 10) == READABLE
    number = os.read(listener, 100).split()[0].decode()
    files.append(os.open(tree / f"tls/{number}/data", os.O_RDWR))
    os.write(client, b"hello")
    assert os.read(files[2], 100) == b"hello"
    number_, sentence = refused(tree / f"tls/{family.unrouted.at(8443)},listen,{pair}")
    assert (number_, sentence) == (errno.EADDRNOTAVAIL, f"{family.unrouted} is not a local address")


def test_a_shell_serves_on_one_address(tree: Path, family: Family) -> None:
    script = family.fill("""
        echo LO here.shell >>netcfg/resolv/hosts
        exec 4<>tcp/[LO]:7302,listen
        { read -r n _ <&4; echo served >tcp/$n/tx; } &
        cat tcp/[LO]:7302
        echo by accept >tcp/here.shell:7302,accept & cat tcp/[LO]:7302; wait
    """)
    done = subprocess.run(["bash", "-c", script], cwd=tree, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("served\nby accept\n", "")


def tool(tree: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "schemefs", arguments[0], "--mount", str(tree), *arguments[1:]]


def test_serve_listens_on_one_address(tree: Path, family: Family, other: Address) -> None:
    command = tool(tree, "serve", family.lo.at(7303), "--", "echo", "hello")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == f"listening on {family.lo.at(7303)}\n"
        assert (tree / f"tcp/{family.lo.at(7303)}").read_text() == "hello\n"
        assert refuses_to_connect(tree / "tcp" / other.at(7303))
        server.send_signal(signal.SIGTERM)


def refuses_to_connect(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR))
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("datagrams", [False, True])
def test_nc_listens_on_one_address_and_connects_from_one(
    tree: Path, datagrams: bool, family: Family, other: Address
) -> None:
    option = ["-u", "-w", "1"] if datagrams else ["-N"]
    server = subprocess.Popen(
        tool(tree, "nc", *option, "-l", "-s", other, "7304"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with server:
        while other.at(7304) not in subprocess.check_output(tool(tree, "ss", "-l"), text=True):
            pass
        client = tool(tree, "nc", *option, "-s", family.lo, other, "7304")
        done = subprocess.run(client, input=b"hello\n", capture_output=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert server.stdout is not None
        assert server.stdout.read() == b"hello\n"
    assert server.returncode == 0


def test_nc_on_an_address_of_another_host(tree: Path, family: Family) -> None:
    done = subprocess.run(
        tool(tree, "nc", "-l", "-s", family.unrouted, "7305"), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "Cannot assign requested address" in done.stderr
    assert f"{family.unrouted} is not a local address" in done.stderr


def test_what_is_written_from_an_address_that_is_gone_says_so(tree: Path, files: list[int], family: Family) -> None:
    gone = family.absent
    line = f"{gone}/{family.bits}\n"
    ifaces = tree / "netcfg/ifaces/lo/addr"
    (ifaces / "add").write_text(line)
    listener = os.open(tree / f"tcp/{gone.at(7303)},listen", NONBLOCK)
    client = os.open(tree / f"tcp/{gone.at(7303)},events", os.O_RDWR)
    endpoint = os.open(tree / f"udp/{gone.at(9)}", os.O_RDWR)
    echo = os.open(tree / f"icmp/echo/{gone}", os.O_RDWR)
    files += [listener, client, endpoint, echo]
    (ifaces / "rm").write_text(line)
    for file, scheme in ((client, "tcp"), (client, "tcp"), (endpoint, "udp"), (echo, "icmp")):
        with pytest.raises(OSError, match="Network is unreachable"):
            os.write(file, b"octets")
        assert (tree / scheme / "err").read_text() == f"{gone} is not a local address\n"
    events = tree / os.getxattr(client, "user.conversation").decode() / "events"
    assert f"{gone} is not a local address" in events.read_text()
    (ifaces / "add").write_text(line)
    assert os.write(client, b"octets") == 6
    (ifaces / "rm").write_text(line)

"""`schemefs socks`: curl and a client of our own reach the servers of a mount; the replies name what went wrong."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import FAMILIES, V4, V6, Family

GREETINGS = tuple(f"hello {family.lo.host}:" for family in FAMILIES)
pytestmark = pytest.mark.needs("fuse")

SCHEMEFS = [sys.executable, "-m", "schemefs"]
HELLO = 'while read -r line && [ ${#line} -gt 1 ]; do :; done; printf "HTTP/1.0 200 OK\\r\\n\\r\\nhello $REMOTE"'


@contextmanager
def running(mount: Path, *arguments: str, ready: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*SCHEMEFS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"SCHEME": str(mount)},
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(ready)
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def mount(module_scheme_mount: SchemeMount) -> Iterator[Path]:
    path = module_scheme_mount.path
    with (
        running(path, "serve", ":80", "--", "sh", "-c", HELLO, ready="listening"),
        running(path, "serve", ":81", "--", "sha256sum", ready="listening"),
    ):
        yield path


@pytest.fixture(scope="module")
def proxy(mount: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("socks") / "socket"
    with running(mount, "socks", str(path), ready="SOCKS5 on"):
        yield path
    assert not path.exists()


def curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stdout


def connect(family: Family, port: int, host: str = "") -> bytes:
    """Return a request to connect, with an address (RFC 1928 §4)."""
    octets = socket.inet_pton(getattr(socket, family.socket), host or family.lo)
    return b"\5\1\0" + family.pick(b"\1", b"\4") + octets + port.to_bytes(2, "big")


def ask(proxy: Path, request: bytes) -> tuple[socket.socket, bytes]:
    """Negotiate, and return the connection and the reply's code and address."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(proxy))
    client.sendall(b"\5\1\0" + request)
    got = b""
    while len(got) < 12 and (octets := client.recv(12 - len(got))):
        got += octets
    assert got[:2] == b"\5\0"
    return client, got[2:]


@pytest.mark.needs("curl")
def test_curl_by_a_unix_socket_with_a_remote_name(proxy: Path) -> None:
    assert curl("--proxy", f"socks5h://localhost{proxy}", "http://localhost/").startswith(GREETINGS)
    assert proxy.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("curl")
def test_curl_by_a_port(mount: Path, family: Family) -> None:
    with socket.socket() as free:  # of the machine's own lo
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with running(mount, "socks", address, ready="SOCKS5 on"):
        assert curl("--socks5-hostname", address, "http://localhost/").startswith(GREETINGS)
        assert curl("--socks5", address, f"http://{family.lo.host}/").startswith(f"hello {family.lo.host}:")


def test_each_direction_ends_by_itself(proxy: Path, family: Family) -> None:
    """The server answers only after the client's end: 4 MiB go in, a sum comes out."""
    octets = os.urandom(4 << 20)
    client, answer = ask(proxy, connect(family, 81))
    with client, client.makefile() as lines:
        assert answer[:8] == b"\5\0\0" + connect(family, 81)[3:8]
        client.recv(len(connect(family, 81)) - 10)  # the rest of the address
        client.sendall(octets)
        client.shutdown(socket.SHUT_WR)
        assert lines.read().split()[0] == hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (connect(V4, 9), 5),  # no listener
        (connect(V6, 9), 5),
        (connect(V4, 9, V4.unrouted), 3),  # only lo: no route
        (connect(V6, 9, V6.unrouted), 3),
        (b"\5\1\0\3\x0cnone.invalid\0\x50", 4),  # no such name
        (b"\5\1\0\1\x7f\0\0\1\0\0", 1),  # no such port
        (b"\5\2\0\1\x7f\0\0\1\0\x50", 7),  # BIND
        (b"\5\3\0\1\x7f\0\0\1\0\x50", 7),  # UDP ASSOCIATE
    ],
)
def test_failures_have_their_codes(proxy: Path, request_: bytes, code: int) -> None:
    client, answer = ask(proxy, request_)
    with client:
        assert answer == bytes((5, code, 0, 1)) + bytes(6)
        assert client.recv(1) == b""


def test_clients_at_the_limit_wait(mount: Path, tmp_path: Path, family: Family) -> None:
    path = tmp_path / "socket"
    with running(mount, "socks", str(path), "--limit", "1", ready="SOCKS5 on"):
        first, _ = ask(path, connect(family, 81))
        with socket.socket(socket.AF_UNIX) as second:
            second.connect(str(path))
            second.sendall(b"\5\1\0")
            second.settimeout(0.2)
            with pytest.raises(TimeoutError):
                second.recv(2)
            first.close()
            second.settimeout(20)
            assert second.recv(2) == b"\5\0"


def test_a_socket_left_behind_is_replaced_and_no_other_file(mount: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with running(mount, "socks", str(path), ready="SOCKS5 on") as process:
        again = subprocess.run([*SCHEMEFS, "socks", str(path), "--mount", str(mount)], check=False, capture_output=True)
        assert b"can't be listened on: Address already in use" in again.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_it_is_ready_removes_the_socket(mount: Path, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "socket"
    with subprocess.Popen([*SCHEMEFS, "socks", str(path), "--mount", str(mount)], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not path.exists()


def test_it_ends_when_the_daemon_was_killed(_no_leftovers: None, tmp_path: Path) -> None:
    mount = SchemeMount()
    path = tmp_path / "socket"
    try:
        with running(mount.path, "socks", str(path), ready="SOCKS5 on") as process:
            pidfd = os.pidfd_open(mount.pid)
            os.kill(mount.pid, signal.SIGKILL)
            assert select.select([pidfd], [], [], 20)[0]
            os.close(pidfd)
            client, _ = ask(path, connect(V4, 80))
            client.close()
            assert process.wait(20) == 1
            assert process.stdout is not None
            assert process.stdout.read().endswith(f"schemefs: the mount {mount.path} has ended\n")
    finally:
        mount.close(check=False)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("0.0.0.0:1080", "is no place to listen: a path with a '/', or a loopback address"),
        ("[::]:1080", "is no place to listen"),
        ("1080", "is no place to listen"),
        ("127.0.0.1:1080,nodelay", "is no place to listen"),
        ("/nowhere/socket", "can't be listened on: No such file or directory"),
        ("/etc/passwd", "can't be listened on: Address already in use"),
    ],
)
def test_an_address_that_cannot_be(mount: Path, address: str, sentence: str) -> None:
    command = [*SCHEMEFS, "socks", address, "--mount", str(mount)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2

"""`schemefs run -- CMD` over loopback: real programs, unchanged, on the sockets of a mount."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")

RUN = (sys.executable, "-m", "schemefs", "run")
TIMEOUT = 30.0


def run(mount: SchemeMount, *command: str, **options) -> subprocess.CompletedProcess[str]:
    words = [*RUN, "--mount", str(mount.path), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False, **options)


def python(mount: SchemeMount, code: str) -> str:
    done = run(mount, "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def web(module_scheme_mount: SchemeMount) -> Iterator[str]:
    """The address of an HTTP server on the files of the mount: two answers."""
    path = module_scheme_mount.path
    with open(path / "tcp/127.0.0.1:0,listen", "r+b", buffering=0) as listener:
        import os

        address = os.getxattr(listener.fileno(), "user.local").decode()

        def serve() -> None:
            while line := listener.read(256):
                with open(path / "tcp" / line.split()[0].decode() / "data", "r+b", buffering=0) as data:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += data.read(4096)
                    data.write(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
                    data.read(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield address
        with open(path / os.getxattr(listener.fileno(), "user.conversation").decode() / "ctl", "w") as ctl:
            ctl.write("close\n")
        thread.join()


@pytest.mark.needs("curl")
def test_curl_gets_a_page(module_scheme_mount: SchemeMount, web: str) -> None:
    done = run(module_scheme_mount, "--", "curl", "-sS", f"http://{web}/test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.needs("curl")
def test_verbose_has_a_line_for_each_call(module_scheme_mount: SchemeMount, web: str) -> None:
    done = run(module_scheme_mount, "-v", "--", "curl", "-sS", f"http://{web}/test")
    assert f", {web}) = -1 EINPROGRESS" in done.stderr
    assert ", SOL_SOCKET:4: 0) = 0" in done.stderr


@pytest.mark.needs("curl")
def test_curl_is_refused_with_the_errno(module_scheme_mount: SchemeMount) -> None:
    done = run(module_scheme_mount, "--", "curl", "-sS", "http://127.0.0.1:9/")
    assert done.returncode == 7
    assert "Couldn't connect" in done.stderr or "Connection refused" in done.stderr


def test_a_program_talks_to_itself(module_scheme_mount: SchemeMount) -> None:
    code = """
import socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
client = socket.create_connection(server.getsockname())
accepted, peer = server.accept()
assert peer == client.getsockname(), (peer, client.getsockname())
assert accepted.getsockname() == client.getpeername() == server.getsockname()
client.sendall(b"x" * 100_000)
client.shutdown(socket.SHUT_WR)
octets = b""
while more := accepted.recv(65536):
    octets += more
print(len(octets))
"""
    assert python(module_scheme_mount, code) == "100000\n"


def test_exit_status_is_the_programs(module_scheme_mount: SchemeMount) -> None:
    assert run(module_scheme_mount, "--", "sh", "-c", "exit 7").returncode == 7
    assert run(module_scheme_mount, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15


def test_a_program_that_does_not_exist(module_scheme_mount: SchemeMount) -> None:
    done = run(module_scheme_mount, "--", "no-such-program")
    assert (done.returncode, done.stderr) == (2, "schemefs run: no-such-program: there is no such program\n")

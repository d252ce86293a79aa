"""`schemefs serve` on a real mount: a command per connection, its environment, the limit, and what can't be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


class Servers:
    """Starts `schemefs serve` on one mount and returns where each listens."""

    def __init__(self, mount: SchemeMount, family: Family) -> None:
        self.mount = mount
        self.family = family
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, address: str = ":0") -> str:
        command = [sys.executable, "-m", "schemefs", "serve", "--mount", str(self.mount.path), *arguments[:-1]]
        command += [address, "--", "bash", "-c", arguments[-1]]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.processes.append(server)
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("listening on "), line
        return line.split()[-1].replace("*", self.family.lo.host)

    def close(self) -> None:
        for server in self.processes:
            server.terminate()
            server.wait(5)
            assert server.stdout is not None
            server.stdout.close()


@pytest.fixture
def serve(scheme_mount: SchemeMount, family: Family) -> Iterator[Servers]:
    servers = Servers(scheme_mount, family)
    yield servers
    servers.close()


def talk(mount: SchemeMount, address: str, text: bytes = b"") -> bytes:
    """Send *text* and the end of file; return what comes back until the end."""
    with open(mount.path / "tcp/clone", "r+b", buffering=0) as ctl:
        name = ctl.read(20).decode().strip()
        ctl.write(f"connect {address}\n".encode())
        directory = mount.path / "tcp" / name
        with open(directory / "rx", "rb", buffering=0) as rx:
            with open(directory / "tx", "wb", buffering=0) as tx:
                if text:
                    tx.write(text)
            return b"".join(iter(lambda: rx.read(65536), b""))


def test_each_connection_has_a_command_of_its_own(serve: Servers, scheme_mount: SchemeMount, family: Family) -> None:
    address = serve("read -r x; echo $x to $REMOTE at $LOCAL; head -n 1 $SCHEME/$CONVERSATION/status")
    for word in (b"one", b"two"):
        answer = talk(scheme_mount, address, word + b"\n").decode().split()
        assert answer[:2] == [word.decode(), "to"]
        assert answer[2].startswith(f"{family.lo.host}:")
        assert answer[3:5] == ["at", address]
        assert answer[5].startswith("state=")


def test_connections_and_their_ends_are_printed_on_request(
    serve: Servers, scheme_mount: SchemeMount, family: Family
) -> None:
    address = serve("-v", "exit 7")
    assert talk(scheme_mount, address) == b""
    output = serve.processes[-1].stdout
    assert output is not None
    assert re.fullmatch(rf"tcp/\d+ from {re.escape(family.lo.host)}:\d+\n", output.readline())
    assert re.fullmatch(r"tcp/\d+ ended with status 7\n", output.readline())


def test_a_large_answer_is_not_cut_off_by_a_request_nobody_read(serve: Servers, scheme_mount: SchemeMount) -> None:
    address = serve("head -c 3000000 /dev/zero")
    assert talk(scheme_mount, address, b"GET / HTTP/1.0\r\n\r\n" * 100) == bytes(3_000_000)


def test_beyond_the_limit_one_waits(serve: Servers, scheme_mount: SchemeMount) -> None:
    address = serve("--limit", "2", "echo $$; exec cat")
    path = str(scheme_mount.path / "tcp" / address)
    clients = [os.open(path, os.O_RDWR) for _ in range(3)]
    try:
        processes = {os.read(client, 100) for client in clients[:2]}
        assert len(processes) == 2
        os.set_blocking(clients[2], False)
        with pytest.raises(BlockingIOError):
            os.read(clients[2], 100)
        os.close(clients.pop(0))
        os.set_blocking(clients[1], True)
        assert os.read(clients[1], 100) not in processes
    finally:
        for client in clients:
            os.close(client)


def test_datagrams_too(serve: Servers, scheme_mount: SchemeMount) -> None:
    local = serve("read -r x; echo got $x", address="udp/:0,listen,bytes")
    with open(scheme_mount.path / f"udp/{local},read_timeout=10", "r+b", buffering=0) as client:
        client.write(b"it\n")
        assert client.read(100) == b"got it\n"


def test_a_sender_of_datagrams_that_is_silent_makes_room(serve: Servers, scheme_mount: SchemeMount) -> None:
    local = serve("--limit", "1", "cat 2>/dev/null", address="udp/:0,listen,read_timeout=0.1")
    for word in (b"one", b"two"):
        with open(scheme_mount.path / f"udp/{local},read_timeout=10", "r+b", buffering=0) as client:
            client.write(word)
            assert client.read(100) == word


@pytest.mark.parametrize(("options", "seconds"), [("", b"30"), (",read_timeout=0", b"0")])
def test_how_long_a_sender_of_datagrams_may_be_silent(
    serve: Servers, scheme_mount: SchemeMount, options: str, seconds: bytes
) -> None:
    local = serve("cat $SCHEME/$CONVERSATION/settings/read_timeout", address=f"udp/:0,listen{options}")
    with open(scheme_mount.path / f"udp/{local},read_timeout=10", "r+b", buffering=0) as client:
        client.write(b"?")
        assert client.read(100).strip() == seconds


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("[UNROUTED]:80", "cat"), "[UNROUTED]:80: Cannot assign requested address: UNROUTED is not a local address"),
        (("example.com:80", "cat"), "example.com is not a local address"),
        (("80", "cat"), "'80' has no port"),
        ((":80,colour=red", "cat"), "there is no option 'colour'"),
        ((":80", "no-such-program"), "there is no program 'no-such-program'"),
        (("sctp/:80", "cat"), "sctp/:80: No such file or directory"),
        (("udp/:0", "cat"), "udp/:0 is one conversation for all senders: udp/:0,listen has one for each"),
        (("udp/[LO]:9", "cat"), "is one conversation for all senders: udp/[LO]:9,listen has one for each"),
        ((":0,timeout=3", "cat"), "'timeout' applies only to connecting addresses"),
        ((":0,accept", "cat"), "'accept' does not apply here: every connection is accepted for a command"),
    ],
)
def test_what_can_not_be_served(
    arguments: tuple[str, ...], sentence: str, module_scheme_mount: SchemeMount, family: Family
) -> None:
    words = map(family.fill, arguments)
    command = [sys.executable, "-m", "schemefs", "serve", "--mount", str(module_scheme_mount.path), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert family.fill(sentence) in done.stderr


def test_the_end_of_the_mount_is_the_servers(mount_scheme: Callable[..., SchemeMount]) -> None:
    mount = mount_scheme()
    server = subprocess.Popen(
        [sys.executable, "-m", "schemefs", "serve", ":0", "cat"],
        env=os.environ | {"SCHEME": str(mount.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("listening on *:")
        mount.close(check=False)
        _, complaint = server.communicate(timeout=10)
    assert server.returncode == 1
    assert complaint.startswith("schemefs: the listener has ended")

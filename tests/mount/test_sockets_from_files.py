"""What a program that makes sockets of files needs: these tests hold only descriptors, as the program does.

`clone` makes a conversation, and its `data` is the socket: polled before it connects, while it listens, and after.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse")

EVERY = select.POLLIN | select.POLLOUT | select.POLLRDHUP


def attribute(file: int, name: str) -> str:
    return os.getxattr(file, f"user.{name}").decode()


def peek(file: int) -> bytes:
    return os.getxattr(f"/proc/self/fd/{file}", "user.peek")


def poll(file: int, seconds: float = 10, events: int = EVERY) -> int:
    poller = select.poll()
    poller.register(file, events)
    return dict(poller.poll(seconds * 1000)).get(file, 0)


def wait_readable(file: int) -> None:
    assert poll(file, events=select.POLLIN)


class Socket:
    """An unconnected conversation of which only `data` is open."""

    def __init__(self, root: Path, protocol: str = "tcp") -> None:
        clone = os.open(root / protocol / "clone", os.O_RDWR)
        self.directory = root / attribute(clone, "conversation")
        self.file = os.open(self.directory / "data", os.O_RDWR | os.O_NONBLOCK)
        os.close(clone)

    def ctl(self, line: str) -> int:
        """Return the errno; 0: done."""
        ctl = os.open(self.directory / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(ctl, line.encode())
        except OSError as error:
            return error.errno or 0
        finally:
            os.close(ctl)
        return 0


@contextmanager
def closed(*files: int) -> Iterator[None]:
    try:
        yield
    finally:
        for file in files:
            with suppress(OSError):
                os.close(file)


@pytest.fixture
def root(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path


def pair(root: Path, family: Family, options: str = "") -> tuple[int, int]:
    listener = os.open(root / f"tcp/{family.lo.at(0)},listen", os.O_RDWR)
    with closed(listener):
        client = os.open(root / f"tcp/{attribute(listener, 'local')}{options}", os.O_RDWR)
        number = os.read(listener, 100).split()[0].decode()
        return client, os.open(root / "tcp" / number / "data", os.O_RDWR)


def test_tcp_peek_shows_the_next_octets_and_takes_none(root: Path, family: Family) -> None:
    client, server = pair(root, family)
    with closed(client, server):
        with pytest.raises(BlockingIOError):
            peek(client)
        os.write(server, b"first ")
        wait_readable(client)
        os.write(server, b"x" * 70_000)
        status = root / attribute(client, "conversation") / "status"
        while "receive_queue=70006" not in status.read_text():
            pass
        before = status.read_text().split("receive_queue")[0].split("age=")[0]
        assert peek(client) == b"first " + b"x" * 65_530
        assert peek(client)[:6] == os.read(client, 6)
        assert peek(client) == b"x" * 65_536
        assert before == status.read_text().split("receive_queue")[0].split("age=")[0]
        assert "receive_queue=70000" in status.read_text()
        assert len(os.read(client, 5)) == 5
        taken = 5
        while taken < 70_000:
            taken += len(os.read(client, 100_000))
        with pytest.raises(BlockingIOError):
            peek(client)
        os.write(server, b"last")
        os.close(server)
        while poll(client) & select.POLLRDHUP == 0:
            pass
        assert [peek(client), os.read(client, 10), peek(client), os.read(client, 10)] == [b"last", b"last", b"", b""]


def test_the_length_of_a_peek_is_asked_without_a_buffer(root: Path, family: Family) -> None:
    client, server = pair(root, family)
    with closed(client, server):
        os.write(server, b"12345")
        wait_readable(client)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.fgetxattr(client, b"user.peek", None, 0) == 5
        assert libc.fgetxattr(client, b"user.peek", bytes(4), 4) == -1  # ERANGE: not less than there is
        assert os.read(client, 100) == b"12345"


def test_a_reset_is_seen_as_often_as_it_is_asked_and_raised_once(root: Path, family: Family) -> None:
    client, server = pair(root, family)
    with closed(client, server):
        assert attribute(client, "error") == "0"
        ctl = os.open(root / attribute(server, "conversation") / "ctl", os.O_WRONLY)
        os.write(ctl, b"hangup")
        os.close(ctl)
        while not poll(client) & select.POLLERR:
            pass
        for _ in range(2):
            assert attribute(client, "error") == str(errno.ECONNRESET)
            with pytest.raises(ConnectionResetError):
                peek(client)
        with pytest.raises(ConnectionResetError):
            os.read(client, 1)
        assert (attribute(client, "error"), peek(client)) == ("0", b"")


def test_events_have_a_line_for_a_peek(root: Path, family: Family) -> None:
    client, server = pair(root, family, ",events")
    with closed(client, server):
        os.write(server, b"12345")
        wait_readable(client)
        peek(client)
        assert "peek: 5" in (root / attribute(client, "conversation") / "events").read_text()


def test_udp_peek_shows_one_datagram_with_its_line(root: Path, family: Family) -> None:
    bound = os.open(root / f"udp/{family.lo.at(0)},bind,headers", os.O_RDWR | os.O_NONBLOCK)
    sender = os.open(root / f"udp/{attribute(bound, 'local')}", os.O_RDWR | os.O_NONBLOCK)
    with closed(bound, sender):
        with pytest.raises(BlockingIOError):
            peek(bound)
        for text in (b"one", b"two"):
            os.write(sender, text)
            wait_readable(bound)
        line = f"{attribute(sender, 'local')} 3\n".encode()
        assert [peek(bound), peek(bound)] == [line + b"one"] * 2
        assert os.read(bound, 4) == line[:4]
        assert peek(bound) == line[4:] + b"one"
        os.read(bound, 100)
        assert [peek(bound), os.read(bound, 100)] == [line + b"two"] * 2
        os.write(bound, f"{attribute(sender, 'local')}\nanswer".encode())
        wait_readable(sender)
        assert [peek(sender), os.read(sender, 100)] == [b"answer"] * 2


def test_tls_peek_shows_plaintext(root: Path, tmp_path: Path, family: Family) -> None:
    certificate = str(Authority(tmp_path).certificate("here", "localhost")).replace("/", "%2F")
    listener = os.open(root / f"tls/{family.lo.at(0)},listen,cert={certificate}", os.O_RDWR)
    client = os.open(root / f"tls/{attribute(listener, 'local')},verify=no", os.O_RDWR | os.O_NONBLOCK)
    server = os.open(root / "tls" / os.read(listener, 100).split()[0].decode() / "data", os.O_RDWR)
    with closed(listener, client, server):
        while not poll(client) & select.POLLOUT:
            pass
        with pytest.raises(BlockingIOError):
            peek(client)
        os.write(server, b"plain")
        wait_readable(client)
        assert [peek(client), os.read(client, 10)] == [b"plain"] * 2


def test_an_announced_data_file_is_polled_and_accept_gives_the_connection(root: Path, family: Family) -> None:
    listener, client = Socket(root), Socket(root)
    with closed(listener.file, client.file):
        assert listener.ctl(f"announce {family.lo.at(0)}") == 0
        local = attribute(listener.file, "local")
        assert (local.rpartition(":")[0], attribute(listener.file, "remote")) == (family.lo.host, "")
        assert poll(listener.file, 0) == 0
        with pytest.raises(BlockingIOError):
            os.open(listener.directory / "accept", os.O_RDWR | os.O_NONBLOCK)
        assert client.ctl(f"connect {local}") == errno.EINPROGRESS
        assert poll(client.file, events=select.POLLOUT) == select.POLLOUT
        assert poll(listener.file) == select.POLLIN
        accepted = os.open(listener.directory / "accept", os.O_RDWR | os.O_NONBLOCK)
        with closed(accepted):
            assert attribute(accepted, "local") == local
            assert attribute(accepted, "remote") == attribute(client.file, "local")
            assert poll(listener.file, 0) == 0
            os.write(client.file, b"hello")
            wait_readable(accepted)
            assert os.read(accepted, 10) == b"hello"


def test_accept_of_what_does_not_listen_is_refused(root: Path) -> None:
    socket = Socket(root)
    with closed(socket.file), pytest.raises(OSError, match="Invalid argument"):
        os.open(socket.directory / "accept", os.O_RDWR)


def test_every_socket_has_an_inode_of_its_own_that_duplicates_and_children_share(root: Path) -> None:
    one, two = Socket(root), Socket(root)
    with closed(one.file, two.file):
        identity = os.fstat(one.file).st_dev, os.fstat(one.file).st_ino
        assert identity != (os.fstat(two.file).st_dev, os.fstat(two.file).st_ino)
        shown = os.stat(f"/proc/self/fd/{os.dup(one.file)}")
        assert (shown.st_dev, shown.st_ino) == identity
        first, second = (os.open(root / "tcp/clone", os.O_RDWR) for _ in range(2))
        with closed(first, second):
            assert os.fstat(first).st_ino != os.fstat(second).st_ino
            assert attribute(first, "conversation") != attribute(second, "conversation")


def test_a_refused_connect_is_an_error_to_poll_and_waits_to_be_taken(root: Path, family: Family) -> None:
    socket = Socket(root)
    with closed(socket.file):
        assert poll(socket.file, 0) == select.POLLOUT | select.POLLHUP  # as of a new socket on Linux
        assert socket.ctl(f"connect {family.lo.at(9)}") == errno.EINPROGRESS
        assert poll(socket.file) & select.POLLERR
        assert attribute(socket.file, "error") == str(errno.ECONNREFUSED)
        assert socket.ctl(f"connect {family.lo.at(9)}") == errno.ECONNREFUSED  # the same call again takes it
        assert attribute(socket.file, "error") == "0"


# The process that uses a conversation


def used_by(root: Path, file: int) -> tuple[int, str]:
    lines = (root / attribute(file, "conversation") / "status").read_text().splitlines()
    status = dict(line.split("=", 1) for line in lines)
    return int(status["pid"]), status["program"]


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


def test_status_names_the_process_that_last_read_or_wrote(root: Path, family: Family) -> None:
    client, server = pair(root, family)
    with closed(client, server):
        assert used_by(root, client) == (os.getpid(), own_name())  # it has opened it
        os.write(server, b"123")
        subprocess.run(["head", "-c", "3"], stdin=client, stdout=subprocess.DEVNULL, check=True, timeout=10)
        assert used_by(root, client) == (0, "")  # the process has ended
        with reader_of_two_lines(client) as shell:
            os.write(server, b"one\n")
            while used_by(root, client) != (shell.pid, "sh"):
                assert shell.poll() is None
            assert used_by(root, server) == (os.getpid(), own_name())
            os.write(server, b"two\n")
            shell.wait(timeout=10)


@contextmanager
def reader_of_two_lines(file: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "read -r one; read -r two"], stdin=file) as shell:
        try:
            yield shell
        finally:
            shell.kill()


def test_a_thread_is_shown_as_its_process(root: Path, family: Family) -> None:
    client, server = pair(root, family)
    with closed(client, server):
        writer = threading.Thread(target=os.write, args=(client, b"x"))
        writer.start()
        writer.join()
        os.write(client, b"y")
        assert used_by(root, client) == (os.getpid(), own_name())


def test_the_opener_alone_names_the_owner_and_a_third_process_replaces_it(root: Path, family: Family) -> None:
    clone = os.open(root / "tcp/clone", os.O_RDWR)
    with closed(clone):
        ctl = root / attribute(clone, "conversation") / "ctl"
        assert subprocess.run(["sh", "-c", 'echo owner 7 >"$0"', ctl], capture_output=True, check=False).returncode
        assert "only the process that opened the conversation names its owner" in (root / "tcp/err").read_text()
        os.write(clone, b"owner 4242 some program")
        assert used_by(root, clone) == (4242, "some program")
        again = os.open(ctl, os.O_WRONLY)
        with closed(again):
            os.write(again, f"owner {os.getpid()}".encode())
            for bad in ("", "x", "0", "-1", "\u0663 x", "4194304"):
                with pytest.raises(OSError, match="Invalid argument"):
                    os.write(again, f"owner {bad}".encode())
        assert used_by(root, clone) == (os.getpid(), own_name())
    bound = os.open(root / f"udp/{family.lo.at(0)},bind,headers", os.O_RDWR)
    with closed(bound):
        ctl = root / attribute(bound, "conversation") / "ctl"
        ctl.write_text("owner 4242 other")
        os.write(bound, f"{attribute(bound, 'local')}\n".encode())  # its opener acts for the other one
        assert used_by(root, bound) == (4242, "other")
        with reader_of_two_lines(bound) as shell:
            while used_by(root, bound) != (shell.pid, "sh"):
                assert shell.poll() is None

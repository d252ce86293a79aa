"""What the mount promises every scheme and every program, on a scheme that is nothing but pipes.

Every call that could hang runs in a child process, so that a fault is a failed test and not a hung one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract_scheme import ContractScheme

from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

SOON = 5.0  # seconds in which everything here happens, also on a busy machine


@pytest.fixture(scope="module")
def mounted(_no_leftovers: None) -> Iterator[SchemeMount]:
    with SchemeMount(schemes=[ContractScheme], log_level="info") as mount:
        yield mount


@pytest.fixture
def pipes(mounted: SchemeMount) -> Iterator[Path]:
    """The directory; at the end of each test no handle may be open any more."""
    path = mounted.path / "pipe"
    yield path
    wait_until(lambda: stats(path)["open"] == 0, f"handles leaked: {stats(path)}")


def stats(path: Path) -> dict[str, int]:
    return observing.stats(path / "stats")


def child(source: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Run Python in a process of its own."""
    command = [sys.executable, "-c", f"import os, select, sys\n{source}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]


def parked(process: subprocess.Popen[str], call: str) -> bool:
    return observing.sleeps_in(process.pid, call)


def result(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=SOON)
    assert not err, err
    return out


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    descriptors: list[int] = []

    def open_(path: Path, flags: int = os.O_RDWR) -> int:
        descriptors.append(os.open(path, flags))
        return descriptors[-1]

    yield open_
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_stalled_writer_does_not_block_another_open_of_the_path(pipes: Path) -> None:
    stalled = child("os.write(os.open(sys.argv[1], os.O_WRONLY), bytes(10))", pipes / "full-x")
    wait_until(lambda: parked(stalled, "write"), "the writer did not park")
    source = "try: os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK), b'x')\nexcept BlockingIOError: print(1)"
    assert result(child(source, pipes / "full-x")) == "1\n"
    stalled.kill()
    stalled.communicate(timeout=SOON)


def test_two_opens_of_a_path_are_two_conversations(pipes: Path, opened: Callable[..., int]) -> None:
    one, two = opened(pipes / "pipe-x"), opened(pipes / "pipe-x", os.O_RDWR | os.O_NONBLOCK)
    os.write(one, b"for one")
    with pytest.raises(BlockingIOError):
        os.read(two, 10)
    assert os.fstat(one).st_ino != os.fstat(two).st_ino
    assert os.read(one, 10) == b"for one"


def test_dev_fd_joins_the_conversation(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    two = opened(Path(f"/dev/fd/{one}"))
    os.write(one, b"hello")
    assert os.read(two, 10) == b"hello"
    assert os.fstat(one).st_ino == os.fstat(two).st_ino
    assert os.getxattr(one, "user.conversation") == b"pipe/0"


def test_streams_cannot_seek_and_say_they_are_files(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    with pytest.raises(OSError) as caught:
        os.lseek(one, 0, os.SEEK_SET)
    assert caught.value.errno == errno.ESPIPE
    status = os.fstat(one)
    assert (status.st_size, status.st_blksize) == (0, 1 << 20)


def test_nonblocking_is_what_the_descriptor_says_now(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    flags = fcntl.fcntl(one, fcntl.F_GETFL)
    fcntl.fcntl(one, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(one, 1)
    assert os.write(one, bytes(8 << 20)) == 4 << 20  # what fits
    with pytest.raises(BlockingIOError):
        os.write(one, b"x")


def test_read_and_write_on_one_descriptor_from_two_processes(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    reader = child("print(os.read(int(sys.argv[1]), 10))", one, pass_fds=[one])
    wait_until(lambda: parked(reader, "read"), "the reader did not park")
    began = time.monotonic()
    os.write(one, b"hello")
    assert time.monotonic() - began < 1
    assert result(reader) == "b'hello'\n"


def test_read_of_four_mebibytes_returns_with_exactly_one_queued(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    os.write(one, bytes(1 << 20))
    reader = child("print(len(os.read(int(sys.argv[1]), 4 << 20)))", one, pass_fds=[one])
    first = int(result(reader))
    assert first in ((1 << 20) - 1, 1 << 20)
    assert len(os.read(one, 1 << 20)) + first == 1 << 20 if first < 1 << 20 else True


@pytest.mark.parametrize("size", [1, 4095, 1 << 20, (1 << 20) + 1, (2 << 20) - 1, 2 << 20, 3 << 20])
def test_any_amount_queued_is_read_whole_and_never_waited_for(
    pipes: Path, opened: Callable[..., int], size: int
) -> None:
    one = opened(pipes / "pipe-x")
    data = os.urandom(size)
    assert os.write(one, data) == size
    got = bytearray()
    while len(got) < size:
        assert select.select([one], [], [], 0)[0]
        got += os.read(one, 4 << 20)
    assert got == data
    assert not select.select([one], [], [], 0)[0]


BLOCKING = {
    "read": ("pipe-x", "os.read(os.open(sys.argv[1], os.O_RDONLY), 1)"),
    "write": ("full-x", "os.write(os.open(sys.argv[1], os.O_WRONLY), b'x')"),
    "open": ("opening-x", "os.open(sys.argv[1], os.O_RDWR)"),
    "fsync": ("unsynced-x", "os.fsync(os.open(sys.argv[1], os.O_RDWR))"),
    "poll": ("pipe-x", "p = select.poll(); p.register(os.open(sys.argv[1], os.O_RDONLY), select.POLLIN); p.poll()"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("call", BLOCKING)
def test_signals_end_every_blocked_call_at_once(pipes: Path, call: str, number: signal.Signals) -> None:
    name, source = BLOCKING[call]
    before = stats(pipes)
    blocked = child("import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n" + source, pipes / name)
    wait_until(lambda: stats(pipes)["opened"] > before["opened"] and parked(blocked, call), f"{call} did not park")
    began = time.monotonic()
    blocked.send_signal(number)
    blocked.wait(SOON)
    took = time.monotonic() - began
    blocked.communicate()
    assert blocked.returncode == -number
    assert took < 0.5  # a few ms on an idle machine
    assert stats(pipes)["given_up"] == before["given_up"] + (call == "open")


def test_handled_signal_ends_a_parked_read_with_eintr_and_loses_nothing(
    pipes: Path, opened: Callable[..., int]
) -> None:
    one = opened(pipes / "pipe-x")
    source = (
        "import signal\n"
        "class Stop(Exception): pass\n"
        "def stop(*_): raise Stop\n"
        "signal.signal(signal.SIGUSR1, stop)\n"
        "try: os.read(int(sys.argv[1]), 1)\n"
        "except Stop: print('stopped', flush=True)\n"
        "print(os.read(int(sys.argv[1]), 10))"
    )
    reader = child(source, one, pass_fds=[one])
    wait_until(lambda: parked(reader, "read"), "did not park")
    reader.send_signal(signal.SIGUSR1)
    assert reader.stdout is not None and reader.stdout.readline() == "stopped\n"
    os.write(one, b"all of it")
    assert result(reader) == "b'all of it'\n"


def test_interrupted_write_answers_what_was_taken(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    source = (
        "import signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "print(os.write(int(sys.argv[1]), bytes(5 << 20)))"
    )
    writer = child(source, one, pass_fds=[one])
    wait_until(lambda: parked(writer, "write"), "did not park")
    while select.select([], [one], [], 0)[1]:  # it sleeps for the reply to each mebibyte; the last park is the one
        pass
    writer.send_signal(signal.SIGUSR1)
    assert result(writer) == f"{4 << 20}\n"


def test_poll_select_and_epoll_see_level_and_edge(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    poll = select.poll()
    poll.register(one, select.POLLIN | select.POLLOUT)
    assert poll.poll(0) == [(one, select.POLLOUT)]
    level, edge = select.epoll(), select.epoll()
    level.register(one, select.EPOLLIN)
    edge.register(one, select.EPOLLIN | select.EPOLLET)
    assert (level.poll(0), edge.poll(0)) == ([], [])
    threading.Timer(0.05, os.write, (one, b"hi")).start()
    assert level.poll(SOON) == [(one, select.EPOLLIN)]
    assert edge.poll(SOON) == [(one, select.EPOLLIN)]
    assert level.poll(0) == [(one, select.EPOLLIN)]
    assert edge.poll(0) == []
    os.write(one, b"more")
    assert edge.poll(SOON) == [(one, select.EPOLLIN)]
    assert poll.poll(0) == [(one, select.POLLIN | select.POLLOUT)]
    assert os.read(one, 10) == b"himore"
    assert level.poll(0) == []
    level.close()
    edge.close()


def test_many_pollers_of_one_file_are_all_woken(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "pipe-x")
    pollers = [
        child("print(select.select([int(sys.argv[1])], [], [])[0] != [])", one, pass_fds=[one]) for _ in range(5)
    ]
    for poller in pollers:
        wait_until(lambda poller=poller: parked(poller, "poll"), "did not poll")
    os.write(one, b"x")
    assert [result(poller) for poller in pollers] == ["True\n"] * 5


def test_poll_of_a_text_tells_of_changes_until_it_is_read_again(pipes: Path, opened: Callable[..., int]) -> None:
    text = opened(pipes / "value", os.O_RDONLY)
    poll = select.poll()
    poll.register(text, select.POLLPRI)
    assert poll.poll(0) == []
    (pipes / "value").write_text("7\n")
    assert poll.poll(1000 * SOON) == [(text, select.POLLPRI | select.POLLERR)]
    assert os.pread(text, 10, 0) == b"7\n"
    assert poll.poll(0) == []


@pytest.mark.parametrize("how", ["raises", "long", "text", "chunks"])
def test_bad_answer_to_a_read_is_eio_and_the_mount_lives(pipes: Path, opened: Callable[..., int], how: str) -> None:
    with pytest.raises(OSError) as caught:
        os.read(opened(pipes / f"broken-{how}"), 10)
    assert caught.value.errno == errno.EIO
    assert (pipes / "value").exists()


@pytest.mark.parametrize("how", ["raises", "long", "text", "poll"])
def test_bad_answer_to_a_write_is_eio_and_the_mount_lives(pipes: Path, opened: Callable[..., int], how: str) -> None:
    with pytest.raises(OSError) as caught:
        os.write(opened(pipes / f"broken-{how}"), b"x")
    assert caught.value.errno == errno.EIO
    assert (pipes / "value").exists()


def test_exception_in_open_or_lookup_is_eio_and_the_mount_lives(pipes: Path, mounted: SchemeMount) -> None:
    for name in ("broken-open", "broken-lookup"):
        with pytest.raises(OSError) as caught:
            os.open(pipes / name, os.O_RDWR)
        assert caught.value.errno == errno.EIO
    wait_until(lambda: "RuntimeError: broken on purpose" in mounted.log(), mounted.log)
    assert (pipes / "value").exists()


def test_exception_in_close_leaves_nothing_open(pipes: Path, mounted: SchemeMount) -> None:
    os.close(os.open(pipes / "broken-close", os.O_RDWR))
    wait_until(lambda: "unexpected failure in release" in mounted.log(), "not logged")
    assert (pipes / "value").exists()


def test_one_handle_for_two_open_files_is_refused(pipes: Path, opened: Callable[..., int]) -> None:
    one = opened(pipes / "broken-shared")
    with pytest.raises(OSError) as caught:
        os.open(f"/dev/fd/{one}", os.O_RDWR)
    assert caught.value.errno == errno.EIO
    os.write(one, b"still works")
    assert os.read(one, 20) == b"still works"


def test_ended_conversation_is_not_made_again(pipes: Path) -> None:
    """A path that was resolved before (O_PATH) names the one conversation, not another."""
    held = os.open(pipes / "pipe-x", os.O_PATH)
    os.close(os.open(f"/proc/self/fd/{held}", os.O_RDWR))
    wait_until(lambda: stats(pipes)["open"] == 0, "not closed")
    with pytest.raises(OSError) as caught:
        os.open(f"/proc/self/fd/{held}", os.O_RDWR)
    assert caught.value.errno == errno.ENOTCONN
    os.close(held)


def test_fixture_mounts_a_scheme_that_is_not_installed(mount_scheme: Callable[..., SchemeMount]) -> None:
    mount = mount_scheme(schemes=[ContractScheme])
    assert {"README", "pipe"} <= set(os.listdir(mount.path))
    assert not (mount.path / "tcp").exists()
    assert "pipes and broken files" in (mount.path / "README").read_text()


@pytest.mark.parametrize("name", ["broken-raises", "broken-poll"])
def test_exception_in_poll_ends_nothing(pipes: Path, opened: Callable[..., int], name: str) -> None:
    poll = select.poll()
    poll.register(opened(pipes / name))
    assert poll.poll(100)
    assert (pipes / "value").exists()


def test_what_this_tree_does_not_do_is_eperm_or_eacces(pipes: Path) -> None:
    for number, act in (
        (errno.EPERM, lambda: os.unlink(pipes / "value")),
        (errno.EPERM, lambda: os.mkdir(pipes / "new")),
        (errno.EPERM, lambda: os.rmdir(pipes)),
        (errno.EPERM, lambda: os.rename(pipes / "value", pipes / "other")),
        (errno.EPERM, lambda: os.symlink("x", pipes / "new")),
        (errno.EPERM, lambda: os.link(pipes / "value", pipes / "new")),
        (errno.EPERM, lambda: os.chmod(pipes / "value", 0o777)),
        (errno.EPERM, lambda: os.chown(pipes / "value", 1, 1)),
        (errno.ENOENT, lambda: os.open(pipes / "new", os.O_CREAT | os.O_WRONLY)),
        (errno.ENODATA, lambda: os.getxattr(pipes / "value", "user.other")),
        (errno.EACCES, lambda: os.open(pipes / "stats", os.O_WRONLY)),
        (errno.ECONNREFUSED, lambda: os.open(pipes / "refused-x", os.O_RDWR)),
    ):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno == number, act
    assert (pipes / "err").read_text() == "nobody listens there\n"


def test_redirection_creates_and_truncates_what_is_there(pipes: Path) -> None:
    subprocess.run(["sh", "-c", "echo 42 > value"], cwd=pipes, check=True, timeout=SOON)
    assert (pipes / "value").read_text() == "42\n"

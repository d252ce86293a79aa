"""The contract suite for schemes: what the mount promises of every scheme, as tests of one of yours.

    import os
    from upper import UpperScheme
    from schemefs.testing.contract import Opened, SchemeContract, opened

    def any_path(mount, closing):
        file = opened(mount / "upper/any", closing)
        def feed():
            os.write(file, b"hello")
            return b"HELLO"
        return Opened(file, feed)

    class TestUpper(SchemeContract):
        schemes = (UpperScheme,)
        streams = {"any": any_path}

The tree: lookups have no side effect, every directory has a README, texts never wait, no name is EIO. Each stream:
a read waits, unless O_NONBLOCK is set; poll, select, epoll and the event scheme predict a read; a signal ends a blocked
call within 50 ms, and no octet is lost. After every test the daemon holds nothing of it.

A process of its own makes each call that could hang (`blocked.py`), so a fault fails the test and does not hang it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from schemefs import plugins
from schemefs.scheme import Scheme
from schemefs.testing.blocked import Blocked, seconds_to_end, walk
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import stats, wait_until

PROMPT: Final = 0.050  # seconds from a signal to the end of the call
TRIES: Final = 5  # the machine may be busy; a call that waits for more than the signal is late every time
SOON: Final = 10.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
LARGEST: Final = 1 << 28  # octets; a stream that takes so many without a reader is not bounded
ODD_NAMES: Final = ("no-such-name", ".hidden", "x" * 255, "a:b:c:d", "1.2.3.4.5:6", "99999999", "\udcff")


@dataclass(frozen=True)
class Opened:
    """An open stream without anything to read."""

    descriptor: int
    feed: Callable[[], bytes | None]  # makes octets arrive, and returns them; None: unknown octets
    write: bytes = b""  # octets that the stream takes at any time; empty: none


Opener = Callable[[Path, ExitStack], Opened]
"""Opens a stream in the mount; the ExitStack closes at the end of the test."""


def opened(path: Path, closing: ExitStack, flags: int = os.O_RDWR) -> int:
    """Open *path* until *closing* closes."""
    descriptor = os.open(path, flags)
    closing.callback(os.close, descriptor)
    return descriptor


class MountedContract:
    """One mount for the class, and a check after each test that the daemon holds nothing of it."""

    schemes: ClassVar[Sequence[type[Scheme]]] = ()
    """The schemes to mount, with those they require, and `event`. Empty: all that are installed."""

    @pytest.fixture(scope="class")
    @classmethod
    def mount(cls, _no_leftovers: None) -> Iterator[SchemeMount]:
        """The mount of the class; at its end, the log must have no traceback."""
        schemes = tuple(cls.schemes)
        if schemes:
            schemes += tuple(scheme for scheme in plugins.load().schemes if scheme.name == "event")
        with SchemeMount(schemes=schemes, log_level="info") as mount:
            yield mount
            assert "Traceback" not in mount.log()

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, mount: SchemeMount) -> Iterator[None]:
        """No stream, listing, parked call or poll of the test is left in the daemon, and it has counted no failure."""

        def held() -> dict[str, int]:
            found = stats(mount.path / "stats")
            return {name: found[name] for name in ("streams", "listings", "parked", "polled", "unexpected")}

        before = held()
        yield
        # Less is no leak: another process may have been looking at the mount before.
        wait_until(
            lambda: all(count <= before[name] for name, count in held().items()),
            lambda: f"before {before}, after {held()}",
        )

    @pytest.fixture
    def closing(self) -> Iterator[ExitStack]:
        """Closed at the end of the test, with all that it opened."""
        with ExitStack() as stack:
            yield stack


class TreeContract(MountedContract):
    """The tests of a scheme's names."""

    directory: ClassVar[str] = ""
    """The directory to test; empty: that of the first of `schemes`, or the whole mount."""

    @pytest.fixture
    def tree(self, mount: SchemeMount) -> Path:
        """The directory to test."""
        return mount.path / (self.directory or "".join(scheme.name for scheme in self.schemes[:1]))

    def test_looking_has_no_effect(self, mount: SchemeMount, tree: Path) -> None:
        """Every listed name has attributes, every directory has a README, and no conversation is made.

        A conversation of another test may linger, and end during the walk: what is still listed counts.
        """
        before, streams = walk(tree), stats(mount.path / "stats")["streams"]
        after = walk(tree)
        assert [path for path in {*before.items()} ^ {*after.items()} if _is_listed(path[0])] == []
        assert [path for path, number in before.items() if number and _is_listed(path)] == []
        assert stats(mount.path / "stats")["streams"] == streams
        folders = {os.path.dirname(path) for path in before}
        assert {folder for folder in folders if f"{folder}/README" not in before and _is_listed(folder)} == set()

    def test_texts_never_wait(self, tree: Path) -> None:
        """A file that is no stream is read at once, or EACCES, or has ended with its conversation meanwhile."""
        refused = {path: number for path, number in walk(tree, read=True).items() if number not in (0, errno.EACCES)}
        assert {path: number for path, number in refused.items() if _is_listed(path)} == {}

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_may_be_tried(self, tree: Path, name: str) -> None:
        """A name exists, or is ENOENT, or EINVAL if it is a malformed address. Never EIO."""
        assert _errno_of(os.lstat, tree / name) in (0, errno.ENOENT, errno.EINVAL)

    def test_the_tree_is_what_it_is(self, tree: Path) -> None:
        """No file can be made, renamed or removed; modes and owners are fixed."""
        readme = tree / "README"
        assert _errno_of(os.mkdir, tree / "README" / "new") == errno.ENOTDIR
        assert _errno_of(os.unlink, readme) == errno.EPERM
        assert _errno_of(os.rename, readme, tree / "other") == errno.EPERM
        assert _errno_of(os.symlink, "x", f"{tree}/{'y' * 200}") in (errno.EPERM, errno.EEXIST, errno.EINVAL)
        assert _errno_of(os.chmod, readme, 0o600) == errno.EPERM
        assert _errno_of(os.chown, readme, 1, 1) == errno.EPERM


class StreamContract(MountedContract):
    """The tests of each stream, given one without anything to read and a way to feed it."""

    streams: ClassVar[Mapping[str, Opener]] = {}
    fill: ClassVar[Collection[str]] = ()
    """Those of `streams` that fill: without a reader, writes block at last."""
    waiting_opens: ClassVar[Sequence[str]] = ()
    """Paths in the mount whose open waits: a connect without an answer, an accept."""

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Repeat each test for each stream."""
        if "opener" in metafunc.fixturenames:
            metafunc.parametrize("opener", cls.streams.values(), ids=cls.streams.keys())
        if "filling" in metafunc.fixturenames:
            metafunc.parametrize("filling", [cls.streams[name] for name in cls.fill], ids=cls.fill)
        if "waiting_open" in metafunc.fixturenames:
            metafunc.parametrize("waiting_open", cls.waiting_opens)

    @pytest.fixture
    def stream(self, mount: SchemeMount, closing: ExitStack, opener: Opener) -> Opened:
        """One of `streams`, opened."""
        return opener(mount.path, closing)

    def test_it_is_a_stream(self, stream: Opened) -> None:
        """A stream is a regular file of size 0 with large blocks, without lseek."""
        with pytest.raises(OSError, match=os.strerror(errno.ESPIPE)):
            os.lseek(stream.descriptor, 0, os.SEEK_SET)
        status = os.fstat(stream.descriptor)
        assert (status.st_size, status.st_blksize) == (0, 1 << 20)

    def test_a_read_waits_for_what_comes(self, mount: SchemeMount, stream: Opened) -> None:
        """Another process, which inherits the descriptor, reads; a write meanwhile does not wait for it."""
        with Blocked(mount.path, "read", stream.descriptor) as reader:
            if stream.write:
                Blocked.finishes(mount.path, "write", stream.descriptor, stream.write)
            expected = stream.feed()
            found = reader.result()
        assert found if expected is None else expected.startswith(found) and found

    def test_nonblocking_is_what_the_descriptor_says_now(self, stream: Opened) -> None:
        """O_NONBLOCK set on a duplicate applies to both, and can be cleared."""
        duplicate = os.dup(stream.descriptor)
        try:
            flags = fcntl.fcntl(duplicate, fcntl.F_GETFL)
            fcntl.fcntl(duplicate, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            with pytest.raises(BlockingIOError):
                os.read(stream.descriptor, 65536)
            fcntl.fcntl(stream.descriptor, fcntl.F_SETFL, flags)
            stream.feed()
            assert _events(stream.descriptor, select.POLLIN, SOON)
            assert os.read(duplicate, 65536)
        finally:
            os.close(duplicate)

    def test_poll_says_what_a_read_would_do(self, stream: Opened) -> None:
        """Before a feed, after it, and after the read: poll, select, epoll by level and by edge."""
        descriptor = stream.descriptor
        with select.epoll() as level, select.epoll() as edge:
            level.register(descriptor, select.EPOLLIN)
            edge.register(descriptor, select.EPOLLIN | select.EPOLLET)
            for _ in range(3):
                assert _drained(descriptor) == b""
                assert not _events(descriptor, select.POLLIN, 0.0)
                assert (level.poll(0), select.select([descriptor], [], [], 0)[0]) == ([], [])
                edge.poll(0)  # an event for octets that are read by now
                expected = stream.feed()
                assert edge.poll(SOON)
                assert level.poll(SOON)
                assert level.poll(0)
                assert select.select([descriptor], [], [], 0)[0]
                found = _drained(descriptor)
                assert found if expected is None else found == expected

    def test_every_sleeping_poll_is_woken(self, mount: SchemeMount, stream: Opened) -> None:
        """Three processes poll the same file."""
        with ExitStack() as stack:
            pollers = [stack.enter_context(Blocked(mount.path, "poll", stream.descriptor)) for _ in range(3)]
            stream.feed()
            assert [bool(poller.result()) for poller in pollers] == [True] * 3

    def test_events_say_what_poll_says(self, mount: SchemeMount, stream: Opened, closing: ExitStack) -> None:
        """Before a feed and after it, through the event scheme, if the stream has a name there."""
        queue = opened(mount.path / "event/queue", closing, os.O_RDWR | os.O_NONBLOCK)
        name = _name_of(stream.descriptor)
        if _errno_of(os.write, queue, name + b" read\n") in (errno.ENOENT, errno.EINVAL):
            pytest.skip("no conversation that can be watched")
        with pytest.raises(BlockingIOError):
            os.read(queue, 4096)
        assert not _events(queue, select.POLLIN, 0.0)
        stream.feed()
        assert _events(queue, select.POLLIN, SOON)
        assert os.read(queue, 4096).split(b"\n")[0].split() == [name, b"read"]
        assert _events(stream.descriptor, select.POLLIN, 0.0)

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_a_blocked_read_and_takes_nothing(
        self, mount: SchemeMount, stream: Opened, number: signal.Signals
    ) -> None:
        """All octets that arrive afterwards are read."""
        _assert_prompt(seconds_to_end(mount.path, "read", stream.descriptor, number) for _ in range(TRIES))
        expected = stream.feed()
        assert _events(stream.descriptor, select.POLLIN, SOON)
        found = _drained(stream.descriptor)
        assert found if expected is None else found == expected

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_a_blocked_poll(self, mount: SchemeMount, stream: Opened, number: signal.Signals) -> None:
        """The daemon holds the poll handle at that time."""
        _assert_prompt(seconds_to_end(mount.path, "poll", stream.descriptor, number) for _ in range(TRIES))

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_a_write_without_room(
        self, mount: SchemeMount, closing: ExitStack, filling: Opener, number: signal.Signals
    ) -> None:
        """A full stream is EAGAIN with O_NONBLOCK, not writable for poll, and a signal ends a write that waits."""
        stream = filling(mount.path, closing)
        os.set_blocking(stream.descriptor, False)
        _fill(stream.descriptor)
        wait_until(lambda: _is_full(stream.descriptor), "the stream never stays full")
        os.set_blocking(stream.descriptor, True)
        _assert_prompt(seconds_to_end(mount.path, "write", stream.descriptor, number) for _ in range(TRIES))

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_an_open_that_waits(
        self, mount: SchemeMount, waiting_open: str, number: signal.Signals
    ) -> None:
        """What the open had begun is given up."""
        _assert_prompt(seconds_to_end(mount.path, "open", mount.path / waiting_open, number) for _ in range(TRIES))


class SchemeContract(TreeContract, StreamContract):
    """All tests, for a scheme that has streams."""


def _is_listed(path: str) -> bool:
    folder, name = os.path.split(path)
    try:
        return name in os.listdir(folder)
    except FileNotFoundError:
        return False


def _errno_of(call: Callable[..., object], *arguments: object) -> int:
    """Return the errno that *call* fails with; 0: it succeeds."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or -1
    return 0


def _name_of(descriptor: int) -> bytes:
    try:
        return os.getxattr(descriptor, "user.conversation")
    except OSError:
        return b"none"


def _events(descriptor: int, interest: int, seconds: float) -> int:
    poller = select.poll()
    poller.register(descriptor, interest)
    return dict(poller.poll(seconds * 1000)).get(descriptor, 0) & interest


def _drained(descriptor: int) -> bytes:
    """Read until it would block; the descriptor is blocking before and after."""
    found = b""
    os.set_blocking(descriptor, False)
    try:
        while octets := os.read(descriptor, 1 << 20):
            found += octets
    except BlockingIOError:
        pass
    finally:
        os.set_blocking(descriptor, True)
    return found


def _fill(descriptor: int) -> None:
    """Write until it would block."""
    written = 0
    try:
        while written < LARGEST:
            written += os.write(descriptor, bytes(1 << 16))
    except BlockingIOError:
        return
    pytest.fail(f"the stream took {written} octets without a reader")


def _is_full(descriptor: int) -> bool:
    """Return whether poll denies OUT. Octets in transit may still make room: then fill it again, and return False."""
    if _events(descriptor, select.POLLOUT, 0.0):
        _fill(descriptor)
        return False
    return True


def _assert_prompt(times: Iterator[float]) -> Any:
    took = []
    for seconds in times:
        took.append(seconds)
        if seconds <= PROMPT:
            return
    pytest.fail(f"{took} seconds from the signal to the end of the call")

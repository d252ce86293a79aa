"""What the mount promises of every scheme, to be run against yours: a test class that you name your files to.

    import os
    from upper import UpperScheme
    from schemefs.testing.contract import Opened, SchemeContract, opened

    def room(mount, closing):
        file = opened(mount / "upper/any", closing)
        def feed():
            os.write(file, b"hello")
            return b"HELLO"
        return Opened(file, feed)

    class TestUpper(SchemeContract):
        schemes = (UpperScheme,)
        streams = {"room": room}

The tree: looking has no effect, every directory explains itself, texts never wait, no name is EIO. Each stream: reads
wait, and not with O_NONBLOCK; poll (select, epoll, the event scheme) says what a read would do; a signal ends a
blocked call within 50 ms and takes nothing with it. After every test, nothing of it is left in the daemon.

A call that could hang is made by a process of its own (`blocked.py`): a fault is a failed test and not a hung one.
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

PROMPT: Final = 0.050  # seconds in which a signal ends a call
TRIES: Final = 5  # the machine may be busy; a call that waits for anything but the signal is late every time
SOON: Final = 10.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
LARGEST: Final = 1 << 28  # octets; a stream that takes so many without a reader never fills
ODD_NAMES: Final = ("no-such-name", ".hidden", "x" * 255, "a:b:c:d", "1.2.3.4.5:6", "99999999", "\udcff")


@dataclass(frozen=True)
class Opened:
    """One open stream, with nothing to read yet."""

    descriptor: int
    feed: Callable[[], bytes | None]  # has something arrive, and returns what reads must then give; None: anything
    write: bytes = b""  # what may be written to it at any time; empty: nothing


Opener = Callable[[Path, ExitStack], Opened]
"""Given the mount and what closes at the end of the test."""


def opened(path: Path, closing: ExitStack, flags: int = os.O_RDWR) -> int:
    """Open *path*, and have *closing* close it."""
    descriptor = os.open(path, flags)
    closing.callback(os.close, descriptor)
    return descriptor


class MountedContract:
    """A mount for the class, and what must be true after each test."""

    schemes: ClassVar[Sequence[type[Scheme]]] = ()
    """What is mounted: these, what they require, and `event`. Empty: everything that is installed."""

    @pytest.fixture(scope="class")
    @classmethod
    def mount(cls, _no_leftovers: None) -> Iterator[SchemeMount]:
        """The mount."""
        schemes = tuple(cls.schemes)
        if schemes:
            schemes += tuple(scheme for scheme in plugins.load().schemes if scheme.name == "event")
        with SchemeMount(schemes=schemes, log_level="info") as mount:
            yield mount
            assert "Traceback" not in mount.log()

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, mount: SchemeMount) -> Iterator[None]:
        """Whatever the test opened, parked and polled is gone from the daemon, and nothing in it has failed."""

        def held() -> dict[str, int]:
            found = stats(mount.path / "stats")
            return {name: found[name] for name in ("streams", "listings", "parked", "polled", "unexpected")}

        before = held()
        yield
        wait_until(lambda: held() == before, lambda: f"before {before}, after {held()}")

    @pytest.fixture
    def closing(self) -> Iterator[ExitStack]:
        """What the test opens is closed at its end."""
        with ExitStack() as stack:
            yield stack


class TreeContract(MountedContract):
    """What holds for the names of a scheme."""

    directory: ClassVar[str] = ""
    """The scheme's directory in the mount; empty: that of the first of `schemes`, or the whole tree."""

    @pytest.fixture
    def tree(self, mount: SchemeMount) -> Path:
        """The directory."""
        return mount.path / (self.directory or "".join(scheme.name for scheme in self.schemes[:1]))

    def test_looking_has_no_effect(self, mount: SchemeMount, tree: Path) -> None:
        """What ls lists can be looked at, every directory has a README, and no conversation comes of it."""
        before, streams = walk(tree), stats(mount.path / "stats")["streams"]
        assert walk(tree) == before
        assert stats(mount.path / "stats")["streams"] == streams
        folders = {os.path.dirname(path) for path in before}
        assert {folder for folder in folders if f"{folder}/README" not in before} == set()

    def test_texts_never_wait(self, tree: Path) -> None:
        """A file that is no stream is read at once; what may not be read is EACCES."""
        assert set(walk(tree, read=True).values()) <= {0, errno.EACCES}

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_may_be_tried(self, tree: Path, name: str) -> None:
        """ENOENT, or EINVAL for what is meant as an address; or your scheme knows what it means. Never EIO."""
        assert _errno_of(os.lstat, tree / name) in (0, errno.ENOENT, errno.EINVAL)

    def test_the_tree_is_what_it_is(self, tree: Path) -> None:
        """Nothing can be made, renamed or removed."""
        readme = tree / "README"
        assert _errno_of(os.mkdir, tree / "README" / "new") == errno.ENOTDIR
        assert _errno_of(os.unlink, readme) == errno.EPERM
        assert _errno_of(os.rename, readme, tree / "other") == errno.EPERM
        assert _errno_of(os.symlink, "x", f"{tree}/{'y' * 200}") in (errno.EPERM, errno.EEXIST, errno.EINVAL)
        assert _errno_of(os.chmod, readme, 0o600) == errno.EPERM
        assert _errno_of(os.chown, readme, 1, 1) == errno.EPERM


class StreamContract(MountedContract):
    """What holds for each stream, given one with nothing to read and a way to feed it."""

    streams: ClassVar[Mapping[str, Opener]] = {}
    fill: ClassVar[Collection[str]] = ()
    """Which of them fill up: what is written stays in the way of what is written next, until somebody reads."""
    waiting_opens: ClassVar[Sequence[str]] = ()
    """Paths in the mount whose open waits: a connect that is not answered, an accept."""

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Make each test once for each stream."""
        if "opener" in metafunc.fixturenames:
            metafunc.parametrize("opener", cls.streams.values(), ids=cls.streams.keys())
        if "filling" in metafunc.fixturenames:
            metafunc.parametrize("filling", [cls.streams[name] for name in cls.fill], ids=cls.fill)
        if "waiting_open" in metafunc.fixturenames:
            metafunc.parametrize("waiting_open", cls.waiting_opens)

    @pytest.fixture
    def stream(self, mount: SchemeMount, closing: ExitStack, opener: Opener) -> Opened:
        """The stream, opened."""
        return opener(mount.path, closing)

    def test_it_is_a_stream(self, stream: Opened) -> None:
        """A regular file without size that can't seek, to be read in large blocks."""
        with pytest.raises(OSError, match=os.strerror(errno.ESPIPE)):
            os.lseek(stream.descriptor, 0, os.SEEK_SET)
        status = os.fstat(stream.descriptor)
        assert (status.st_size, status.st_blksize) == (0, 1 << 20)

    def test_a_read_waits_for_what_comes(self, mount: SchemeMount, stream: Opened) -> None:
        """In another process that has inherited the descriptor; a write on it meanwhile is not held up."""
        with Blocked(mount.path, "read", stream.descriptor) as reader:
            if stream.write:
                Blocked.finishes(mount.path, "write", stream.descriptor, stream.write)
            expected = stream.feed()
            found = reader.result()
        assert found if expected is None else expected.startswith(found) and found

    def test_nonblocking_is_what_the_descriptor_says_now(self, stream: Opened) -> None:
        """O_NONBLOCK set through a duplicate holds for all, and can be taken back."""
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
        """Nothing, then something, then all of it read: poll, select, epoll by level and by edge."""
        descriptor = stream.descriptor
        with select.epoll() as level, select.epoll() as edge:
            level.register(descriptor, select.EPOLLIN)
            edge.register(descriptor, select.EPOLLIN | select.EPOLLET)
            for _ in range(3):
                assert _drained(descriptor) == b""
                assert not _events(descriptor, select.POLLIN, 0.0)
                assert (level.poll(0), select.select([descriptor], [], [], 0)[0]) == ([], [])
                edge.poll(0)  # there may have been one for what was read since
                expected = stream.feed()
                assert edge.poll(SOON)
                assert level.poll(SOON)
                assert level.poll(0)
                assert select.select([descriptor], [], [], 0)[0]
                found = _drained(descriptor)
                assert found if expected is None else found == expected

    def test_who_sleeps_in_poll_is_woken(self, mount: SchemeMount, stream: Opened) -> None:
        """All of several."""
        with ExitStack() as stack:
            pollers = [stack.enter_context(Blocked(mount.path, "poll", stream.descriptor)) for _ in range(3)]
            stream.feed()
            assert [bool(poller.result()) for poller in pollers] == [True] * 3

    def test_events_say_what_poll_says(self, mount: SchemeMount, stream: Opened, closing: ExitStack) -> None:
        """The same two situations through the event scheme, for what has a name there."""
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
        """What comes afterwards is all there."""
        _assert_prompt(seconds_to_end(mount.path, "read", stream.descriptor, number) for _ in range(TRIES))
        expected = stream.feed()
        assert _events(stream.descriptor, select.POLLIN, SOON)
        found = _drained(stream.descriptor)
        assert found if expected is None else found == expected

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_a_blocked_poll(self, mount: SchemeMount, stream: Opened, number: signal.Signals) -> None:
        """Though the daemon has its handle."""
        _assert_prompt(seconds_to_end(mount.path, "poll", stream.descriptor, number) for _ in range(TRIES))

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_a_write_without_room(
        self, mount: SchemeMount, closing: ExitStack, filling: Opener, number: signal.Signals
    ) -> None:
        """Full is EAGAIN for who can't wait, not writable for poll, and no trap for who waits."""
        stream = filling(mount.path, closing)
        os.set_blocking(stream.descriptor, False)
        _fill(stream.descriptor)
        wait_until(lambda: _is_full(stream.descriptor), "it never stays full")
        os.set_blocking(stream.descriptor, True)
        _assert_prompt(seconds_to_end(mount.path, "write", stream.descriptor, number) for _ in range(TRIES))

    @pytest.mark.parametrize("number", SIGNALS)
    def test_a_signal_ends_an_open_that_waits(
        self, mount: SchemeMount, waiting_open: str, number: signal.Signals
    ) -> None:
        """And what it was doing is given up."""
        _assert_prompt(seconds_to_end(mount.path, "open", mount.path / waiting_open, number) for _ in range(TRIES))


class SchemeContract(TreeContract, StreamContract):
    """Both: for a scheme that has streams."""


def _errno_of(call: Callable[..., object], *arguments: object) -> int:
    """Return the errno that *call* fails with; 0: it doesn't."""
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
    """Read all there is, without waiting; the descriptor blocks before and after."""
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
    pytest.fail(f"it took {written} octets that nobody has read")


def _is_full(descriptor: int) -> bool:
    """What is on its way to the other end may still make room: full is what can't be written twice in a row."""
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

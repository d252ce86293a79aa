"""The three classes of open files, without a mount: streams, texts, logs."""

from __future__ import annotations

import errno
import logging
import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from schemefs.errors import SchemeError
from schemefs.fs import caller_files
from schemefs.fs.inodes import Inode
from schemefs.fs.open_files import LARGE_READ, NOFLUSH, WRITES_PER_CALL, OpenFollowed, OpenStream, OpenText
from schemefs.log import TRACE, LogRing, LogRings
from schemefs.readme import FollowingStream
from schemefs.scheme import Caller, Event, FilesWanted, FollowedFile, Handle, TextFile
from tests.support.running_calls import answer_to, new_waiting

CALLER = Caller(1000)
MEBIBYTE = 1 << 20


class Source(Handle):
    """Has octets to read, takes what fits, and answers what it is told to."""

    def __init__(self, octets: int = 0, room: int = 0) -> None:
        self.left = octets
        self.room = room
        self.asked: list[int] = []
        self.interruptions = 0
        self.failing: SchemeError | None = None

    def read(self, size: int, now: float) -> bytes | None:
        self.asked.append(size)
        count = min(size, self.left)
        self.left -= count
        return bytes(count) or None

    def write(self, data: memoryview, now: float) -> int | None:
        if self.failing is not None:
            raise self.failing
        count = min(len(data), self.room)
        self.room -= count
        return count or None

    def queued(self) -> int | None:
        return self.left

    def fevent(self, interest: int) -> int:
        return Event.IN if self.left else 0

    def interrupted(self, now: float) -> None:
        self.interruptions += 1

    def close(self, now: float) -> None:
        pass


def stream(handle: Handle) -> OpenStream:
    return OpenStream(Inode(2, TextFile(), None, None), CALLER, handle, new_waiting())


@pytest.mark.parametrize(
    ("queued", "size", "expected"),
    [
        (MEBIBYTE, MEBIBYTE, MEBIBYTE - 1),  # to the brim, and nothing more is there: the kernel must not ask on
        (LARGE_READ, LARGE_READ, LARGE_READ - 1),
        (MEBIBYTE + 1, MEBIBYTE, MEBIBYTE),
        (MEBIBYTE - 1, MEBIBYTE, MEBIBYTE - 1),
        (4096, 4096, 4096),  # a small read is one request: exact
        (10, 4096, 10),
    ],
)
async def test_large_read_never_empties_the_queue_exactly(queued: int, size: int, expected: int) -> None:
    source = Source(queued)
    assert len(await stream(source).read(0, size, 1, 0, 0.0)) == expected


async def test_write_takes_everything_waiting_for_room() -> None:
    source = Source(room=10)
    file = stream(source)
    counts: list[int] = []

    async def write() -> None:
        counts.append(await answer_to(file.waiting, file.write(0, bytes(25), 1, 0, 0.0)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for room in (10, 10):
            await wait_all_tasks_blocked()
            assert counts == []
            source.room = room
            source.changed()
    assert counts == [25]


@pytest.mark.parametrize(("room", "answer"), [(10, 10), (0, errno.EAGAIN)])
async def test_write_that_cannot_wait_says_what_was_taken_or_eagain(room: int, answer: int) -> None:
    try:
        assert await stream(Source(room=room)).write(0, bytes(25), 1, os.O_NONBLOCK, 0.0) == answer
    except SchemeError as error:
        assert error.errno == answer


async def test_failure_after_a_part_was_taken_is_the_next_writes() -> None:
    source = Source(room=10)
    file = stream(source)
    counts: list[int] = []

    async def write() -> None:
        counts.append(await answer_to(file.waiting, file.write(0, bytes(25), 1, 0, 0.0)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        source.failing = SchemeError(errno.ECONNRESET, "reset")
        source.changed()
    assert counts == [10]
    with pytest.raises(SchemeError, match="reset"):
        await file.write(0, b"x", 2, 0, 0.0)


@pytest.mark.parametrize(("room", "interruptions"), [(0, 1), (5, 0)])
async def test_interrupted_write_gives_up_only_when_nothing_was_taken(room: int, interruptions: int) -> None:
    source = Source(room=room)
    file = stream(source)
    ends: list[int] = []

    async def write() -> None:
        try:
            ends.append(await answer_to(file.waiting, file.write(0, bytes(25), 7, 0, 0.0)))
        except SchemeError as error:
            ends.append(-error.errno)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        file.waiting.interrupt(7)
    assert ends == [room or -errno.EINTR]
    assert source.interruptions == interruptions


class Lines(Source):
    """Takes an octet at a time; may have to wait now and then."""

    def __init__(self, waits_every: int = 0) -> None:
        super().__init__()
        self.waits_every = waits_every
        self.taken = 0
        self.waited = False

    def write(self, data: memoryview, now: float) -> int | None:
        if self.waits_every and self.taken and self.taken % self.waits_every == 0 and not self.waited:
            self.waited = True
            return None
        self.waited = False
        self.taken += 1
        return 1


async def test_write_of_many_pieces_is_answered_short_so_that_others_have_a_turn() -> None:
    lines = Lines()
    file = stream(lines)
    assert await file.write(0, bytes(WRITES_PER_CALL + 7), 1, 0, 0.0) == WRITES_PER_CALL
    assert lines.taken == WRITES_PER_CALL
    assert await file.write(0, bytes(7), 1, 0, 0.0) == 7


async def test_write_that_waits_between_its_pieces_is_answered_whole() -> None:
    lines = Lines(waits_every=WRITES_PER_CALL // 2)
    file = stream(lines)
    counts: list[int] = []

    async def write() -> None:
        counts.append(await answer_to(file.waiting, file.write(0, bytes(2 * WRITES_PER_CALL), 1, 0, 0.0)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        while not counts:
            await wait_all_tasks_blocked()
            lines.changed()
    assert counts == [2 * WRITES_PER_CALL]


async def test_write_that_had_files_read_is_given_the_time_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    class Wanting(Source):
        def write(self, data: memoryview, now: float) -> int:
            times.append(now)
            if len(times) == 1:
                raise FilesWanted(["/x"])
            return len(data)

    async def read_for(*_args: object) -> dict[str, object]:
        time[0] = 3.0
        return {}

    time = [1.0]
    monkeypatch.setattr(caller_files, "read_for", read_for)
    file = stream(Wanting())
    file.waiting.clock = lambda: time[0]
    assert await file.write(0, b"x", 1, 0, 1.0) == 1
    assert times == [1.0, 3.0]


async def test_text_is_a_snapshot_and_offset_0_takes_a_new_one() -> None:
    value = ["one\n"]
    node = TextFile(lambda: value[0])
    file = OpenText(Inode(2, node, None, None), CALLER, node, 0.0)
    value[0] = "second\n"
    assert await file.read(2, 100, 1, 0, 0.0) == b"e\n"
    assert await file.read(0, 3, 1, 0, 0.0) == b"sec"
    value[0] = "x"
    assert await file.read(3, 100, 1, 0, 0.0) == b"ond\n"
    file.release(0.0)
    assert node.wakers == set()


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_only_a_text_that_can_be_changed_is_flushed(flags: int) -> None:
    node = TextFile(lambda: "x", lambda _text, _caller, _now: None)
    file = OpenText(Inode(2, node, None, None), CALLER, node, 0.0, flags)
    assert bool(file.open_flags & NOFLUSH) == (flags == os.O_RDONLY)
    assert OpenFollowed.open_flags & stream(Source()).open_flags & NOFLUSH


async def test_text_says_pri_and_err_after_a_change_until_read_again() -> None:
    node = TextFile(lambda: "x")
    file = OpenText(Inode(2, node, None, None), CALLER, node, 0.0)
    always = Event.IN | Event.OUT
    assert file.poll(0.0) == always
    node.changed()
    assert file.poll(0.0) == always | Event.PRI | Event.ERR
    await file.read(0, 10, 1, 0, 0.0)
    assert file.poll(0.0) == always


async def test_log_is_read_by_position_and_polls_when_there_is_more() -> None:
    ring = LogRing()
    ring.append("one")
    file = OpenFollowed(Inode(2, FollowedFile(ring), None, None), CALLER, FollowedFile(ring))
    assert file.poll(0.0) == Event.IN
    assert await file.read(0, 100, 1, 0, 0.0) == b"one\n"
    assert await file.read(4, 100, 1, 0, 0.0) == b""
    assert file.poll(0.0) == 0
    ring.append("two")
    assert file.poll(0.0) == Event.IN
    assert await file.read(4, 100, 1, 0, 0.0) == b"two\n"
    with pytest.raises(SchemeError) as caught:
        await file.write(0, b"x", 1, 0, 0.0)
    assert caught.value.errno == errno.EACCES
    file.release(0.0)
    assert ring.wakers == set()


async def test_log_that_has_wrapped_is_read_once_and_ends() -> None:
    """What `cat` does: the kernel's position lags behind the ring's, and must not bring the same octets again."""
    ring = LogRing(capacity=1000)
    for number in range(1000):
        ring.append(f"line {number}")
    node = FollowedFile(ring)
    file = OpenFollowed(Inode(2, node, None, None), CALLER, node)
    position, got = 0, b""
    while octets := await file.read(position, 64, 1, 0, 0.0):
        got += octets
        position += len(octets)
        assert len(got) <= 1000
    assert got == ring.read(ring.start, 1000)[0]
    ring.append("and on")
    assert await file.read(position, 64, 1, 0, 0.0) == b"and on\n"
    assert await file.read(ring.end - file.inode.begin - 7, 64, 1, 0, 0.0) == b"and on\n"  # a seek is where it says


async def test_log_reader_overtaken_goes_on_at_the_oldest_line() -> None:
    ring = LogRing(capacity=100)
    ring.append("first")
    node = FollowedFile(ring)
    file = OpenFollowed(Inode(2, node, None, None), CALLER, node)
    assert await file.read(0, 64, 1, 0, 0.0) == b"first\n"
    for number in range(100):
        ring.append(f"line {number}")
    octets = await file.read(6, 7, 1, 0, 0.0)
    assert octets.startswith(b"line ")
    assert await file.read(6 + len(octets), 1000, 1, 0, 0.0) == ring.read(ring.start + len(octets), 1000)[0]


async def test_log_that_is_cut_while_it_is_open_is_read_to_its_end() -> None:
    ring = LogRing(capacity=1000)
    for number in range(1000):
        ring.append(f"line {number}")
    node = FollowedFile(ring)
    file = OpenFollowed(Inode(2, node, None, None), CALLER, node)
    before = ring.read(ring.start, 1000)[0]
    start = ring.start
    while ring.start == start:
        ring.append("more")
    assert (await file.read(0, 2000, 1, 0, 0.0)).startswith(before)
    assert await file.read(len(before) - 5, 5, 1, 0, 0.0) == before[-5:]  # backwards, as tac


@pytest.mark.parametrize("followers", [1, 2])
async def test_who_follows_the_log_is_not_in_it(followers: int) -> None:
    logger = logging.getLogger("schemefs")
    level = logger.level
    logger.setLevel(TRACE)
    rings = LogRings(lambda: 0.0)
    node = FollowingStream(FollowedFile(rings.ring("schemefs.log", "schemefs")))
    waiting = new_waiting()
    inode = Inode(2, node, None, None)
    files = [OpenStream(inode, CALLER, node.open(0, CALLER, 0.0), waiting) for _ in range(followers)]
    read: list[bytes] = []

    async def follow(number: int, file: OpenStream) -> None:
        while True:
            read.append(bytes(await answer_to(waiting, file.read(0, 4096, number, 0, 0.0))))  # type: ignore[arg-type]

    try:
        async with trio.open_nursery() as nursery:
            for number, file in enumerate(files):
                nursery.start_soon(follow, number, file)
            await wait_all_tasks_blocked()
            logger.info("one line")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    finally:
        rings.close()
        logger.setLevel(level)
    assert read == [b"+0.000000 INFO schemefs: one line\n"] * followers

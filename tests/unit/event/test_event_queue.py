"""The event queue: which events are reported, which are not, and what is left when things end."""

from __future__ import annotations

import errno
import struct
import tracemalloc

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Caller, Directory, Event, Node, Scheme, StaticDirectory, TextFile, Tree, Watcher
from schemefs.shares import WATCHES, Shares
from schemefs.timers import Timers
from schemes.event.notation import Raw, Text
from schemes.event.queue import SLICE
from schemes.event.scheme import QueueHandle, SharedQueue

ROOT = Caller(0, pid=4711)


class Thing:
    """Something to watch, whose true events are a number."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.true = 0

    def fevent(self, interest: int) -> int:
        return self.true & (interest | Event.ERR | Event.HUP)

    def becomes(self, true: int) -> None:
        self.true = true
        for watcher in self.watchers:
            watcher.changed()

    def is_used(self, events: int, true: int) -> None:
        self.true = true
        for watcher in self.watchers:
            watcher.used(events)

    def ends(self) -> None:
        for watcher in tuple(self.watchers):
            watcher.ended()


class Things(Scheme):
    name = "tcp"

    def __init__(self) -> None:
        self.things = [Thing(), Thing()]
        directories: dict[str, Node] = {}
        for number, thing in enumerate(self.things):
            directory: Directory = StaticDirectory({})
            directory.watchable, directory.uid = thing, 1000 * number
            directories[str(number)] = directory
        self.root = StaticDirectory(directories)


class World:
    def __init__(self, notation: Text | Raw | None = None, caller: Caller = ROOT) -> None:
        self.tree = Tree()
        self.shares = Shares()
        self.timers = Timers()
        self.scheme = self.tree.schemes["tcp"] = Things()
        self.thing, self.other = self.scheme.things
        self.shared = SharedQueue(self.shares.watches, caller.uid, self.timers)
        self.handle = QueueHandle(self.shared, self.tree, notation or Text(), caller)
        self.woken = 0
        self.handle.on_changed = self.wake

    def wake(self) -> None:
        self.woken += 1

    def write(self, data: bytes) -> int:
        return self.handle.write(memoryview(data), 0.0)

    def read(self, size: int = 4096) -> bytes | None:
        assert bool(self.handle.fevent(Event.IN)) == bool(self.shared.rest or self.shared.queue.ready())
        return self.handle.read(size, 0.0)


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_true_so_nothing_is_reported(world: World) -> None:
    assert world.write(b"tcp/0 read\n") == 11
    assert world.read() is None
    assert world.handle.fevent(Event.ALL) == Event.OUT


def test_what_is_true_already_is_reported_at_once_and_once(world: World) -> None:
    world.thing.true = Event.IN | Event.OUT
    world.write(b"tcp/0 read")
    assert world.handle.fevent(Event.ALL) == Event.IN | Event.OUT
    assert world.read() == b"tcp/0 read\n"
    assert world.read() is None
    world.thing.becomes(Event.IN | Event.OUT)
    assert world.read() is None


def test_a_read_that_leaves_it_true_makes_it_news(world: World) -> None:
    world.write(b"tcp/0 read write\n")
    world.thing.becomes(Event.IN)
    assert world.read() == b"tcp/0 read\n"
    world.thing.is_used(Event.IN, Event.IN)
    assert world.read() == b"tcp/0 read\n"
    world.thing.is_used(Event.IN, 0)
    assert world.read() is None
    world.thing.becomes(Event.IN | Event.OUT)
    assert world.read() == b"tcp/0 read write\n"
    world.thing.is_used(Event.OUT, Event.IN | Event.OUT)
    assert world.read() == b"tcp/0 write\n"


def test_what_falls_and_rises_is_news_without_a_read(world: World) -> None:
    world.write(b"tcp/0 write\n")
    world.thing.becomes(Event.OUT)
    assert world.read() == b"tcp/0 write\n"
    world.thing.becomes(0)
    assert world.read() is None
    world.thing.becomes(Event.OUT)
    assert world.read() == b"tcp/0 write\n"


def test_what_has_passed_is_not_reported(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.thing.becomes(Event.IN)
    assert world.handle.fevent(Event.IN) == Event.IN
    world.thing.true = 0
    assert world.handle.fevent(Event.IN) == 0
    assert world.read() is None


def test_events_of_one_conversation_join_and_the_oldest_comes_first(world: World) -> None:
    world.write(b"tcp/0 read write\n")
    world.write(b"tcp/1 read\n")
    assert world.read() is None
    world.other.becomes(Event.IN)
    world.thing.becomes(Event.IN)
    world.thing.becomes(Event.IN | Event.OUT)
    assert world.read() == b"tcp/1 read\ntcp/0 read write\n"


def test_one_wake_until_the_next_look(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.read()
    world.woken = 0
    for _ in range(5):
        world.thing.becomes(Event.IN)
    assert world.woken == 1
    world.read()
    world.thing.is_used(Event.IN, Event.IN)
    assert world.woken == 2


def test_a_conversation_that_fails_costs_no_other_its_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(b"tcp/0 read")
    world.write(b"tcp/1 read")
    world.read()

    def fails(interest: int) -> int:
        raise RuntimeError(interest)

    monkeypatch.setattr(world.thing, "fevent", fails)
    world.thing.becomes(Event.IN)
    world.other.becomes(Event.IN)
    with pytest.raises(RuntimeError):
        world.read()
    assert world.read() == b"tcp/1 read\n"


def test_errors_come_unasked(world: World) -> None:
    world.write(b"tcp/0 write\n")
    world.thing.becomes(Event.IN | Event.OUT | Event.ERR | Event.HUP | Event.RDHUP)
    assert world.read() == b"tcp/0 write error hangup\n"


def test_an_error_that_follows_one_that_was_read_is_news(world: World) -> None:
    """A read raises an error once; the next one may come before the next look at the queue."""
    world.write(b"tcp/0 read\n")
    world.thing.becomes(Event.IN | Event.ERR)
    assert world.read() == b"tcp/0 read error\n"
    world.thing.is_used(Event.IN, 0)
    world.thing.becomes(Event.ERR)
    assert world.read() == b"tcp/0 error\n"


def test_removal_removes_what_was_pending_too(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.thing.becomes(Event.IN)
    world.write(b"tcp/0 none\n")
    assert world.read() is None
    assert not world.thing.watchers
    with pytest.raises(SchemeError, match="not watched"):
        world.write(b"tcp/0 none\n")


def test_a_second_registration_replaces_the_first(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.write(b"tcp/0 write\n")
    assert len(world.thing.watchers) == 1
    world.thing.becomes(Event.IN)
    assert world.read() is None


def test_the_end_of_the_conversation_leaves_nothing(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.thing.becomes(Event.IN)
    world.thing.ends()
    assert world.read() is None
    assert len(world.shared.queue) == 0
    assert not world.thing.watchers


def test_the_end_of_the_queue_leaves_nothing(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.write(b"tcp/1 read\n")
    second = world.handle.reopen(2, ROOT, 0.0)
    world.handle.close(0.0)
    assert world.thing.watchers
    second.close(0.0)
    assert not world.thing.watchers
    assert not world.other.watchers


def test_an_octet_at_a_time(world: World) -> None:
    world.write(b"tcp/0 read\n")
    world.thing.becomes(Event.IN)
    assert b"".join(world.read(1) or b"?" for _ in range(11)) == b"tcp/0 read\n"
    assert world.read(1) is None


@pytest.mark.parametrize("line", [b"\n", b"tcp/0\n", b"tcp/0 reed\n", b"tcp/0 read none\n", b"\xff read\n", b"read\n"])
def test_malformed(world: World, line: bytes) -> None:
    with pytest.raises(SchemeError, match="EINVAL"):
        world.write(line)


@pytest.mark.parametrize(
    ("line", "name"), [(b"tcp/7 read", "ENOENT"), (b"tpc/0 read", "ENOENT"), (b"tcp read", "EINVAL")]
)
def test_no_such_conversation(world: World, line: bytes, name: str) -> None:
    with pytest.raises(SchemeError, match=name):
        world.write(line)


def test_only_the_owner_and_root_watch() -> None:
    world = World(caller=Caller(1000))
    assert world.write(b"tcp/1 read\n") == 11
    with pytest.raises(SchemeError, match="EACCES"):
        world.write(b"tcp/0 read\n")


def event(descriptor: int, flags: int, data: int) -> bytes:
    return struct.pack("=QQQ", descriptor, flags, data)


class TestRaw:
    @pytest.fixture
    def world(self) -> World:
        world = World(Raw())
        world.tree.name_of = lambda pid, descriptor: {(4711, 3): "tcp/0", (4711, 4): "tcp/1"}.get((pid, descriptor), "")
        return world

    def test_records(self, world: World) -> None:
        assert world.write(event(3, 1, 99) + event(4, 3, 0)) == 24
        world.write(event(4, 3, 1 << 63))
        world.thing.becomes(Event.IN | Event.OUT)
        world.other.becomes(Event.OUT)
        assert world.read() == event(3, 1, 99) + event(4, 2, 1 << 63)

    def test_as_many_whole_records_as_fit(self, world: World) -> None:
        world.thing.true = world.other.true = Event.IN
        world.write(event(3, 1, 0))
        world.write(event(4, 1, 0))
        with pytest.raises(SchemeError, match="EINVAL"):
            world.read(23)
        assert world.read(47) == event(3, 1, 0)
        assert world.read(24) == event(4, 1, 0)

    def test_an_error_is_what_was_asked_for(self, world: World) -> None:
        world.write(event(3, 2, 0))
        world.thing.becomes(Event.ERR | Event.HUP)
        assert world.read() == event(3, 2, 0)

    def test_removal_needs_no_matching_data(self, world: World) -> None:
        """Redox keeps a registration per `data`, and both its libraries remove with 0: nothing goes."""
        world.write(event(3, 1, 99))
        world.write(event(3, 0, 0))
        world.thing.becomes(Event.IN)
        assert world.read() is None

    @pytest.mark.parametrize(
        ("record", "name"), [(event(5, 1, 0), "EBADF"), (event(3, 4, 0), "EINVAL"), (b"short", "EINVAL")]
    )
    def test_refused(self, world: World, record: bytes, name: str) -> None:
        with pytest.raises(SchemeError, match=name):
            world.write(record)


def test_a_text_is_reported_at_first_and_for_each_change(world: World) -> None:
    texts = StaticDirectory({"list": TextFile(lambda: "text"), "mine": TextFile(lambda: "text", mode=0o400, uid=7)})
    world.scheme.root = texts
    text = texts.children["list"]
    assert isinstance(text, TextFile)
    world.write(b"tcp/list read\n")
    assert world.read() == b"tcp/list read\n"
    assert world.read() is None
    text.changed()
    text.changed()
    assert world.read() == b"tcp/list read\n"
    assert world.read() is None
    text.ended()
    text.changed()
    assert world.read() is None


def test_any_user_watches_the_texts_that_all_may_read() -> None:
    world = World(caller=Caller(2000))
    world.scheme.root = StaticDirectory(
        {"list": TextFile(lambda: "text"), "mine": TextFile(lambda: "text", mode=0o400, uid=7)}
    )
    world.write(b"tcp/list read\n")
    assert world.read() == b"tcp/list read\n"
    with pytest.raises(SchemeError) as raised:
        world.write(b"tcp/mine read\n")
    assert raised.value.errno == errno.EACCES


@pytest.mark.parametrize(("notation", "first"), [(Text(), b"tcp/0 read\n"), (Raw(), struct.pack("=QQQ", 5, 0, 0))])
def test_a_registration_copies_none_of_the_many_that_follow(notation: Text | Raw, first: bytes) -> None:
    world = World(notation)
    world.shared.queue.watch("5", world.thing, Event.IN, 0)
    data = first * (1 << 16)
    tracemalloc.start()
    assert world.write(data) == len(first)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 16


def test_a_line_longer_than_any_is_refused_whole(world: World) -> None:
    line = b"tcp/0 read".ljust(4096) + b"\n"
    assert world.write(line + b"tcp/1 read\n") == len(line)
    with pytest.raises(SchemeError) as caught:
        world.write(b" " + line)
    assert caught.value.errno == errno.EINVAL


def many(world: World, count: int) -> list[Thing]:
    """Watch as many other things."""
    things = [Thing() for _ in range(count)]
    for number, thing in enumerate(things):
        world.shared.queue.watch(f"tcp/{number}", thing, Event.IN)
    return things


def test_one_user_may_watch_so_many(world: World) -> None:
    user = World(caller=Caller(1000))
    things = many(user, WATCHES)
    with pytest.raises(SchemeError) as raised:
        user.shared.queue.watch("tcp/one-more", Thing(), Event.IN)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.sentence == f"uid 1000 has {WATCHES} watches in event queues; no more are allowed"
    user.shared.queue.watch("tcp/0", things[0], Event.OUT)  # replaces another
    things[1].ends()
    user.shared.queue.watch("tcp/1", Thing(), Event.IN)
    many(world, WATCHES + 1)  # root has no bound
    user.handle.close(0.0)
    user.timers.on_deadline(0.0)
    for _ in range(WATCHES // SLICE):
        user.timers.on_deadline(0.0)
    assert user.shares.watches.taken(1000) == 0


def test_a_long_queue_is_closed_in_slices(world: World) -> None:
    things = many(world, 3 * SLICE)
    woken = world.woken
    world.handle.close(0.0)
    left = []
    for _ in range(4):
        left.append(sum(bool(thing.watchers) for thing in things))
        things[-1].becomes(Event.IN)
        world.timers.on_deadline(0.0)
    assert left == [2 * SLICE, SLICE, 0, 0]
    assert world.timers.pending == 0
    assert world.woken == woken


def test_many_changes_are_looked_at_in_slices_and_none_is_lost(world: World) -> None:
    things = many(world, 3 * SLICE)
    assert world.read() is None
    while world.timers.pending:
        world.timers.on_deadline(0.0)
        assert world.read() is None
    for thing in things:
        thing.becomes(0)
    things[-1].becomes(Event.IN)
    woken = world.woken
    looks = 0
    while (event := world.handle.read(4096, 0.0)) is None:
        looks += 1
        world.timers.on_deadline(0.0)
        assert world.woken == woken + looks
    assert event == f"tcp/{3 * SLICE - 1} read\n".encode()
    assert looks == 2


def test_one_read_returns_one_slice_of_events(world: World) -> None:
    things = many(world, 2 * SLICE + 1)
    for thing in things:
        thing.becomes(Event.IN)
    counts = []
    while (events := world.read(1 << 20)) is not None:
        counts.append(events.count(b"\n"))
    assert counts == [SLICE, SLICE, 1]

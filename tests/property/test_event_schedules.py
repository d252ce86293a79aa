"""The event queue under random schedules: while a reader sleeps no event is lost, and each reported event is true."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemefs.scheme import Caller, Event, Scheme, StaticDirectory, Tree, Watcher
from schemefs.shares import Shares
from schemefs.timers import Timers
from schemes.event.notation import REPORTED, Text
from schemes.event.scheme import QueueHandle, SharedQueue

BITS = (Event.IN, Event.OUT, Event.ERR, Event.HUP)
TRUTHS = st.sets(st.sampled_from(BITS)).map(sum)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("becomes"), st.integers(0, 1), TRUTHS),
        st.tuples(st.just("is read"), st.integers(0, 1), TRUTHS),  # what can fall by it may stay true
        st.tuples(st.just("is written"), st.integers(0, 1), TRUTHS),
        st.tuples(st.just("watch"), st.integers(0, 1), st.sampled_from(("read", "write", "read write", "none"))),
        st.tuples(st.just("ends"), st.integers(0, 1), st.none()),
        st.tuples(st.just("read"), st.just(0), st.sampled_from((4096, 4096, 4096, 7, 1))),
        st.tuples(st.just("poll"), st.just(0), st.none()),
    ),
    min_size=20,
    max_size=80,
)


class Thing:
    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.true = 0

    def fevent(self, interest: int) -> int:
        return self.true & (interest | Event.ERR | Event.HUP)


class Things(Scheme):
    name = "tcp"

    def __init__(self) -> None:
        self.things = [Thing() for _ in range(2)]
        directories = {str(number): StaticDirectory({}) for number in range(2)}
        for directory, thing in zip(directories.values(), self.things, strict=True):
            directory.watchable = thing
        self.root = StaticDirectory(directories)


class Reader:
    """Reads whenever it is woken, and keeps what a simple model of the rules requires."""

    def __init__(self) -> None:
        tree = Tree()
        self.scheme = tree.schemes["tcp"] = Things()
        self.handle = QueueHandle(SharedQueue(Shares().watches, 0, Timers()), tree, Text(), Caller(0))
        self.handle.on_changed = self._wake
        self.awake = True
        self.interest: dict[int, int] = {}
        self.known = [0, 0]  # what was true at the last look and is no news
        self.text = b""

    def _wake(self) -> None:
        self.awake = True

    def step(self, what: str, number: int, value: object) -> None:
        thing = self.scheme.things[number]
        if what == "becomes":
            thing.true = value  # type: ignore[assignment]
            for watcher in thing.watchers:
                watcher.changed()
        elif what in ("is read", "is written"):
            used = Event.IN if what == "is read" else Event.OUT
            thing.true &= value | ~(used | Event.ERR)  # type: ignore[operator]
            self.known[number] &= ~(used | Event.ERR | Event.HUP)
            for watcher in thing.watchers:
                watcher.used(used)
        elif what == "watch":
            self._watch(number, str(value))
        elif what == "ends":
            self.interest.pop(number, None)
            for watcher in tuple(thing.watchers):
                watcher.ended()
        elif what == "read":
            self.read(value)  # type: ignore[arg-type]
        else:
            readable = bool(self.handle.fevent(Event.IN))
            assert readable or not self._owed()

    def _watch(self, number: int, words: str) -> None:
        if words == "none" and number not in self.interest:
            return
        self.handle.write(memoryview(f"tcp/{number} {words}\n".encode()), 0.0)
        if words == "none":
            del self.interest[number]
        else:
            self.interest[number] = sum(REPORTED[word] for word in words.split()) | Event.ERR | Event.HUP
            self.known[number] = 0

    def read(self, size: int) -> None:
        taken = self.handle.read(size, 0.0)
        if taken is None:
            self.awake = False
            assert not self._owed()
            for number in self.interest:
                self.known[number] = self.scheme.things[number].true
            return
        self.text += taken
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            name, *words = line.decode().split()
            told = sum(REPORTED[word] for word in words)
            number = int(name.removeprefix("tcp/"))
            self.known[number] |= told
            if number in self.interest and size == 4096:
                assert told

    def _owed(self) -> dict[int, int]:
        """What is true, asked for and not known, of each."""
        owed = {
            number: self.scheme.things[number].true & interest & ~self.known[number]
            for number, interest in self.interest.items()
        }
        return {number: bits for number, bits in owed.items() if bits}


@given(STEPS)
def test_no_event_is_lost(steps: list[tuple[str, int, object]]) -> None:
    reader = Reader()
    for what, number, value in steps:
        reader.step(what, number, value)
        # A reader that sleeps has nothing to read: each new event has woken it.
        assert reader.awake or not reader._owed(), reader._owed()
    while reader.handle.fevent(Event.IN):
        reader.read(4096)
    reader.read(4096)
    assert not reader._owed()
    reader.handle.close(0.0)
    assert not any(thing.watchers for thing in reader.scheme.things)

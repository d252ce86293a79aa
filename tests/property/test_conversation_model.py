"""Any order of opens, verbs, reads, writes, closes and waiting: every conversation ends, and poll says what calls do.

Both ends of each pipe are conversations of the same scheme, so what one does happens to the other.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemefs.conversation.conversation import ACCEPT_WAIT
from schemefs.errors import SchemeError
from schemefs.scheme import Event, Handle
from tests.support.pipe_world import RDONLY, RDWR, USER, WRONLY, World

PORTS = st.sampled_from(["8080", "8081", "9"])
FLAGS = st.sampled_from([RDONLY, WRONLY, RDWR])
FILES = st.sampled_from(
    [("ctl", RDWR), ("data", RDWR), ("data", WRONLY), ("rx", RDONLY), ("tx", WRONLY), ("listen", RDWR)]
)
VERBS = st.sampled_from("connect announce bind shutdown hangup close read_timeout hop_limit room dance".split())
ARGUMENTS = st.sampled_from(["", "127.0.0.1:8080", ":8081", "*", "read", "write", "both", "3", "192.0.2.1:8080", "x"])


class Conversations(RuleBasedStateMachine):
    """One world, and the files that are open in it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.handles: list[Handle] = []

    def _open(self, path: str, flags: int) -> None:
        try:
            handle = self.world.scheme.open(path, flags, USER, self.world.now)
        except SchemeError:
            return
        self.handles.append(handle)  # it may be still opening: a signal closes it then
        try:
            handle.opening(self.world.now)
        except SchemeError:
            self._close(handle)

    def _close(self, handle: Handle) -> None:
        self.handles.remove(handle)
        handle.close(self.world.now)

    def _any(self, data: st.DataObject) -> Handle | None:
        return data.draw(st.sampled_from(self.handles)) if self.handles else None

    @rule(port=PORTS, flags=FLAGS, option=st.sampled_from(["", ",events", ",read_timeout=2"]))
    def connect(self, port: str, flags: int, option: str) -> None:
        self._open(f"127.0.0.1:{port}{option}", flags)

    @rule(port=PORTS, option=st.sampled_from(["", ",accept", ",accept,events"]), flags=FLAGS)
    def listen(self, port: str, option: str, flags: int) -> None:
        self._open(f":{port}{option}", flags)

    @rule()
    def clone(self) -> None:
        self._open("clone", RDWR)

    @rule(file=FILES, data=st.data())
    def open_a_file(self, file: tuple[str, int], data: st.DataObject) -> None:
        if numbers := self.world.numbers():
            self._open(f"{data.draw(st.sampled_from(numbers))}/{file[0]}", file[1])

    @rule(flags=FLAGS, data=st.data())
    def join(self, flags: int, data: st.DataObject) -> None:
        if (handle := self._any(data)) is not None:
            try:
                self.handles.append(handle.reopen(flags, USER, self.world.now))
            except SchemeError:
                return

    @rule(verb=VERBS, argument=ARGUMENTS, data=st.data())
    def write(self, verb: str, argument: str, data: st.DataObject) -> None:
        """A command for a ctl; for other files as many octets."""
        if (handle := self._any(data)) is not None and not self._is_opening(handle):
            self._compare(
                handle, Event.OUT, lambda: handle.write(memoryview(f"{verb} {argument}\n".encode()), self.world.now)
            )

    @rule(size=st.sampled_from([1, 100]), data=st.data())
    def read(self, size: int, data: st.DataObject) -> None:
        if (handle := self._any(data)) is not None and not self._is_opening(handle):
            self._compare(handle, Event.IN, lambda: handle.read(size, self.world.now))

    def _compare(self, handle: Handle, event: int, call) -> None:
        said = bool(handle.fevent(Event.ALL) & event)
        try:
            would_block = call() is None
        except SchemeError:
            return
        assert said or would_block, f"{handle}: poll said it would block"

    def _is_opening(self, handle: Handle) -> bool:
        try:
            return handle.opening(self.world.now)
        except SchemeError:
            return False

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if (handle := self._any(data)) is not None:
            self._close(handle)

    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        if (handle := self._any(data)) is not None:
            handle.interrupted(self.world.now)

    @rule(seconds=st.sampled_from([0.1, 2.0, ACCEPT_WAIT]))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(hold=st.booleans())
    def hold_connects(self, hold: bool) -> None:
        """From now on a connect waits, or does not; those that waited are answered."""
        self.world.pipes.hold_connects = hold
        for engine in self.world.pipes.engines if not hold else ():
            if engine.peer is None and not engine.ended:
                self.world.pipes.answer(engine)

    @invariant()
    def every_conversation_can_be_looked_at(self) -> None:
        for number in self.world.numbers():
            assert self.world.status(number)["state"]
            self.world.text(f"{number}/err")
            self.world.list(f"{number}/settings")

    def teardown(self) -> None:
        for handle in tuple(self.handles):
            self._close(handle)
        self.world.pass_time(ACCEPT_WAIT + 1)
        assert self.world.numbers() == []
        assert self.world.pipes.listeners == {}


TestConversations = Conversations.TestCase

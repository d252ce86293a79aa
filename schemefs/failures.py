"""The failures of calls, and which of them `err` shows to a process. Sans-IO.

A call that fails is recorded with its scheme, its thread, its uid and its process (parent and session as they are then:
the process may be gone when `err` is read). The asking process gets

    1  its own failure; nothing, if a call of the same thread has succeeded since
    2  the newest failure of a child since its own last success, for a shell that reads `err` itself
    3  the newest failure of its parent, or of a child of the same parent: `cat tcp/HOST:PORT || cat tcp/err`
       (2 and 3: a child's child counts too, as in `timeout 5 cat tcp/HOST:PORT || cat tcp/err`)
    4  the newest failure of its session
    5  the newest failure of its uid in the last `RECENT` seconds

and nothing if there is none. After a success of its own, 3 to 5 are skipped. A caller without a known process (outside
the daemon's pid namespace its pid is 0) gets the newest failure of such a caller with its uid, else 5. Another uid's
failure is shown to root and to its own process only.

A pid is used again. A process is therefore known by its pid and its start, and a failure or a success older than the
process with that pid is not counted as its own.

A success costs one store into a dictionary. Memory is bounded: the oldest failure or success is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.handle import Caller

ANY: Final = ""  # the scheme of `err` at the top of the mount
RECENT: Final = 3.0  # seconds
PER_UID: Final = 512  # failures kept for each uid, so that no user can displace those of another
UIDS: Final = 16
SUCCESSES: Final = 256  # threads in one generation
SENTENCE: Final = 2000  # characters
TICK: Final = 0.02  # seconds: a start is known to 0.01 s
SAME: Final = 0.02  # seconds in which no pid is used again: a thread that fails so soon again is not looked up


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc shows it. A pid is 0 where it is outside the daemon's pid namespace."""

    pid: int
    start: int  # clock ticks since the boot
    parent: int
    session: int
    age: float  # seconds since the start
    grandparent: int = 0  # parent of the parent: a shell whose child is timeout, xargs or `$( )`

    @property
    def line(self) -> tuple[int, int, int]:
        """The process, its parent, and the parent of that."""
        return self.pid, self.parent, self.grandparent

    def is_same(self, other: Process) -> bool:
        """Return whether *other* is this process, at another time."""
        return self.pid == other.pid and self.start == other.start


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed."""

    scheme: str
    sentence: str
    time: float
    uid: int
    thread: int  # the pid in the kernel's request, which is that of a thread
    process: Process | None  # None: unknown
    looked_up: float  # when the process was


class Successes:
    """When each thread's last success in one scheme began.

    Two generations, so that a store is all that a success costs: the older one is dropped when the younger one is full.
    """

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[int, float] = {}
        self._old: dict[int, float] = {}

    def note(self, thread: int, now: float) -> None:
        """Note that a call of *thread* that began at *now* has succeeded."""
        young = self._young
        young[thread] = now
        if len(young) > SUCCESSES:
            self._young, self._old = {}, young

    def last(self, thread: int) -> float:
        """Return the begin of the last success of *thread*; 0: none is known."""
        return self._young.get(thread) or self._old.get(thread, 0.0)


def _unknown(_pid: int) -> None:
    return None


class Failures:
    """All failures of a mount. *process_of* returns the process of a thread; None: it is not known."""

    def __init__(
        self, process_of: Callable[[int], Process | None] = _unknown, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._process_of = process_of
        self._clock = clock
        self._by_uid: dict[int, dict[tuple[str, int], Failure]] = {}  # (scheme, thread) -> its newest, in order of time
        self._successes: dict[str, Successes] = {}

    def successes(self, scheme: str) -> Successes:
        """Return the successes in *scheme*."""
        return self._successes.setdefault(scheme, Successes())

    def record(self, scheme: str, caller: Caller, sentence: str) -> None:
        """Record that a call of *caller* has failed; *scheme* is `ANY` for a name at the top of the mount."""
        now = self._clock()
        uid, thread = caller.uid, caller.pid
        failures = self._by_uid.pop(uid, {})
        self._by_uid[uid] = failures  # the uid whose failure is newest comes last
        if len(self._by_uid) > UIDS:
            del self._by_uid[next(iter(self._by_uid))]
        process, looked_up = self._process_that_failed(failures.pop((scheme, thread), None), thread, now)
        if process is None:
            thread = 0
            failures.pop((scheme, thread), None)
        failures[scheme, thread] = Failure(scheme, sentence[:SENTENCE], now, uid, thread, process, looked_up)
        if len(failures) > PER_UID:
            del failures[next(iter(failures))]

    def _process_that_failed(self, latest: Failure | None, thread: int, now: float) -> tuple[Process | None, float]:
        """Return the process of *thread*, and when it was looked up; *latest* is an earlier failure of the thread."""
        if latest is not None and latest.process is not None and now - latest.looked_up < SAME:
            return latest.process, latest.looked_up
        return self._find(thread), now

    def find(self, scheme: str, caller: Caller) -> Failure | None:
        """Return the failure that `err` of *scheme* shows to *caller*."""
        process = self._find(caller.pid)
        visible = self._visible(scheme, caller.uid)
        if process is None:
            of_uid = (each for each in visible if each.uid == caller.uid and each.process is None)
            return next(of_uid, None) or self._recent(visible, caller)
        own = [each for each in visible if each.process is not None and each.process.is_same(process)]
        own += self._with_other_uid(scheme, caller, process)
        own.sort(key=lambda failure: failure.time, reverse=True)
        success = self._last_success(scheme, caller.pid, process)
        valid = [each for each in own if each.time > success and each.time > self._last(scheme, each.thread)]
        if valid:
            return next((each for each in valid if each.thread == caller.pid), valid[0])
        child = self._newest(visible, process.pid, lambda other: process.pid in (other.parent, other.grandparent))
        if child is not None and child.time > success:
            return child
        if own or success:
            return None
        # The number of a session is the pid of the process that began it.
        return (
            self._newest(visible, process.parent, lambda other: process.parent in other.line)
            or self._newest(visible, process.session, lambda other: other.session == process.session)
            or self._recent(visible, caller)
        )

    def _visible(self, scheme: str, uid: int) -> list[Failure]:
        """Return the failures in *scheme* that *uid* may read, the newest first."""
        by_uid = self._by_uid.values() if uid == 0 else [self._by_uid.get(uid, {})]
        visible = [each for failures in by_uid for each in failures.values() if scheme in (ANY, each.scheme)]
        visible.sort(key=lambda failure: failure.time, reverse=True)
        return visible

    def _with_other_uid(self, scheme: str, caller: Caller, process: Process) -> list[Failure]:
        """Return the failures of the calling thread from before it changed its uid."""
        schemes = self._successes if scheme == ANY else (scheme,)
        keys = [(name, caller.pid) for name in schemes]
        others = [failures for uid, failures in self._by_uid.items() if uid != caller.uid]
        found = [failures[key] for failures in others for key in keys if key in failures]
        return [each for each in found if each.process is not None and each.process.is_same(process)]

    def _find(self, pid: int) -> Process | None:
        return self._process_of(pid) if pid else None

    def _last(self, scheme: str, thread: int) -> float:
        """Return when *thread* has last succeeded in *scheme*."""
        if scheme != ANY:
            return self.successes(scheme).last(thread)
        return max((each.last(thread) for each in self._successes.values()), default=0.0)

    def _last_success(self, scheme: str, thread: int, process: Process) -> float:
        """Return when *thread* of *process* has last succeeded; 0: never, or it was another process with its pid."""
        success = self._last(scheme, thread)
        return success if success > self._clock() - process.age - TICK else 0.0

    def _begin(self, pid: int) -> float:
        """Return when the process *pid* began: failures before were of another one. 0: it is not known."""
        process = self._find(pid)
        return self._clock() - process.age - TICK if process is not None else 0.0

    def _newest(self, failures: list[Failure], elder: int, is_related: Callable[[Process], bool]) -> Failure | None:
        """Return the newest failure of a related process since the process *elder* began; None: there is none."""
        if not elder:
            return None
        begin = self._begin(elder)
        related = (each for each in failures if each.process and is_related(each.process) and each.time >= begin)
        return next(related, None)

    def _recent(self, failures: list[Failure], caller: Caller) -> Failure | None:
        after = self._clock() - RECENT
        return next((each for each in failures if each.uid == caller.uid and each.time >= after), None)

"""Which failure `err` shows: that of the asking process, else of its family, its session, its uid."""

from __future__ import annotations

from itertools import count

import pytest

from schemefs.failures import ANY, PER_UID, SENTENCE, SUCCESSES, UIDS, Failure, Failures, Process, Successes
from schemefs.handle import Caller
from schemefs.nodes import FailureFile

USER = 1000


class World:
    """Processes, a clock, and `err` of two schemes and of the top."""

    def __init__(self) -> None:
        self.now = 100.0
        self.processes: dict[int, Process] = {}
        self.begun: dict[int, float] = {}
        self.starts = count(1)
        self.failures = Failures(self.process_of, lambda: self.now)
        self.err = {scheme: FailureFile(self.failures, scheme) for scheme in ("tcp", "udp", ANY)}
        self.process(10, parent=1, session=10)  # a shell

    def process_of(self, pid: int) -> Process | None:
        process = self.processes.get(pid)
        if process is None:
            return None
        age = self.now - self.begun[pid]
        parent = self.processes.get(process.parent)
        above = parent.parent if parent is not None else 0
        return Process(process.pid, process.start, process.parent, process.session, age, above)

    def process(self, pid: int, parent: int = 10, session: int = 10) -> int:
        """Start a process, in the place of an older one with its pid."""
        self.now += 1
        self.processes[pid] = Process(pid, next(self.starts), parent, session, 0.0)
        self.begun[pid] = self.now
        return pid

    def thread(self, pid: int, of: int) -> int:
        self.processes[pid] = self.processes[of]
        self.begun[pid] = self.begun[of]
        return pid

    def fails(self, pid: int, sentence: str, *, uid: int = USER, scheme: str = "tcp") -> None:
        self.now += 0.01
        self.err[scheme].record(Caller(uid, pid=pid), sentence)

    def succeeds(self, pid: int, scheme: str = "tcp") -> None:
        self.now += 0.01
        self.err[scheme].successes.note(pid, self.now)

    def kept(self) -> list[Failure]:
        return [failure for failures in self.failures._by_uid.values() for failure in failures.values()]

    def told(self, pid: int, *, uid: int = USER, scheme: str = "tcp") -> str:
        self.now += 0.01
        return self.err[scheme].read(Caller(uid, pid=pid), self.now).decode().rstrip("\n")


@pytest.fixture
def world() -> World:
    return World()


def test_a_child_of_a_child_is_newer_than_an_older_child(world: World) -> None:
    """`cat A; timeout 5 cat B || cat err`: the shell is 10, and reads as 14 or itself."""
    world.fails(world.process(11), "A")
    timeout = world.process(12)
    world.fails(world.process(13, parent=timeout), "B")
    assert world.told(world.process(14)) == "B"
    assert world.told(10) == "B"


def test_a_process_is_told_its_own_failure_not_a_newer_one_of_another(world: World) -> None:
    a, b = world.process(20), world.process(21)
    world.fails(a, "a")
    world.fails(b, "b")
    world.now += 3600
    assert (world.told(a), world.told(b)) == ("a", "b")


def test_each_thread_is_told_its_own_failure_and_another_thread_the_newest(world: World) -> None:
    world.process(20)
    first, second, third = (world.thread(pid, of=20) for pid in (21, 22, 23))
    world.fails(first, "first")
    world.fails(second, "second")
    assert [world.told(thread) for thread in (first, second, third)] == ["first", "second", "second"]


def test_a_success_of_the_same_process_clears_its_failure_in_that_scheme(world: World) -> None:
    a = world.process(20)
    world.fails(world.process(21), "of a sibling")
    world.fails(a, "a")
    world.succeeds(a, "udp")
    assert world.told(a) == "a"
    assert world.told(a, scheme=ANY) == ""
    world.succeeds(a)
    assert world.told(a) == ""
    world.fails(a, "again")
    assert world.told(a) == "again"


def test_a_success_of_another_thread_clears_nothing(world: World) -> None:
    world.process(20)
    a, b = world.thread(21, of=20), world.thread(22, of=20)
    world.fails(a, "a")
    world.succeeds(b)
    assert world.told(a) == "a"


def test_a_process_that_only_succeeded_is_told_nothing_of_others(world: World) -> None:
    a = world.process(20)
    world.succeeds(a)
    world.fails(world.process(21), "of a sibling")
    assert world.told(a) == ""


def test_a_child_of_the_same_parent_is_next_and_the_parent(world: World) -> None:
    world.fails(world.process(20), "cat")
    world.fails(world.process(21, parent=11), "of another shell")
    asking = world.process(22)
    world.now += 60
    assert world.told(asking) == "cat"
    world.fails(10, "the shell itself")
    assert world.told(asking) == "the shell itself"


def test_a_shell_that_reads_err_itself_is_told_of_its_child(world: World) -> None:
    world.fails(10, "the shell's old failure")
    world.succeeds(10)
    world.fails(world.process(20), "cat")
    assert world.told(10) == "cat"
    world.succeeds(10)
    assert world.told(10) == ""


def test_parallel_shells_each_have_their_own(world: World) -> None:
    shells = [world.process(100 + number, parent=10) for number in range(60)]
    for number, shell in enumerate(shells):
        world.fails(world.process(200 + number, parent=shell), f"failure {number}")
    for number, shell in enumerate(shells):
        assert world.told(world.process(300 + number, parent=shell)) == f"failure {number}"


def test_the_session_is_next_then_the_uid_for_three_seconds_then_nothing(world: World) -> None:
    world.fails(world.process(20, parent=11, session=10), "of the session")
    world.fails(world.process(21, parent=12, session=99), "of another session")
    world.now += 60
    assert world.told(world.process(22, parent=13, session=10)) == "of the session"
    stranger = world.process(23, parent=14, session=77)
    assert world.told(stranger) == ""
    world.fails(21, "a moment ago")
    assert world.told(stranger) == "a moment ago"
    assert world.told(stranger, uid=1001) == ""
    world.now += 3
    assert world.told(stranger) == ""


def test_only_root_is_told_of_another_uid(world: World) -> None:
    world.fails(world.process(20), "of root", uid=0)
    world.fails(world.process(21), "of the user")
    assert world.told(world.process(22), uid=0) == "of the user"
    assert world.told(world.process(23), uid=1001) == ""
    world.fails(20, "of root", uid=0)
    assert world.told(world.process(24)) == "of the user"
    assert world.told(20, uid=USER) == "of root"  # the same process, which has changed its uid


def test_a_pid_used_again_is_another_process(world: World) -> None:
    world.fails(world.process(20, session=9), "of the old process")
    world.succeeds(20)
    world.now += 60
    world.process(20, parent=11, session=11)
    assert world.told(20) == ""
    world.fails(world.process(21, parent=11, session=11), "of a sibling")
    assert world.told(20) == "of a sibling"  # the old process' success does not count either


def test_a_child_of_an_old_process_with_the_pid_of_the_parent_is_no_sibling(world: World) -> None:
    world.fails(world.process(20, parent=15, session=8), "of the old process' child")
    world.now += 60
    world.process(15, session=15)
    assert world.told(world.process(21, parent=15, session=15)) == ""


def test_a_session_of_an_old_process_with_the_number_of_the_session_is_another(world: World) -> None:
    world.fails(world.process(20, parent=19, session=15), "of the old session")
    world.now += 60
    world.process(15, session=15)
    assert world.told(world.process(21, parent=18, session=15)) == ""


def test_a_thread_that_fails_again_at_once_is_not_looked_up_again(world: World) -> None:
    a = world.process(20)
    world.fails(a, "first")
    del world.processes[20]
    world.fails(a, "second")  # 0.01 s later
    assert [each.sentence for each in world.kept() if each.process is not None] == ["second"]
    world.now += 1
    world.fails(a, "third")
    assert [each.sentence for each in world.kept() if each.process is None] == ["third"]


@pytest.mark.parametrize("pid", [0, 4242])  # outside the pid namespace; not shown by /proc
def test_a_caller_without_process_goes_by_uid(world: World, pid: int) -> None:
    world.fails(pid, "of the container")
    world.now += 60
    assert world.told(pid) == "of the container"
    assert world.told(pid, uid=1001) == ""
    world.succeeds(0)
    world.fails(world.process(20), "of a process")
    assert world.told(pid) == "of the container"
    assert world.told(pid, uid=0) == ""


def test_a_process_whose_parent_and_session_are_outside_has_no_siblings(world: World) -> None:
    world.fails(world.process(20, parent=0, session=0), "of another entry into the namespace")
    world.now += 60
    assert world.told(world.process(21, parent=0, session=0)) == ""


def test_the_top_names_the_scheme(world: World) -> None:
    a = world.process(20)
    world.fails(a, "in tcp")
    world.fails(a, "in udp", scheme="udp")
    assert world.told(a, scheme=ANY) == "udp: in udp"
    world.fails(a, "there is no 'tpc'", scheme=ANY)
    assert world.told(a, scheme=ANY) == "there is no 'tpc'"
    assert world.told(a) == "in tcp"


def test_a_notice_is_shown_until_the_next_failure(world: World) -> None:
    a = world.process(20)
    world.err["tcp"].notice(USER, "an address is in use")
    assert world.told(a) == "an address is in use"
    assert world.told(a, uid=1001) == ""
    world.fails(a, "a")
    assert world.told(a) == "a"


def test_memory_is_bounded_and_no_user_displaces_another_users_failure(world: World) -> None:
    world.fails(world.process(7, session=7, parent=3), "x" * 10_000)
    for number in range(3 * PER_UID):
        world.fails(world.process(1000 + number, session=7, parent=3), "of a flood", uid=1001)
    assert world.told(7) == "x" * SENTENCE
    for uid in range(2000, 2000 + 2 * UIDS):
        world.fails(7, "of many users", uid=uid)
    kept = world.failures._by_uid
    assert len(kept) == UIDS
    assert max(map(len, kept.values())) <= PER_UID


def test_successes_are_bounded_and_the_latest_are_kept() -> None:
    successes = Successes()
    for thread in range(1, 10 * SUCCESSES):
        successes.note(thread, float(thread))
        successes.note(7, float(thread))
    assert successes.last(7) == 10 * SUCCESSES - 1
    assert successes.last(10 * SUCCESSES - 1) == 10 * SUCCESSES - 1
    assert successes.last(8) == 0
    assert len(successes._young) + len(successes._old) <= 2 * SUCCESSES + 1

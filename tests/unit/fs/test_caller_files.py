"""Files of the machine that are read for a caller: with whose rights, what is none of use, and nothing that hangs."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from schemefs.errors import SchemeError
from schemefs.fs import caller_files, caller_process, read_as_caller
from schemefs.fs.waiting import Waiters, Waiting
from schemefs.scheme import Caller
from tests.support.running_calls import answer_to, new_waiting

NOBODY = 65534
root = pytest.mark.needs("root")


def read_for(caller: Caller, *names: Path) -> dict[str, str]:
    async def read() -> Mapping[str, caller_files.FileCopy]:
        return await reading(caller, [str(name) for name in names])

    return {Path(name).name: Path(copy.path).read_text() for name, copy in trio.run(read).items()}


async def reading(
    caller: Caller, names: Sequence[str], waiting: Waiting | None = None
) -> Mapping[str, caller_files.FileCopy]:
    waiting = waiting or new_waiting()
    return await answer_to(waiting, caller_files.read_for(caller, names, waiting, 7))


@contextmanager
def refusal() -> Iterator[list[SchemeError]]:
    caught: list[SchemeError] = []
    with pytest.raises(SchemeError) as raised:
        yield caught
    caught.append(raised.value)


def myself() -> Caller:
    return Caller(os.getuid(), os.getgid(), os.getpid())


def test_several_files_are_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("2\ntwo\n")
    assert read_for(myself(), tmp_path / "a", tmp_path / "b") == {"a": "one\n", "b": "2\ntwo\n"}


def test_a_copy_goes_with_who_has_it() -> None:
    copy = caller_files.MemoryCopy(b"secret")
    path = copy.path
    assert Path(path).read_bytes() == b"secret"
    del copy
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("none", errno.ENOENT),
        ("", errno.EINVAL),
        ("fifo", errno.EINVAL),
        ("large", errno.EFBIG),
        ("a/b", errno.ENOTDIR),
    ],
)
def test_what_can_not_be_had_is_an_errno_with_the_name(tmp_path: Path, name: str, number: int) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a").touch()
    (tmp_path / "large").write_bytes(bytes(read_as_caller.LARGEST + 1))
    with refusal() as caught:
        read_for(myself(), tmp_path / name)
    assert caught[0].errno == number
    assert str(tmp_path / name) in caught[0].sentence


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a folder that other users may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@root
def test_a_caller_is_served_what_it_may_read_and_nothing_else(public: Path) -> None:
    secret = public / "secret"
    secret.write_text("of root")
    secret.chmod(0o640)
    caller = Caller(NOBODY, NOBODY, os.getpid())  # the process is another's: its groups count for nothing
    with refusal() as caught:
        read_for(caller, secret)
    assert caught[0].errno == errno.EACCES
    os.chown(secret, NOBODY, 0)
    assert read_for(caller, secret) == {"secret": "of root"}


@root
def test_the_groups_of_the_calling_process_count(public: Path) -> None:
    shared = public / "shared"
    shared.write_text("of the group")
    os.chown(shared, 0, 12345)
    shared.chmod(0o640)
    with subprocess.Popen(["sleep", "60"], user=NOBODY, group=NOBODY, extra_groups=[12345]) as process:
        try:
            assert read_for(Caller(NOBODY, NOBODY, process.pid), shared) == {"shared": "of the group"}
        finally:
            process.kill()


def test_a_daemon_that_is_not_root_reads_for_its_own_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with refusal() as caught:
        read_for(Caller(1001), tmp_path / "any")
    assert caught[0].errno == errno.EACCES


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the reader write its process id to the named file, then hang, as on a network file system that has gone."""
    script = tmp_path / "hanging.py"
    script.write_text(
        "import os, signal, sys\nprint(os.getpid(), file=open(sys.argv[2], 'w'), flush=True)\nsignal.pause()\n"
    )
    monkeypatch.setattr(caller_files, "READER", script)
    return tmp_path / "pid"


def text_of(pid_file: Path) -> str:
    return pid_file.read_text() if pid_file.exists() else ""


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def begun(pid_file: Path) -> int:
    while not text_of(pid_file):
        await trio.lowlevel.checkpoint()
    return int(text_of(pid_file))


async def gone(process: int) -> None:
    with trio.fail_after(10):
        while is_alive(process):
            await trio.lowlevel.checkpoint()


async def test_what_hangs_is_given_up(hanging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_files, "TIMEOUT", 0.5)
    with refusal() as caught:
        await reading(myself(), [str(hanging)])
    assert caught[0].errno == errno.ETIMEDOUT
    await gone(await begun(hanging))


async def test_what_can_not_even_be_killed_is_given_up(hanging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process is that reads a file of a FUSE server that has stopped."""
    monkeypatch.setattr(caller_files, "TIMEOUT", 0.5)
    monkeypatch.setattr(trio.Process, "kill", lambda _self: None)
    with trio.fail_after(10), refusal() as caught:
        await reading(myself(), [str(hanging)])
    assert caught[0].errno == errno.ETIMEDOUT
    process = await begun(hanging)
    assert is_alive(process)
    os.kill(process, signal.SIGKILL)
    await gone(process)


async def test_the_wait_for_a_slot_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_files, "TIMEOUT", 0.1)
    slots = trio.CapacityLimiter(1)
    monkeypatch.setitem(caller_files._slots_of_uid, os.getuid(), slots)
    async with slots:
        with trio.fail_after(10), refusal() as caught:
            await reading(myself(), [str(tmp_path)])
    assert caught[0].errno == errno.ETIMEDOUT


async def test_readers_of_one_user_wait_for_each_other_and_delay_no_other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    begun, may_end = [], trio.Event()

    async def run(_command: object, names: Sequence[str]) -> Mapping[str, caller_files.MemoryCopy]:
        if names == ["slow"]:
            begun.append(names)
            await may_end.wait()
        return {}

    monkeypatch.setattr(caller_files, "_run", run)
    limit = caller_files.READERS_OF_UID
    async with trio.open_nursery() as nursery:
        for _ in range(3 * limit):
            nursery.start_soon(reading, Caller(NOBODY), ["slow"])
        await wait_all_tasks_blocked()
        assert len(begun) == limit
        for caller in (Caller(NOBODY - 1), Caller(0)):
            assert await reading(caller, ["text"]) == {}
        assert len(begun) == limit
        may_end.set()
    assert len(begun) == 3 * limit
    assert not caller_files._slots_of_uid


async def test_a_signal_ends_it_at_once(hanging: Path) -> None:
    waiting = new_waiting()

    async def interrupt() -> None:
        await begun(hanging)
        await wait_all_tasks_blocked()
        waiting.interrupt(7)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        with refusal() as caught:
            await reading(myself(), [str(hanging)], waiting)
        nursery.cancel_scope.cancel()
    assert caught[0].errno == errno.EINTR
    await gone(await begun(hanging))


async def test_a_signal_right_after_the_files_were_read_finds_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, waiters = new_waiting(), Waiters()

    async def read(*_args: object) -> Mapping[str, caller_files.MemoryCopy]:
        return {}

    monkeypatch.setattr(caller_files, "_read", read)
    ends: list[int] = []

    async def call() -> None:
        try:
            await caller_files.read_for(myself(), ["/x"], waiting, 7)
            await waiting.until(lambda _now: None, waiters, 7, 0.0)
        except SchemeError as error:
            ends.append(error.errno)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_to, waiting, call())
        while not waiting.by_unique:
            await trio.lowlevel.checkpoint()
        while not waiters.calls:
            assert 7 in waiting.by_unique
            await trio.lowlevel.checkpoint()
        waiting.interrupt(7)
    assert ends == [errno.EINTR]


def test_a_name_forges_no_errno(tmp_path: Path) -> None:
    name = tmp_path / "none\n600 x"
    with refusal() as caught:
        read_for(myself(), name)
    assert caught[0].errno == errno.ENOENT
    assert str(name).replace("\n", "\\n") in caught[0].sentence


def test_what_the_reader_did_not_come_to_tell_is_a_failure_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise ValueError('2 0 x')\n")
    monkeypatch.setattr(caller_files, "READER", script)
    with refusal() as caught:
        read_for(myself(), tmp_path / "any")
    assert caught[0].errno == errno.EIO
    assert "ValueError: 2 0 x" in caught[0].sentence


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as lowest_free:
        number = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_without_a_descriptor_the_groups_are_not_taken_for_none() -> None:
    """They decide whether the caller may read a file: EACCES would be a wrong reason."""
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        caller_files._groups(myself())


def test_a_copy_that_has_no_descriptor_leaves_nothing_to_free() -> None:
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        caller_files.MemoryCopy(b"secret")
    gc.collect()  # an error of __del__ would fail this test


def test_whether_a_signal_can_end_a_call() -> None:
    assert caller_process.can_be_interrupted(os.getpid())
    assert not caller_process.can_be_interrupted(0)
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        caller_process.can_be_interrupted(os.getpid())


@root
def test_no_signal_ends_a_call_of_a_thread_of_the_kernel() -> None:
    threads = [int(name) for name in os.listdir("/proc") if name.isdecimal() and is_of_the_kernel(name)]
    if not threads:
        pytest.skip("no thread of the kernel is seen here")
    assert not any(map(caller_process.can_be_interrupted, threads))


def is_of_the_kernel(name: str) -> bool:
    """PF_KTHREAD (linux/sched.h): an empty command line is also that of a process that is about to execute another."""
    try:
        flags = Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2].split()[6]
    except OSError:
        return False
    return bool(int(flags) & 0x00200000)

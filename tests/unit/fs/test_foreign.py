"""Files of the machine that are read for a caller: with whose rights, what is none of use, and nothing that hangs."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from schemefs.alarm import Alarm
from schemefs.errors import SchemeError
from schemefs.fs import foreign, foreign_reader
from schemefs.fs.waiting import Waiting
from schemefs.scheme import Caller

NOBODY = 65534
root = pytest.mark.needs("root")


def read_for(caller: Caller, *names: Path) -> dict[str, str]:
    async def read() -> Mapping[str, foreign.Copy]:
        waiting = Waiting(Alarm(), lambda: None, trio.current_time)
        return await foreign.read_for(caller, [str(name) for name in names], waiting, 1)

    return {Path(name).name: Path(copy.path).read_text() for name, copy in trio.run(read).items()}


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
    copy = foreign.Copy(b"secret")
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
    (tmp_path / "large").write_bytes(bytes(foreign_reader.LARGEST + 1))
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
    monkeypatch.setattr(foreign, "READER", script)
    return tmp_path / "pid"


def has_begun(pid_file: Path) -> bool:
    return pid_file.exists() and bool(pid_file.read_text())


def is_alive(pid_file: Path) -> bool:
    return Path(f"/proc/{int(pid_file.read_text())}").exists()


def test_what_hangs_is_given_up(hanging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "TIMEOUT", 0.5)
    with refusal() as caught:
        read_for(myself(), hanging)
    assert caught[0].errno == errno.ETIMEDOUT
    assert not is_alive(hanging)


async def test_a_signal_ends_it_at_once(hanging: Path) -> None:
    waiting = Waiting(Alarm(), lambda: None, trio.current_time)

    async def interrupt() -> None:
        while not has_begun(hanging):
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        waiting.interrupt(7)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        with refusal() as caught:
            await foreign.read_for(myself(), [str(hanging)], waiting, 7)
        nursery.cancel_scope.cancel()
    assert caught[0].errno == errno.EINTR
    assert not is_alive(hanging)

"""`schemefs mount` and `schemefs umount` as a person uses them: real daemons, each in the background, always ended."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.command import mountpoint
from schemefs.errors import StartError
from schemefs.fs import mountinfo
from schemefs.testing.leftovers import Place
from schemefs.tools import find_mount
from tests.support.open_to_all import open_to_all

pytestmark = pytest.mark.needs("fuse")

LOOPBACK = ("--driver", "loopback")


def schemefs(*arguments: str | Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "schemefs", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, cwd="/")


@pytest.fixture
def directory(_no_leftovers: None) -> Iterator[Path]:
    """A mount point; what is mounted there at the end of the test is ended."""
    place = Place()
    path = place.path / "m"
    path.mkdir()
    place.note_mount(path)
    yield path
    mount = mountinfo.mounted_at(str(path))
    if mount is not None and mount.daemon_lives:
        os.kill(mount.pid, signal.SIGKILL)
        wait_gone(mount.pid)
    place.remove()


def mounted(directory: Path, *options: str) -> int:
    """Mount, and return the daemon's process id."""
    done = schemefs("mount", directory, *(options or LOOPBACK))
    assert (done.returncode, done.stderr) == (0, "")
    mount = mountinfo.mounted_at(str(directory))
    assert mount is not None
    return mount.pid


def wait_gone(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], 15)[0], f"process {pid} lives"
    finally:
        os.close(pidfd)


def failed(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(f"schemefs: {sentence}\n", done.stderr)


def test_mount_returns_when_ready_and_umount_when_the_daemon_is_gone(directory: Path) -> None:
    done = schemefs("mount", directory, *LOOPBACK)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"mounted {directory} (")
    assert done.stdout.endswith(f". Try: cat {directory}/icmp/ping/127.0.0.1,count=3\n")
    mount = mountinfo.mounted_at(str(directory))
    assert mount is not None
    assert "schemefs" in Path(f"/proc/{mount.pid}/cmdline").read_text()
    assert (directory / "README").read_text()
    done = schemefs("umount", directory)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"unmounted {directory}\n", "")
    assert not mount.daemon_lives
    assert mountinfo.mounted_at(str(directory)) is None
    assert list(directory.iterdir()) == []


def test_a_mount_without_standard_streams_is_no_failure(directory: Path) -> None:
    """What a mount prints is only what it has done."""
    for words in (["mount", str(directory)], ["umount", str(directory)]):
        command = [sys.executable, "-m", "schemefs", *words]
        subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=True, timeout=60)
        assert directory.joinpath("README").exists() == (words[0] == "mount")


def test_the_daemon_has_a_session_of_its_own_and_none_of_our_descriptors(directory: Path) -> None:
    pid = mounted(directory)
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"


def moved(directory: Path) -> Path:
    """Give the folder above the mount point another name."""
    folder = directory.parent / "folder"
    folder.mkdir()
    inside = folder / "m"
    inside.mkdir()
    mounted(inside)
    return folder.rename(directory.parent / "renamed") / "m"


def left_of(pid: int) -> list[str]:
    return [mount.path for mount in mountinfo.mounts() if mount.source == mountinfo.source(pid)]


@pytest.mark.parametrize("how", ["signal", "umount", "force", "fusermount3"])
def test_a_mount_whose_folder_was_renamed_ends_without_a_trace(directory: Path, how: str) -> None:
    path = moved(directory)
    mount = mountinfo.mounted_at(str(path))
    assert mount is not None
    assert (path / "README").read_text()
    if how == "signal":
        os.kill(mount.pid, signal.SIGTERM)
    elif how == "fusermount3":
        subprocess.run(["fusermount3", "-u", path], check=True, timeout=20)
    else:
        assert schemefs("umount", *(["--force"] if how == "force" else []), path).returncode == 0
    wait_gone(mount.pid)
    assert left_of(mount.pid) == []
    assert list(path.iterdir()) == []


@pytest.mark.needs("root")
def test_the_end_of_a_renamed_mount_spares_what_took_its_place(directory: Path) -> None:
    path = moved(directory)
    first = mountinfo.mounted_at(str(path))
    assert first is not None
    old = directory.parent / "folder"
    (old / "m").mkdir(parents=True)
    second = mounted(old / "m")
    os.kill(first.pid, signal.SIGTERM)
    wait_gone(first.pid)
    assert (left_of(first.pid), left_of(second)) == ([], [str(old / "m")])
    assert (old / "m/README").read_text()
    assert schemefs("umount", old / "m").returncode == 0


@pytest.mark.needs("root")
def test_the_end_of_a_daemon_spares_that_of_another_pid_namespace(directory: Path) -> None:
    """Of two containers that see one another's mounts each has a process 1; both mounts have one name."""
    paths = [directory, directory.parent / "other"]
    paths[1].mkdir()
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "schemefs", "mount", "-f"]
    outer = [subprocess.Popen([*command, path, *LOOPBACK], stdout=subprocess.PIPE, text=True) for path in paths]
    try:
        for process in outer:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("mounted ")
        for process, path, left in zip(outer, paths, (paths[1:], []), strict=True):
            assert (path / "README").read_text()
            os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()), signal.SIGTERM)
            assert process.wait(15) == 0
            assert [other for other in paths if mountinfo.mounted_at(str(other))] == left
    finally:
        for process in outer:
            process.kill()
            process.communicate()


@pytest.mark.needs("root")
def test_the_end_of_a_daemon_spares_what_is_mounted_over_it(directory: Path, tmp_path: Path) -> None:
    pid = mounted(directory, *LOOPBACK, "--log-file", str(tmp_path / "log"))
    subprocess.run(["mount", "-t", "tmpfs", "over", directory], check=True, timeout=10)
    os.kill(pid, signal.SIGTERM)
    wait_gone(pid)
    over = mountinfo.mounted_at(str(directory))
    subprocess.run(["umount", directory], check=True, timeout=10)
    left = mountinfo.mounted_at(str(directory))
    mountpoint.remove_stale(str(directory))
    assert (over and over.kind, left and left.pid) == ("tmpfs", pid)
    assert f"over (tmpfs) is mounted over {directory}" in (tmp_path / "log").read_text()


@pytest.mark.needs("root")
def test_an_aborted_connection_leaves_no_mount(directory: Path) -> None:
    pid = mounted(directory)
    mount = mountinfo.mounted_at(str(directory))
    assert mount is not None
    abort = Path(f"/sys/fs/fuse/connections/{mount.device}/abort")
    if not abort.exists():
        subprocess.run(["mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"], check=False, timeout=10)
    abort.write_text("1")
    wait_gone(pid)
    assert left_of(pid) == []


@pytest.mark.parametrize("wrapper", [(), ("setsid", "--wait"), ("setsid", "--fork", "--wait"), ("nohup",)])
def test_any_session_gets_an_answer(directory: Path, wrapper: tuple[str, ...]) -> None:
    """A session that began before the daemon (a shell waiting on a fifo), and ones that begin after it."""
    before = subprocess.Popen(
        [*wrapper, "sh", "-c", f"read -r _ && cat {directory}/README"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    mounted(directory)
    assert "scheme" in before.communicate("go\n", timeout=5)[0]
    after = subprocess.run([*wrapper, "cat", directory / "README"], check=True, capture_output=True, timeout=5)
    assert b"scheme" in after.stdout


@pytest.mark.needs("root")
@pytest.mark.parametrize(("options", "allowed"), [((), True), (("--private",), False)])
def test_another_uid(directory: Path, options: tuple[str, ...], allowed: bool) -> None:
    with open_to_all(directory.parent):
        line = schemefs("mount", directory, *LOOPBACK, *options).stdout
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        done = subprocess.run(
            [*nobody, "cat", directory / "README"], check=False, capture_output=True, text=True, timeout=5
        )
        assert ("for root alone. Try: cat" in line) is not allowed
        assert (done.returncode == 0) is allowed
        assert ("Permission denied" in done.stderr) is not allowed


def test_pid_file(directory: Path, tmp_path: Path) -> None:
    pid = mounted(directory, *LOOPBACK, "--pid-file", str(tmp_path / "pid"))
    assert (tmp_path / "pid").read_text() == f"{pid}\n"
    assert schemefs("umount", directory).returncode == 0
    assert not (tmp_path / "pid").exists()


def test_a_pid_file_that_cannot_be_written(directory: Path) -> None:
    failed(
        schemefs("mount", directory, *LOOPBACK, "--pid-file", "/nothing/pid"), "the pid file /nothing/pid can't be .*"
    )
    assert mountinfo.mounted_at(str(directory)) is None


def test_log_file(directory: Path, tmp_path: Path) -> None:
    mounted(directory, *LOOPBACK, "--log-file", str(tmp_path / "log"), "--log-level", "debug")
    schemefs("umount", directory)
    assert "INFO daemon: unmounted" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("foreground", [["-f"], []])
def test_a_fifo_without_a_reader_is_no_log_file(directory: Path, tmp_path: Path, foreground: list[str]) -> None:
    """The open would wait for a reader."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = schemefs("mount", *foreground, directory, *LOOPBACK, "--log-file", fifo)
    failed(done, f".*the log file {fifo} can't be written: a FIFO that no process reads")
    assert mountinfo.mounted_at(str(directory)) is None


def test_a_log_file_that_cannot_be_written(directory: Path) -> None:
    failed(schemefs("mount", directory, *LOOPBACK, "--log-file", "/nothing/log"), ".*/nothing/log can't be written.*")
    assert mountinfo.mounted_at(str(directory)) is None


def test_already_mounted(directory: Path) -> None:
    pid = mounted(directory)
    failed(
        schemefs("mount", directory, *LOOPBACK),
        rf"{directory} is already mounted \(process {pid}\): end that first \(schemefs umount {directory}\)",
    )
    assert (directory / "README").exists()


def test_a_killed_daemons_mount_is_replaced(directory: Path) -> None:
    """The kernel has kept the root's attributes, which stat(2) shows for a dead mount too."""
    pid = mounted(directory)
    subprocess.run(["stat", directory], check=True, capture_output=True, timeout=10)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    with pytest.raises(OSError, match="not connected"):
        os.statvfs(directory)
    assert mountpoint.state_of(str(directory)) is mountpoint.State.DEAD
    with pytest.raises(StartError, match=f"the daemon of {directory} has ended: schemefs umount {directory}"):
        find_mount.find(str(directory))
    mounted(directory)
    assert (directory / "README").exists()
    schemefs("umount", directory)
    assert mountinfo.mounted_at(str(directory)) is None, "one mount lay on another"


def test_a_stopped_daemon_is_seen_whatever_the_kernel_has_kept(directory: Path) -> None:
    pid = mounted(directory)
    subprocess.run(["stat", directory], check=True, capture_output=True, timeout=10)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert mountpoint.state_of(str(directory)) is mountpoint.State.SILENT
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_killed_daemons_mount_is_unmounted(directory: Path) -> None:
    pid = mounted(directory)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    done = schemefs("umount", directory)
    assert (done.returncode, done.stdout) == (0, f"unmounted {directory}, which a killed daemon had left\n")
    assert mountinfo.mounted_at(str(directory)) is None


def test_umount_of_a_busy_mount_names_who_uses_it_and_the_daemon_goes_on(directory: Path) -> None:
    pid = mounted(directory)
    with subprocess.Popen(["sleep", "60"], cwd=directory) as user:
        done = schemefs("umount", directory)
        failed(done, rf"{directory} is in use by sleep \({user.pid}\); kill {pid} ends it nevertheless")
        assert (directory / "README").exists()
        user.kill()
    assert schemefs("umount", directory).returncode == 0


def test_relative_and_linked_names(directory: Path) -> None:
    (directory.parent / "link").symlink_to("m")
    pid = mounted(directory)
    failed(
        schemefs("mount", directory.parent / "link", *LOOPBACK), rf"{directory} is already mounted \(process {pid}\).*"
    )
    assert schemefs("umount", f"{directory}/../m/").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_the_daemon_in_order(directory: Path, number: signal.Signals) -> None:
    pid = mounted(directory)
    os.kill(pid, number)
    wait_gone(pid)
    assert mountinfo.mounted_at(str(directory)) is None


def test_a_signal_ends_a_busy_mount_too(directory: Path) -> None:
    pid = mounted(directory)
    with subprocess.Popen(["sleep", "60"], cwd=directory) as user:
        os.kill(pid, signal.SIGTERM)
        wait_gone(pid)
        assert mountinfo.mounted_at(str(directory)) is None
        user.kill()


def test_fusermount_ends_the_daemon(directory: Path) -> None:
    pid = mounted(directory)
    subprocess.run(["fusermount3", "-u", directory], check=True, timeout=5)
    wait_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground(directory: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "schemefs", "mount", "-f", directory, *LOOPBACK],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stdout.readline().startswith(f"mounted {directory} (")
        mount = mountinfo.mounted_at(str(directory))
        assert mount is not None
        assert mount.pid == command.pid
        command.send_signal(number)
        _, errors = command.communicate(timeout=15)
    assert command.returncode == 0
    assert "INFO daemon: " in errors
    assert "Traceback" not in errors
    assert mountinfo.mounted_at(str(directory)) is None


def test_unknown_driver(directory: Path) -> None:
    failed(
        schemefs("mount", directory, "--driver", "carrier-pigeon"), "there is no driver 'carrier-pigeon'; there are: .*"
    )
    assert mountinfo.mounted_at(str(directory)) is None


@pytest.mark.needs("root")
@pytest.mark.needs("readable")
def test_a_user_who_may_not_open_the_device_is_told_what_to_do(directory: Path) -> None:
    """In a mount namespace where /dev/fuse has the mode 0600, as on some machines."""
    script = f"""
        mknod -m 600 {directory.parent}/fuse c 10 229 && mount --bind {directory.parent}/fuse /dev/fuse || exit 9
        chown 65534 {directory}
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \
            {sys.executable} -m schemefs mount {directory} --driver loopback
    """
    with open_to_all(directory.parent):
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=60, cwd="/"
        )
    failed(done, "/dev/fuse has the mode 0600, which keeps uid 65534 out: chmod 666 /dev/fuse")


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("conf", "options", "said", "root_may"),
    [
        ("", "", ", for nobody alone. Try: ", False),
        ("", "--allow-other", ", for nobody alone, because /etc/fuse.conf lacks user_allow_other. Try: ", False),
        ("user_allow_other", "--allow-other", "). Try: ", True),
        ("user_allow_other", "", ", for nobody alone. Try: ", False),
    ],
)
@pytest.mark.needs("readable")
def test_a_users_mount(directory: Path, conf: str, options: str, said: str, root_may: bool) -> None:
    """In a mount namespace whose /dev/fuse everybody may open, with a fuse.conf of its own."""
    (directory.parent / "conf").write_text(conf + "\n")
    user = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    script = f"""
        mknod -m 666 {directory.parent}/fuse c 10 229 && mount --bind {directory.parent}/fuse /dev/fuse || exit 9
        mount --bind {directory.parent}/conf /etc/fuse.conf || exit 9
        chown 65534 {directory}
        {user} {sys.executable} -m schemefs mount {directory} --driver loopback {options} || exit 8
        {user} head -c 11 {directory}/README || exit 7
        head -c 11 {directory}/README >&2
        {user} {sys.executable} -m schemefs umount {directory}
    """
    with open_to_all(directory.parent):
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=60, cwd="/"
        )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert "The network" in done.stdout
    assert ("The network" in done.stderr) is root_may
    assert ("Permission denied" in done.stderr) is not root_may
    assert done.stdout.endswith(f"unmounted {directory}\n")

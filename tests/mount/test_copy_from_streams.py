"""cp, install and mv from a stream: stat(path) and the file opened next have one inode; other callers have others."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

# A prefix that runs its arguments as the first process of a new pid namespace and passes SIGTERM on.
IN_PID_NAMESPACE = """
import ctypes, os, signal, sys
assert ctypes.CDLL(None).unshare(0x20000000) == 0
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def conversation_of(file: int) -> str:
    return os.getxattr(file, "user.conversation").decode()


@pytest.fixture
def source(module_scheme_mount: SchemeMount, family: Family) -> Iterator[Path]:
    """A path whose every open is a connection that gives `hello`."""
    script = f"""
        cd {shlex.quote(str(module_scheme_mount.path))}; exec 4<>tcp/:0
        cat "$(schemefs which 4)/local" || exit
        while read -r n _ <&4; do echo hello >tcp/$n/tx; done
    """
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PATH": search}
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip().rpartition(":")[2]
        yield module_scheme_mount.path / f"tcp/{family.lo.at(port)}"
        server.terminate()


@pytest.mark.parametrize(
    "command",
    [
        "cp {source} {target}",
        "cp -p {source} {target}",
        "yes | cp -i {source} {target}",
        "install -m 600 {source} {target}",
        pytest.param("busybox cp {source} {target}", marks=pytest.mark.needs("busybox")),
        pytest.param("perl -MFile::Copy -e 'copy(@ARGV) or die $!' {source} {target}", marks=pytest.mark.needs("perl")),
        "python3 -c 'import shutil, sys; shutil.copyfileobj(*map(open, sys.argv[1:], [*\"rw\"]))' {source} {target}",
        "dd if={source} of={target} status=none",
        "cat {source} >{target}",
        "cp /dev/stdin {target} <{source}",
    ],
)
def test_program_copies_a_stream_into_a_file(source: Path, tmp_path: Path, command: str) -> None:
    target = tmp_path / "target"
    target.touch()
    done = subprocess.run(
        ["bash", "-c", command.format(source=source, target=target)], capture_output=True, text=True, timeout=10
    )
    assert (target.read_text(), done.stderr.replace(f"cp: overwrite '{target}'? ", "")) == ("hello\n", "")
    assert done.returncode == 0


def test_mv_copies_and_then_says_that_a_stream_is_not_removed(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(["mv", source, tmp_path / "x"], capture_output=True, text=True, timeout=10)
    assert (tmp_path / "x").read_text() == "hello\n"
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr


def test_many_copies_of_one_path_at_once(source: Path, tmp_path: Path) -> None:
    """A copy's lookup drops the name that another copy has just looked up from the kernel's cache."""

    def copy(number: int) -> tuple[int, str]:
        target = tmp_path / str(number)
        done = subprocess.run(["cp", source, target], capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr or target.read_text()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(copy, range(80))) == {(0, "hello\n")}


def test_cp_from_one_stream_to_another(source: Path, module_scheme_mount: SchemeMount, family: Family) -> None:
    listener = os.open(module_scheme_mount.path / "tcp/:0", os.O_RDWR)
    port = (module_scheme_mount.path / conversation_of(listener) / "local").read_text().strip().rpartition(":")[2]
    cp = subprocess.Popen(["cp", source, module_scheme_mount.path / f"tcp/{family.lo.at(port)}"])
    number = os.read(listener, 100).split()[0].decode()
    assert (module_scheme_mount.path / f"tcp/{number}/rx").read_text() == "hello\n"
    assert cp.wait(10) == 0
    os.close(listener)


def stat_and_open(path: Path, count: int) -> list[int]:
    """Stat and open *path* again and again; return the open files."""
    files = []
    for _ in range(count):
        before = path.stat()
        files.append(os.open(path, os.O_RDWR))
        assert os.fstat(files[-1]).st_ino == before.st_ino
    return files


def test_threads_have_conversations_of_their_own(module_scheme_mount: SchemeMount, family: Family) -> None:
    path = module_scheme_mount.path / f"udp/{family.lo.at(9)}"
    with ThreadPoolExecutor(8) as pool:
        files = [file for some in pool.map(lambda _: stat_and_open(path, 30), range(8)) for file in some]
    names = {conversation_of(file) for file in files}
    for file in files:
        os.close(file)
    assert len(names) == len(files) == 240


def test_o_path_descriptor_is_the_inode_of_the_next_open_alone(
    module_scheme_mount: SchemeMount, family: Family
) -> None:
    path = module_scheme_mount.path / f"udp/{family.lo.at(9)}"
    reference = os.open(path, os.O_PATH)
    first = os.open(path, os.O_RDWR)
    second = os.open(path, os.O_RDWR)
    through_reference = os.open(f"/proc/self/fd/{reference}", os.O_RDWR)
    assert os.fstat(first).st_ino == os.fstat(reference).st_ino == os.fstat(through_reference).st_ino
    assert conversation_of(first) == conversation_of(through_reference) != conversation_of(second)
    for file in (reference, first, second, through_reference):
        os.close(file)


@pytest.mark.needs("root")
def test_callers_of_another_pid_namespace_never_share_a_conversation(family: Family) -> None:
    """All of them have thread number 0 for the daemon, those of another uid too."""
    prefix = [sys.executable, "-c", IN_PID_NAMESPACE]
    opener = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
path, uid = sys.argv[1], int(sys.argv[2])
os.setuid(uid)
def note(_):
    files = []
    for _ in range(20):
        os.stat(path)
        files.append(os.open(path, os.O_RDWR))
    return files
with ThreadPoolExecutor(4) as pool:
    files = [file for some in pool.map(note, range(4)) for file in some]
print(*(os.getxattr(file, "user.conversation").decode() for file in files), flush=True)
sys.stdin.read()
"""
    with SchemeMount(prefix=prefix) as mount:
        openers = [
            subprocess.Popen(
                [sys.executable, "-c", opener, f"udp/{family.lo.at(9)}", str(uid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=mount.path,  # the folders above are closed to others
            )
            for uid in (0, 0, 65534, 65534)
        ]
        names = [name for one in openers if one.stdout is not None for name in one.stdout.readline().split()]
        assert [one.communicate(timeout=20) and one.returncode for one in openers] == [0, 0, 0, 0]
        assert len(set(names)) == len(names) == 320


@pytest.mark.needs("root")
def test_thread_number_that_is_used_again_is_another_thread(family: Family) -> None:
    script = Path(__file__).with_name("number_used_again.py")
    done = subprocess.run(
        [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--mount-proc",
            sys.executable,
            script,
            family.lo.at(9),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    opened, joined = done.stdout.split()
    assert opened != joined

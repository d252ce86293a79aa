"""The size of a text is what its caller would read, so programs that go by st_size copy it; and what that costs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from counted_scheme import TEXT, CountedScheme

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

TRIES = 20  # on a busy machine, a program takes longer than a rendering serves


@pytest.fixture(scope="module")
def counted(_no_leftovers: None):  # type: ignore[no-untyped-def]
    with SchemeMount(schemes=[CountedScheme]) as mount:
        yield mount.path / "counted"


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout


def renderings(counted: Path, *command: str | Path) -> int:
    """Return how often *command* has the text rendered."""
    before = int((counted / "count").read_text())
    run(*command)
    return int((counted / "count").read_text()) - before


def test_size_is_the_length_of_the_text_and_blocks_cover_it(counted: Path) -> None:
    status = (counted / "text").stat()
    assert status.st_size == len(TEXT)
    assert status.st_blocks * 512 >= status.st_size
    assert (counted / "write-only").stat().st_size == 0
    for name in ("README", "count"):
        assert (counted / name).stat().st_size == len((counted / name).read_bytes())


@pytest.mark.parametrize(
    "command", ["cat {}", "head -n 1 {}", "wc -c {}", "tail -n 1 {}", "tac {}", "grep -c line {}", "cmp {} {}x"]
)
def test_program_has_the_text_rendered_once(counted: Path, tmp_path: Path, command: str) -> None:
    copy = tmp_path / "x"
    copy.write_text(TEXT)
    words = [str(copy) if word == "{}x" else word.format(counted / "text") for word in command.split()]
    assert min(renderings(counted, *words) for _ in range(TRIES)) == 1


@pytest.mark.parametrize("command", ["ls", "ls -a", "find", "find . -type f -name text"])
def test_listing_renders_nothing(counted: Path, command: str) -> None:
    assert renderings(counted, "sh", "-c", f'cd "$1" && {command} >/dev/null', "sh", counted) == 0


def test_lookup_and_open_o_path_render_nothing(counted: Path) -> None:
    def look_up() -> None:
        os.close(os.open(counted / "text", os.O_PATH))

    before = int((counted / "count").read_text())
    look_up()
    assert int((counted / "count").read_text()) == before


def test_ls_l_shows_sizes_and_renders_once(counted: Path) -> None:
    assert min(renderings(counted, "ls", "-l", counted) for _ in range(TRIES)) == 1
    assert f" {len(TEXT)} " in run("ls", "-l", counted).decode()


def python_shutil(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def python_sendfile(source: Path, target: Path) -> None:
    ends = socket.socketpair()
    with ends[0], ends[1], source.open("rb") as file:
        ends[0].sendfile(file)
        ends[0].shutdown(socket.SHUT_WR)
        target.write_bytes(ends[1].recv(1 << 20))


def python_tarfile(source: Path, target: Path) -> None:
    with tarfile.open(target.with_suffix(".tar"), "w") as archive:
        archive.add(source, "text")
    with tarfile.open(target.with_suffix(".tar")) as archive:
        extracted = archive.extractfile("text")
        assert extracted is not None
        target.write_bytes(extracted.read())


def http_server(source: Path, target: Path) -> None:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(source.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.sendall(b"GET /text HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
        target.write_bytes(answer.partition(b"\r\n\r\n")[2])
        server.terminate()


@pytest.mark.parametrize("copy", [python_shutil, python_sendfile, python_tarfile, http_server])
def test_python_copies_the_text(counted: Path, tmp_path: Path, copy) -> None:  # type: ignore[no-untyped-def]
    copy(counted / "text", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == TEXT


JAVA = """
import java.nio.file.*;
public class Copy { public static void main(String[] a) throws Exception { Files.copy(Path.of(a[0]), Path.of(a[1])); } }
"""
COPIES = {
    "cp": 'cp "$S" "$T"',
    "tar": 'tar -C "$D" -cf "$T.tar" text && tar -xOf "$T.tar" >"$T"',
    "tar --sparse": 'tar -S -C "$D" -cf "$T.tar" text && tar -xOf "$T.tar" >"$T"',
    "rsync": 'rsync "$S" "$T"',
    "node": "node -e \"require('fs').copyFileSync(process.env.S, process.env.T)\"",
    "ruby": 'ruby -rfileutils -e "FileUtils.cp(ENV[%q(S)], ENV[%q(T)])"',
    "java": 'printf %s "$JAVA" >"$T.java" && mv "$T.java" "${T%/*}/Copy.java" && java "${T%/*}/Copy.java" "$S" "$T"',
    "git": 'git diff --no-index --quiet "$S" /dev/null; git cat-file --batch-check </dev/null 2>/dev/null;'
    ' test "$(git hash-object "$S")" = "$(git hash-object --stdin <"$S")" && cat "$S" >"$T"',
    "cmp": 'cat "$S" >"$T"; cmp -s "$S" "$T"',
    "perl": 'perl -MFile::Copy -e "copy(@ARGV) or die" "$S" "$T"',
    "busybox": 'busybox cp "$S" "$T"',
    "gzip": 'gzip -c "$S" | gzip -dc >"$T"',
    "file": 'file -b "$S" | grep -q text && cat "$S" >"$T"',
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(name.split()[0])) for name in COPIES])
def test_program_copies_the_text(counted: Path, tmp_path: Path, name: str) -> None:
    names = {"S": str(counted / "text"), "D": str(counted), "T": str(tmp_path / "copy"), "JAVA": JAVA}
    done = subprocess.run(
        ["sh", "-c", COPIES[name]], env=os.environ | names, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "copy").read_text() == TEXT


def test_text_that_changes_at_each_rendering_is_copied_as_long_as_its_size(counted: Path, tmp_path: Path) -> None:
    def is_copied() -> bool:
        done = subprocess.run(
            ["tar", "-C", counted, "-cf", tmp_path / "x.tar", "growing"], check=False, capture_output=True, timeout=60
        )
        return done.returncode == 0 and run("tar", "-xOf", tmp_path / "x.tar").strip(b"x") == b""

    wait_until(is_copied)


def test_lookup_and_listing_by_others_do_not_end_a_sendfile(counted: Path) -> None:
    """The kernel takes the size of each answer for that of the file, and sendfile asks for no newer one."""
    ends = socket.socketpair()
    with (counted / "text").open("rb") as file, ends[0], ends[1]:
        assert os.fstat(file.fileno()).st_size == len(TEXT)
        os.close(os.open(counted / "text", os.O_PATH))
        os.listdir(counted)
        assert os.sendfile(ends[0].fileno(), file.fileno(), 0, 1 << 20) == len(TEXT)


@pytest.mark.needs("root")
def test_size_is_shown_to_those_alone_that_may_read(counted: Path) -> None:
    script = "import os, sys; os.setuid(65534); print(os.stat(sys.argv[1]).st_size)"
    command = [sys.executable, "-c", script, "private"]
    shown = subprocess.run(command, cwd=counted, check=True, capture_output=True, text=True).stdout
    assert (int(shown), (counted / "private").stat().st_size) == (0, 7)


def test_size_follows_a_write_at_once(scheme_mount: SchemeMount) -> None:
    level = scheme_mount.path / "netcfg/log/level"
    for text in ("info\n", "icmp trace\n", "info\n"):
        level.stat()
        level.write_text(text)
        assert level.stat().st_size == len(level.read_bytes())

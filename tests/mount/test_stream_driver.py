"""The stream driver: two daemons joined by a UNIX socket, without a privilege and without a TAP."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from tests.support.families import V4, V6, Family

pytestmark = pytest.mark.needs("fuse")

OURS = ("--address", f"{V4.ours}/24", "--address", f"{V6.ours}/64")
THEIRS = ("--address", f"{V4.peer}/24", "--gateway", V4.ours, "--address", f"{V6.peer}/64")


@pytest.fixture(scope="module", params=["1500", "65520"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    path = str(tmp_path_factory.mktemp("stream") / "socket")
    arguments = ("--driver", "stream", "--socket", path, "--mtu", request.param)
    with SchemeMount(*arguments, *OURS, "--listen") as here, SchemeMount(*arguments, *THEIRS) as there:
        yield here.path, there.path
    assert not os.path.exists(path)


def test_a_ping(pair: tuple[Path, Path], family: Family) -> None:
    answer = (pair[0] / f"icmp/ping/{family.peer},count=1").read_text()
    assert "1 packets received" in answer


def test_four_mebioctets_arrive_unchanged(pair: tuple[Path, Path], family: Family) -> None:
    here, there = pair
    octets = os.urandom(4 << 20)
    with (there / "tcp/:9000").open() as listener:
        path = here / "tcp" / family.peer.at(9000)
        writing = subprocess.Popen(["sh", "-c", 'cat >"$0"', path], stdin=subprocess.PIPE)
        data = there / "tcp" / listener.readline().split()[0] / "data"
        reading = subprocess.Popen(["sha256sum", data], stdout=subprocess.PIPE, text=True)
        writing.communicate(octets, timeout=30)
        got, _ = reading.communicate(timeout=30)
    assert got.split()[0] == hashlib.sha256(octets).hexdigest()
    assert "eth0" not in (there / "netcfg/stats/drops").read_text()


def reaches(mount: SchemeMount, family: Family) -> bool:
    """Whether one of some probes to the other end is answered."""
    with (mount.path / f"icmp/ping/{family.peer},count=10").open() as replies:
        return any(" time=" in line for line in replies)


def test_another_end_takes_over(tmp_path: Path, family: Family) -> None:
    """The listener waits for the next, and one that connects tries again: the mount stays."""
    path = str(tmp_path / "socket")
    arguments = ("--driver", "stream", "--socket", path)
    with SchemeMount(*arguments, *THEIRS, "--listen") as there:
        with SchemeMount(*arguments, *OURS) as here:
            assert reaches(here, family)
        with SchemeMount(*arguments, *OURS) as here:
            assert reaches(here, family)
            there.close()
            with (
                (here.path / "logging/net/stream/eth0.log,follow").open() as log,
                SchemeMount(*arguments, *THEIRS, "--listen"),
            ):
                assert any("has another end" in line for line in log)
                assert reaches(here, family)


def test_an_interface_without_another_end_is_down_and_says_why(tmp_path: Path, family: Family) -> None:
    path = str(tmp_path / "socket")
    arguments = ("--driver", "stream", "--socket", path)
    with SchemeMount(*arguments, *OURS, "--listen") as here:
        state = here.path / "netcfg/ifaces/eth0/state"
        assert state.read_text() == f"down: no program has connected to {path} yet\n"
        with SchemeMount(*arguments, *THEIRS) as there:
            assert reaches(here, family)
            assert state.read_text() == (there.path / "netcfg/ifaces/eth0/state").read_text() == "up\n"
            with (here.path / "logging/net/stream/eth0.log,follow").open() as log:
                there.close()
                assert any("has lost its other end: it has closed the connection" in line for line in log)
        assert state.read_text() == "down: it has closed the connection\n"
        assert not (here.path / "netcfg/ifaces/eth0/neighbors/list").read_text()
        with pytest.raises(OSError, match="No route to host"):
            (here.path / "tcp" / family.peer.at(80)).read_bytes()
        asked = family.pick("ARP requests", "neighbor solicitations")
        sentence = f"{family.peer} does not answer {asked} on eth0, which is down: it has closed the connection"
        assert sentence in (here.path / "err").read_text()
        state.write_text("down")
        assert state.read_text() == "down\n"


def test_a_peer_with_a_bad_length_is_left(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with SchemeMount("--driver", "stream", "--socket", path, "--listen") as mount:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(pack(">I", 1 << 30))
            peer.settimeout(20)
            while peer.recv(1 << 16):  # frames of the mount, then the end
                pass
        assert "a frame of 1073741824 octets is announced" in (mount.path / "logging/net/stream/eth0.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "the driver stream needs a socket: --socket PATH"),
        (("--socket", "{}/none"), "no program listens at {}/none: start the other end first, or give --listen"),
        (("--socket", "{}/file"), "no program listens at {}/file"),
        (("--socket", "{}/file", "--listen"), "the socket {}/file can't be used: Address already in use"),
        (("--socket", "{}/none/there", "--listen"), "the socket {}/none/there can't be used: No such file"),
        (("--socket", "{}/s", "--mtu", "65535", "--listen"), "an MTU of 65535 is not possible on a stream"),
        (("--socket", "/" + "x" * 107), "is not a path for a UNIX socket: 1 to 107 octets"),
        (("--socket", "{}/s", "--tap", "x"), "--tap is an option of the driver tap, which stream does not have"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no socket")
    given = [argument.format(tmp_path) for argument in arguments]
    with pytest.raises(MountFailed) as failed:
        SchemeMount("--driver", "stream", *given)
    assert sentence.format(tmp_path) in str(failed.value)
    assert (tmp_path / "file").read_text() == "no socket"


def test_a_socket_that_a_killed_listener_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with SchemeMount("--driver", "stream", "--socket", str(path), "--listen"):
        with pytest.raises(MountFailed, match="Address already in use"):
            SchemeMount("--driver", "stream", "--socket", str(path), "--listen")
        assert path.is_socket()
    assert not path.exists()


def test_the_socket_of_a_newer_mount_is_left(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    arguments = ("--driver", "stream", "--socket", str(path), "--listen")
    with SchemeMount(*arguments) as older:
        path.unlink()
        with SchemeMount(*arguments):
            older.close()
            assert path.is_socket()
        assert not path.exists()


def test_a_relative_path_is_of_the_callers_directory(tmp_path: Path) -> None:
    point = tmp_path / "mount"
    point.mkdir()
    command = [sys.executable, "-m", "schemefs"]
    arguments = ["mount", str(point), "--driver", "stream", "--socket", "here", "--listen"]
    subprocess.run([*command, *arguments], check=True, cwd=tmp_path, timeout=30)
    assert (tmp_path / "here").is_socket()
    subprocess.run([*command, "umount", str(point)], check=True, timeout=30)

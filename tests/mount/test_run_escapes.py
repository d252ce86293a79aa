"""`schemefs run`: every known way to a socket of the host fails with an errno, or ends the program; none falls through.

The programs run as an ordinary user in a network namespace of their own. Its counters stay 0.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.open_to_all import open_to_all
from tests.support.ordinary_user import USER
from tests.support.run_as_user import Done, run_as_user

pytestmark = pytest.mark.needs("root", "userns", "fuse", "gcc")

SOURCE = Path(__file__).with_name("escapes.c")
ON_THE_MOUNT = "it is on the mount"
REFUSED = {
    "raw6": "ESOCKTNOSUPPORT",
    "raw": "ESOCKTNOSUPPORT", "packet": "EAFNOSUPPORT", "socketpair": "EAFNOSUPPORT", "io_uring_setup": "ENOSYS",
    "clone3": "ENOSYS", "new user namespace": "EPERM", "new network namespace": "EPERM",
    "clone into a user namespace": "EPERM", "setns": "EPERM", "pidfd_getfd": "EPERM", "ptrace of the parent": "EPERM",
    "seizing the parent": "EPERM", "process_vm_writev": "EPERM", "TUNSETIFF": "EPERM",
}  # fmt: skip
REACHES = ("static", "child by clone", "child by vfork", "after execve")  # the listener on the mount
SIGSYS = 31


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-o", f"{name}/escapes", SOURCE], check=True)
        os.chown(name, USER, USER)
        yield Path(name)


@pytest.fixture(scope="module")
def port(module_scheme_mount: SchemeMount) -> Iterator[str]:
    """A port of the mount, and of no other network, that answers each connection with a line."""
    tcp = module_scheme_mount.path / "tcp"
    with open(tcp / ":0", "r+b", buffering=0) as listener:

        def serve() -> None:
            while line := listener.read(256):
                (tcp / line.split()[0].decode() / "tx").write_text(ON_THE_MOUNT)

        server = threading.Thread(target=serve)
        server.start()
        with open_to_all(tcp.parent.parent):
            yield os.getxattr(listener.fileno(), "user.local").decode().rpartition(":")[2]
        name = os.getxattr(listener.fileno(), "user.conversation").decode()
        (tcp.parent / name / "ctl").write_text("close")
        server.join()


def run(mount: SchemeMount, family: Family, folder: Path, port: str, *words: str) -> Done:
    program = ["env", f"PORT={port}", f"FAMILY={family}", *words]
    return run_as_user(folder, ["--mount", str(mount.path)], program)


@pytest.mark.parametrize("mode", ["all", "filter"])
def test_a_static_program_and_its_children_reach_the_mount_alone(
    module_scheme_mount: SchemeMount, folder: Path, port: str, mode: str, family: Family
) -> None:
    done = run(module_scheme_mount, family, folder, port, "./escapes", mode)
    said = dict(line.split(": ") for line in done.output.splitlines())
    assert said.pop("seccomp", "done") == "done"
    assert said.pop("ptrace of a child") == "done"  # strace and gdb work
    assert said == REFUSED | dict.fromkeys(REACHES, ON_THE_MOUNT)
    assert (done.status, done.counters) == (0, {})


def test_a_refusal_names_the_call(module_scheme_mount: SchemeMount, folder: Path, port: str, family: Family) -> None:
    done = run(module_scheme_mount, family, folder, port, "./escapes")
    lines = done.errors.splitlines()
    assert all(re.match(r"schemefs run: escapes \(\d+\): (socket|ptrace|process_vm_writev): ", line) for line in lines)
    assert any("socket: the mount has no sockets of AF_PACKET (EAFNOSUPPORT)" in line for line in lines)
    assert any("socket: the mount has no sockets of type 3 (ESOCKTNOSUPPORT)" in line for line in lines)
    assert any("is not one of the program's own (EPERM)" in line for line in lines)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other architectures have one system call table")
def test_calls_of_another_architecture_kill_the_program(
    module_scheme_mount: SchemeMount, folder: Path, port: str, family: Family
) -> None:
    script = "for way in int80 x32; do ./escapes $way; echo $way $?; done"
    done = run(module_scheme_mount, family, folder, port, "sh", "-c", script)
    assert done.output == f"int80 {128 + SIGSYS}\nx32 {128 + SIGSYS}\n"
    assert done.counters == {}


def test_without_the_filter_they_do_get_through(folder: Path, family: Family) -> None:
    """The tries are real: outside `run`, in a namespace with lo, they get sockets of the host."""
    words = [
        "unshare",
        "--net",
        "sh",
        "-c",
        'ip link set lo up; PORT=9 FAMILY=$1 "$0"',
        f"{folder}/escapes",
        str(family),
    ]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    assert {"static: ECONNREFUSED", "raw: done", "packet: done"} <= set(said.splitlines())

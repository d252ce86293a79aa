"""The files of tls options, on a mount: the caller's rights apply, and no file blocks the daemon."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse")
NOBODY = 65534


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        made = Authority(Path(name))
        made.certificate("here", "localhost")
        yield made


def quoted(path: Path) -> str:
    return str(path).replace("/", "%2F")


def refused(path: Path) -> int:
    with pytest.raises(OSError) as caught:
        os.open(path, os.O_RDWR)
    return caught.value.errno or 0


@pytest.mark.parametrize("name", ["netcfg/resolv/hosts", "tcp/[LO]:5000", "README"])
def test_a_file_of_the_mount_itself_is_refused(module_scheme_mount: SchemeMount, name: str, family: Family) -> None:
    scheme = module_scheme_mount.path
    listener = os.open(scheme / "tcp/:5000", os.O_RDWR)
    try:
        assert refused(scheme / f"tls/:8443,cert={quoted(scheme / family.fill(name))}") == errno.EINVAL
        assert "it is a file of a schemefs" in (scheme / "tls/err").read_text()
        assert family.lo.at(5000) not in (scheme / "tcp/stats").read_text()
    finally:
        os.close(listener)


def test_a_fifo_is_refused(module_scheme_mount: SchemeMount, tmp_path: Path, family: Family) -> None:
    os.mkfifo(tmp_path / "fifo")
    scheme = module_scheme_mount.path
    assert refused(scheme / f"tls/{family.lo.at(8443)},ca={quoted(tmp_path / 'fifo')}") == errno.EINVAL
    assert "it is not a regular file" in (scheme / "tls/err").read_text()


def test_a_missing_file_is_an_error_of_open_and_of_ctl(module_scheme_mount: SchemeMount, tmp_path: Path) -> None:
    scheme = module_scheme_mount.path
    assert refused(scheme / f"tls/:8443,cert={quoted(tmp_path / 'none')}") == errno.ENOENT
    with open(scheme / "tls/clone", "r+b", buffering=0) as ctl:
        with pytest.raises(FileNotFoundError):
            ctl.write(f"announce :8443,cert={tmp_path}/none\n".encode())
        assert f"{tmp_path}/none can't be read" in (scheme / "tls/err").read_text()


def talk(scheme: Path, authority: Authority, server: str, user: int | None = None) -> str:
    """Run *server* and a client in bash, both as *user*; the server prints the client's line. Return the output."""
    client = f"exec 5<>tls/localhost:8443,ca={quoted(authority.ca)} || exit 1\necho 'said through TLS' >&5; exec 5>&-\n"
    done = subprocess.run(
        ["bash", "-c", server.replace("CLIENT", client)],
        cwd=scheme,
        capture_output=True,
        text=True,
        timeout=20,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    return done.stdout + done.stderr


SERVERS = {
    "path": "exec 4<>tls/:8443,cert=$CERT || exit 1\nCLIENT read -r n _ <&4; cat tls/$n/rx",
    "ctl": (
        'exec 4<>tls/clone; read -r l <&4; echo "announce :8443,cert=$CERT" >&4 || exit 1\n'
        "CLIENT exec 6<>tls/$l/listen; read -r n <&6; cat tls/$n/rx"
    ),
}


@pytest.mark.parametrize("how", SERVERS)
@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=pytest.mark.needs("root"))])
def test_a_caller_that_can_read_the_files_serves_and_connects(
    module_scheme_mount: SchemeMount, authority: Authority, how: str, user: int | None
) -> None:
    pem = authority.folder / "here.pem"
    pem.chmod(0o600)
    if user is not None:
        os.chown(pem, user, user)
    program = SERVERS[how].replace("$CERT", quoted(pem) if how == "path" else str(pem))
    assert talk(module_scheme_mount.path, authority, program, user) == "said through TLS\n"


@pytest.mark.needs("root")
def test_a_caller_that_can_not_read_a_key_is_refused(module_scheme_mount: SchemeMount, authority: Authority) -> None:
    pem = authority.folder / "here.pem"
    pem.chmod(0o600)
    os.chown(pem, 0, 0)
    program = SERVERS["path"].replace("$CERT", quoted(pem))
    assert "Permission denied" in talk(module_scheme_mount.path, authority, program, NOBODY)


def test_an_open_that_waits_for_a_file_is_interrupted(module_scheme_mount: SchemeMount, tmp_path: Path) -> None:
    """A lookup in a mount with a stopped daemon hangs."""
    dead = SchemeMount("--driver", "loopback")
    try:
        os.kill(dead.pid, signal.SIGSTOP)
        scheme = module_scheme_mount.path
        opening = subprocess.Popen(["cat", scheme / f"tls/:8443,cert={quoted(dead.path / 'netcfg/config')}"])
        while not [line for line in (scheme / "stats").read_text().splitlines() if line == "parked=1"]:
            assert opening.poll() is None
        opening.send_signal(signal.SIGINT)
        assert opening.wait(2) == -signal.SIGINT
    finally:
        os.kill(dead.pid, signal.SIGCONT)
        dead.close()

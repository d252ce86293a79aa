"""The fixtures of schemefs.testing as a user's pytest has them: a run of its own, that fails or is killed half-way."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.fs import mountinfo
from schemefs.testing import leftovers
from schemefs.testing.mount import MountFailed, SchemeMount

pytestmark = pytest.mark.needs("fuse")


def pytest_run(folder: Path, source: str) -> list[str]:
    """Write a user's test and return the command that runs it, with what a plain installation has."""
    (folder / "test_users.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_users.py"]


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    command = pytest_run(folder, source)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=folder)


def test_a_mount_for_each_test_and_one_for_a_module(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
seen = []
def test_one(scheme_mount, module_scheme_mount, mount_scheme):
    third = mount_scheme("--driver", "loopback", "--private")
    seen.extend([scheme_mount, module_scheme_mount])
    assert len({scheme_mount.pid, module_scheme_mount.pid, third.pid}) == 3
    for mount in (scheme_mount, module_scheme_mount, third):
        assert "scheme" in (mount.path / "README").read_text()
        assert mount.ready_line.startswith(f"mounted {mount.path} (")
def test_two(scheme_mount, module_scheme_mount):
    assert seen[0].pid != scheme_mount.pid and not seen[0].path.exists()
    assert seen[1] is module_scheme_mount
""",
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_failure_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_it(scheme_mount):\n    print('mount:', scheme_mount.path)\n    assert False\n")
    assert done.returncode == 1
    path = re.search(r"^mount: (.*)$", done.stdout, re.MULTILINE)
    assert path is not None
    assert f"log of the schemefs on {path[1]}" in done.stdout
    assert re.search(r"^\+\d+\.\d+ [A-Z]+ ", done.stdout, re.MULTILINE)
    assert not os.path.lexists(path[1])
    assert mountinfo.mounted_at(path[1]) is None


def test_a_daemon_that_died_is_an_error_of_the_test(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\ndef test_it(scheme_mount):\n    os.kill(scheme_mount.pid, 9)\n")
    assert done.returncode == 1
    assert "the daemon ended with signal SIGKILL" in done.stdout


@pytest.fixture
def own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for runtime directories that no parallel run cleans up before we look."""
    path = Path(tempfile.mkdtemp(prefix="schemefs-own-"))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    leftovers.remove_leftovers()
    shutil.rmtree(path)


@pytest.mark.parametrize("daemon_first", [False, True])
@pytest.mark.usefixtures("own_runtime")
def test_a_killed_run_is_cleaned_up(tmp_path: Path, daemon_first: bool) -> None:
    command = pytest_run(
        tmp_path,
        "import os, signal\n"
        "def test_it(scheme_mount):\n"
        "    os.write(int(os.environ['TELL']), f'{scheme_mount.pid} {scheme_mount.path}\\n'.encode())\n"
        "    signal.pause()\n",
    )
    read, write = os.pipe()
    with subprocess.Popen(
        command, cwd=tmp_path, pass_fds=(write,), env=os.environ | {"TELL": str(write)}, stdout=subprocess.DEVNULL
    ) as victim:
        os.close(write)
        with open(read) as told:
            pid, path = told.readline().split()
        daemon = os.pidfd_open(int(pid))
        if daemon_first:
            os.kill(int(pid), signal.SIGKILL)
        victim.kill()
    # A daemon that was left alone ends with its pytest, and unmounts; a killed one leaves a dead mount.
    assert select.select([daemon], [], [], 15)[0]
    os.close(daemon)
    assert (mountinfo.mounted_at(path) is not None) is daemon_first
    assert Path(path).parent.is_dir()
    assert any(str(Path(path).parent) in line for line in leftovers.remove_leftovers())
    assert mountinfo.mounted_at(path) is None
    assert not Path(path).parent.exists()


def test_what_a_living_run_has_is_left_alone(scheme_mount: SchemeMount) -> None:
    subprocess.run(
        [sys.executable, "-c", "from schemefs.testing.leftovers import remove_leftovers as r; print(r())"], check=True
    )
    assert (scheme_mount.path / "README").exists()


@pytest.mark.usefixtures("own_runtime")
def test_a_mount_that_fails_says_why_and_leaves_nothing() -> None:
    with pytest.raises(MountFailed, match="there is no driver 'none'"):
        SchemeMount("--driver", "none")
    assert list(leftovers.runtime_directory().iterdir()) == []


def test_skips_are_counted_and_can_be_errors(tmp_path: Path) -> None:
    conftest = Path(__file__).parent.parent / "conftest.py"
    (tmp_path / "conftest.py").write_text(
        conftest.read_text().replace('"tap": "/dev/net/tun"', '"tap": "/dev/net/nothing"')
    )
    source = (
        "import pytest\n"
        "@pytest.mark.needs('no-such-program')\ndef test_other(): pass\n"
        "@pytest.mark.needs('tap')\n@pytest.mark.parametrize('n', range(3))\ndef test_it(n): pass\n"
    )
    command = pytest_run(tmp_path, source)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs\n    full\n")
    root = str(Path(__file__).parents[2])  # the file imports what is beside it here
    for require, status, text in (
        ("", 0, "skipped 3: no /dev/net/nothing\nskipped 1: no no-such-program\n4 skipped"),
        ("fuse,tap", 1, "1 skipped, 3 errors"),
        ("programs", 1, "3 skipped, 1 error"),
        ("fuse,tap,programs", 1, "4 errors"),
    ):
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path,
            env=os.environ | {"REQUIRE": require, "PYTHONPATH": root},
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        assert text in done.stdout
    assert "REQUIRE=tap, but no /dev/net/nothing" in done.stdout


@pytest.mark.needs("tap", "root")
def test_a_killed_runs_network_goes_with_it(tmp_path: Path) -> None:
    command = pytest_run(
        tmp_path,
        "import os, signal\n"
        "def test_it(tap_network):\n"
        "    server = tap_network.start_peer(['sleep', '1000'])\n"
        "    holder = tap_network.namespace.prefix[1].split('/')[2]\n"
        "    os.write(int(os.environ['TELL']), f'{tap_network.mount.pid} {server.pid} {holder}\\n'.encode())\n"
        "    signal.pause()\n",
    )
    read, write = os.pipe()
    with subprocess.Popen(
        command, cwd=tmp_path, pass_fds=(write,), env=os.environ | {"TELL": str(write)}, stdout=subprocess.DEVNULL
    ) as victim:
        os.close(write)
        with open(read) as told:
            processes = [os.pidfd_open(int(pid)) for pid in told.readline().split()]
        victim.kill()
    for pidfd in processes:
        assert select.select([pidfd], [], [], 15)[0]
        os.close(pidfd)
    leftovers.remove_leftovers()

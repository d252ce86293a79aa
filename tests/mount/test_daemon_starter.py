"""Daemons by fork: each is as one that an interpreter of its own runs, and ends with the process that wanted it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

OWN_INTERPRETER = {"PYTHONHASHSEED": "1"}

HOLDER = """
import signal
from schemefs.testing.mount import SchemeMount
mount = SchemeMount()
print(mount.pid, flush=True)
signal.pause()
"""


def seen_from_outside(mount: SchemeMount) -> dict[str, object]:
    """Return what a start by fork could do differently."""
    proc = Path(f"/proc/{mount.pid}")
    links = (os.readlink(path) for path in (proc / "fd").iterdir())
    status = (proc / "status").read_text()
    return {
        "descriptors": sorted(re.sub(r"\d+|/tmp/.*/", "", link) for link in links),
        "signals": re.findall(r"^Sig(?:Blk|Ign|Cgt):.*", status, re.MULTILINE),
        "session": os.getsid(mount.pid) - mount.pid,
        "directory": os.readlink(proc / "cwd"),
        "ready": mount.ready_line.replace(str(mount.path), "PATH"),
    }


def test_it_is_as_a_daemon_with_an_interpreter_of_its_own(_no_leftovers: None) -> None:
    with SchemeMount() as forked, SchemeMount(environment=OWN_INTERPRETER) as started:
        assert "daemon_starter" in Path(f"/proc/{forked.pid}/cmdline").read_text()
        assert "daemon_starter" not in Path(f"/proc/{started.pid}/cmdline").read_text()
        assert seen_from_outside(forked) == seen_from_outside(started)


def test_its_status_and_its_last_words(_no_leftovers: None) -> None:
    mount = SchemeMount()
    os.kill(mount.pid, signal.SIGKILL)
    with pytest.raises(MountFailed, match="the daemon ended with signal SIGKILL"):
        mount.close()
    with pytest.raises(MountFailed, match="there is no driver 'none'"):
        SchemeMount("--driver", "none")


def test_it_ends_with_the_process_that_mounted(_no_leftovers: None) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        daemon = Path(f"/proc/{holder.stdout.readline().strip()}")
        starter = Path(f"/proc/{(daemon / 'stat').read_text().rpartition(')')[2].split()[1]}")
        assert "daemon_starter" in (starter / "cmdline").read_text()
        holder.kill()
    wait_until(lambda: not daemon.exists() and not starter.exists(), "a process is left")

"""`schemefs wait` and `schemefs which` in scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def bash(mount: SchemeMount, script: str) -> str:
    schemefs = f'schemefs() {{ {sys.executable} -m schemefs "$@"; }}\nset -eu\n'
    done = subprocess.run(
        ["bash", "-c", schemefs + script], cwd=mount.path, check=False, capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_timed_read(module_scheme_mount: SchemeMount, family: Family) -> None:
    """What `read -t` can't do on these files."""
    assert bash(module_scheme_mount, family.fill("""
        exec 4<>tcp/:5001 3<>tcp/[LO]:5001
        read -r n _ <&4
        status=0; schemefs wait --in -t 0.1 3 || status=$?; echo $status
        schemefs wait --out -t 5 3 && echo writable
        echo hello >tcp/$n/tx
        schemefs wait --in -t 5 3 && read -r line <&3 && echo "$line"
        schemefs wait -t 0 3 && echo end of file
    """)) == "124\nwritable\nhello\nend of file\n"  # fmt: skip


def test_wait_for_a_client(module_scheme_mount: SchemeMount, family: Family) -> None:
    assert bash(module_scheme_mount, family.fill("""
        exec 4<>tcp/:5002
        schemefs wait --in -t 0.1 4 || echo nobody
        exec 3<>tcp/[LO]:5002
        schemefs wait --in 4; echo somebody
    """)) == "nobody\nsomebody\n"  # fmt: skip


def test_which(module_scheme_mount: SchemeMount, family: Family) -> None:
    assert bash(module_scheme_mount, family.fill("""
        exec 4<>tcp/:5003 3<>tcp/[LO]:5003
        cat "$(schemefs which 3)/remote"
        head -n 1 "$(schemefs which 4)/status"
        schemefs which 7 2>&1 || exec 5<README
        schemefs which 5 2>&1 || :
    """)) == (
        f"{family.lo.at(5003)}\nstate=LISTEN\nschemefs: descriptor 7 is not open\n"
        "schemefs: descriptor 5 is not a conversation of a schemefs\n"
    )  # fmt: skip


def test_one_event_queue_for_a_script(module_scheme_mount: SchemeMount, family: Family) -> None:
    assert bash(module_scheme_mount, family.fill("""
        exec 4<>tcp/:5004 5<>event/queue
        listener=$(schemefs which 4)
        echo "$listener read" >&5
        echo hello >tcp/[LO]:5004
        read -r name what <&5
        [ "$name" = "$listener" ]; echo "$what"
        read -r n _ <&4
        echo "tcp/$n read" >&5
        read -r name what <&5
        [ "$name" = "tcp/$n" ]; read -r line <"$name/rx"; echo "$line"
    """)) == "read\nhello\n"  # fmt: skip


@pytest.mark.parametrize("number", [9, 99_999_999_999], ids=["closed", "no-int-of-c"])
def test_wait_on_what_is_not_open(module_scheme_mount: SchemeMount, number: int) -> None:
    told = f"schemefs: descriptor {number} is not open\n"
    assert bash(module_scheme_mount, f"schemefs wait --in {number} 2>&1 || :") == told


def test_which_of_a_number_that_no_descriptor_has(module_scheme_mount: SchemeMount) -> None:
    told = "schemefs: descriptor 99999999999 is not a conversation of a schemefs\n"
    assert bash(module_scheme_mount, "schemefs which 99999999999 2>&1 || :") == told

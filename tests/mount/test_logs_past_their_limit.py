"""A log from which lines were cut, under the programs that read logs: each sees the same octets as cat."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

LIMIT = 1 << 20


def fill(mount: SchemeMount, family: Family) -> None:
    """Write more lines than the log keeps, then no more."""
    (mount.path / "netcfg/log/level").write_text("trace\n")
    for _ in range(100):
        subprocess.run(
            ["cat", mount.path / f"icmp/ping/{family.lo},count=60,interval=0.001"], check=True, capture_output=True
        )
        if (mount.path / "logging/net/schemefs.log").read_bytes()[:3] != b"+0.":
            break
    (mount.path / "netcfg/log/level").write_text("warning\n")


@pytest.fixture(scope="module")
def log(module_scheme_mount: SchemeMount, module_family: Family) -> Iterator[Path]:
    path = module_scheme_mount.path / "logging/net/schemefs.log"
    oldest = path.read_text().splitlines()[0]
    while path.read_text().splitlines()[0] == oldest:
        fill(module_scheme_mount, module_family)
    yield path


COMMANDS = {
    "cp": 'cp "$L" "$T"',
    "tar": 'tar -C "$D" -cf "$T.tar" schemefs.log && tar -xOf "$T.tar" >"$T"',
    "rsync": 'rsync "$L" "$T"',
    "tac": 'tac "$L" | tac >"$T"',
    "tail": 'tail -c +1 "$L" >"$T"',
    "head": 'head -c "$(wc -c <"$L")" "$L" >"$T"',
    "dd": 'dd if="$L" of="$T" bs=4096 status=none',
    "gzip": 'gzip -c "$L" | gzip -dc >"$T"',
    "cmp": 'cat "$L" >"$T" && cmp "$L" "$T"',
    "busybox": 'busybox tail -n 100000000 "$L" >"$T"',
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(name)) for name in COMMANDS])
def test_program_reads_what_cat_reads(log: Path, tmp_path: Path, name: str) -> None:
    names = {"L": str(log), "D": str(log.parent), "T": str(tmp_path / "copy")}
    done = subprocess.run(
        ["sh", "-c", COMMANDS[name]], env=os.environ | names, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "copy").read_bytes() == log.read_bytes()


def test_size_is_what_cat_reads(log: Path, tmp_path: Path) -> None:
    text = log.read_bytes()
    assert LIMIT * 3 // 4 < len(text) <= LIMIT
    assert log.stat().st_size == len(text)
    counted = subprocess.run(["sh", "-c", 'wc -c <"$1"', "sh", log], capture_output=True, check=True).stdout
    assert int(counted) == len(text)
    shutil.copyfile(log, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == text
    with log.open("rb") as file:
        file.seek(-200, os.SEEK_END)
        assert file.read() == text[-200:]


def test_tail_f_goes_on_through_a_cut(
    log: Path, module_scheme_mount: SchemeMount, tmp_path: Path, module_family: Family
) -> None:
    begin = log.stat().st_ino
    with (tmp_path / "seen").open("wb") as seen:
        tail = subprocess.Popen(["tail", "-n", "1", "-s", "0.02", "-f", log], stdout=seen, stderr=subprocess.PIPE)
        wait_until(lambda: bool((tmp_path / "seen").read_bytes()))
        first = (tmp_path / "seen").read_bytes().splitlines()[0]
        while log.stat().st_ino == begin:
            fill(module_scheme_mount, module_family)
        wait_until(lambda: (tmp_path / "seen").read_bytes().endswith(log.read_bytes()[-200:]))
        tail.terminate()
        assert tail.communicate()[1] == b""
    lines = (tmp_path / "seen").read_bytes().splitlines()
    assert lines[0] == first
    assert len(set(lines)) > len(lines) * 0.9  # nothing is shown twice: lines of one moment can be equal

"""docs/programs.md: its table is that of programs.py, and each row is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import ROWS, Row

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"
OPTIONAL = {"go", "java", "ksh", "lua", "node", "ruby", "yash"}  # not installed by ./dev
SERVERS = {
    7: ["cat"],
    22: ["sh", "-c", r"printf 'SSH-1.5-Old\r\n'; cat >/dev/null"],
    80: ["sh", "-c", r'read -r l; printf "HTTP/1.0 200 OK\r\n\r\nit works\n"'],
    81: [
        "sh",
        "-c",
        "for i in 0 1 2 3 4 5 6 7; do dd if=$T/tar bs=40000 count=1 skip=$i status=none; sleep 0.02; done",
    ],
    873: ["sh", "-c", "exec rsync --server --daemon --config=$T/rsyncd.conf ."],
    9418: ["sh", "-c", "exec git daemon --inetd --export-all --base-path=$T $T/repository"],
}
PREPARE = """
head -c 300000 /dev/urandom >octets; mkdir packed; cp octets packed; tar cf tar packed
git init -q repository
git -C repository -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m first
printf '[files]\npath=%s\nuse chroot=no\n' "$PWD/packed" >rsyncd.conf
"""


class Programs:
    """Runs the scripts of rows on a mount with servers."""

    def __init__(self, scheme: Path, files: Path) -> None:
        self.scheme = scheme
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SCHEME": str(scheme),
            "T": str(files),
            "TESTS": str(Path(__file__).parent),
            "LC_ALL": "C.UTF-8",
        }
        subprocess.run(["bash", "-c", PREPARE], cwd=files, check=True, timeout=20)
        self.servers = []
        for port, command in SERVERS.items():
            server = subprocess.Popen(
                ["schemefs", "serve", f":{port}", "--", *command],
                env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            assert server.stdout is not None
            assert server.stdout.readline().startswith("listening")
            self.servers.append(server)

    def close(self) -> None:
        for server in self.servers:
            server.terminate()
            server.communicate(timeout=10)

    def run(self, row: Row, script: str, timeout: float = 60) -> tuple[str, str]:
        """Run *script* and return what it printed. TimeoutExpired: it hangs."""
        name = row.program
        if shutil.which(name) is None and name in OPTIONAL:
            pytest.skip(f"this machine: no {name}")
        started = subprocess.Popen(
            [*row.shell.split(), "-c", script], cwd=self.scheme, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            return started.communicate(timeout=timeout)
        finally:
            try:
                os.killpg(started.pid, 9)
            except ProcessLookupError:
                pass
            started.communicate()


@pytest.fixture(scope="module")
def programs(module_scheme_mount: SchemeMount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    made = Programs(module_scheme_mount.path, tmp_path_factory.mktemp("programs"))
    yield made
    made.close()


def parameters(rows: list[Row]) -> list[object]:
    return [pytest.param(row, id=f"{row.program}-{number}", marks=_marks(row)) for number, row in enumerate(rows)]


def _marks(row: Row) -> list[pytest.MarkDecorator]:
    also = {"mount": ["mount", "root"], "curl": ["curl", "socat"], "io_uring": ["gcc"]}
    needed = also.get(row.program, [] if row.program in OPTIONAL else [row.program])
    return [pytest.mark.needs("git", "rsync", *needed)]


@pytest.mark.parametrize("row", parameters([row for row in ROWS if row.script]))
def test_it_works(row: Row, programs: Programs, family: Family) -> None:
    assert programs.run(row, family.fill(row.script)) == (family.fill(row.output), "")


@pytest.mark.parametrize("row", parameters([row for row in ROWS if row.fails]))
def test_it_fails_without_its_word(row: Row, programs: Programs, family: Family) -> None:
    script = family.fill(row.fails)
    if row.complaint is None:
        with pytest.raises(subprocess.TimeoutExpired):
            programs.run(row, script, timeout=1)
    else:
        assert re.search(row.complaint, programs.run(row, script)[1])


def test_the_page_has_this_table() -> None:
    table = re.findall(r"^\| program \|.*\n\|.*\n((?:\|.*\n)*)", PAGE.read_text(), re.MULTILINE)
    assert len(table) == 1
    assert table[0] == "".join(f"{row.line}\n" for row in ROWS)

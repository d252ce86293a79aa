"""The programs that write files write texts here: 16 KB by each of them, and a text that is refused.

Each replaces OLD by MARK in a text of 16 KB: editors in the file itself, the others with the text from NEW.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from schemefs.testing.mount import SchemeMount
from tests.mount import nano_keys

pytestmark = pytest.mark.needs("fuse")

OLD = "first-name"
HOSTS = "".join(f"10.1.{n >> 8}.{n & 255} name-{n:03}.example.org # {n}\n" for n in range(400)) + f"fd00::1 {OLD}\n"
BOTH = 'head -c 5000 "$NEW"; tail -c +5001 "$NEW"'
BAD = "10.3.0.1 good\nfd00::2 good\nnonsense\n"
PATIENCE = 10.0


class Writer(NamedTuple):
    """A command for bash, with NEW, NODE, OLD and MARK in its environment; empty: nano."""

    command: str
    needs: str = "bash"
    adds: bool = False  # what is in NEW
    tells: bool = True  # exits with an error when a line is refused


def python(code: str) -> str:
    return f"{sys.executable} -c \"import os, shutil; new, node = os.environ['NEW'], os.environ['NODE']\n{code}\""


WRITERS = {
    "cat >": Writer('cat "$NEW" >"$NODE"'),
    "cat >>": Writer('cat "$NEW" >>"$NODE"', adds=True),
    "cat 1<>": Writer('cat "$NEW" 1<>"$NODE"'),
    "echo": Writer('echo "$(cat "$NEW")" >"$NODE"'),
    "printf, a write of each line": Writer('printf "%s\\n" "$(cat "$NEW")" >"$NODE"'),
    "dash": Writer('dash -c \'printf "%s\\n" "$(cat "$NEW")" >"$NODE"\'', "dash"),
    "zsh": Writer('zsh -c \'printf "%s\\n" "$(cat "$NEW")" >"$NODE"\'', "zsh"),
    "busybox, which does not close": Writer('busybox cat "$NEW" >"$NODE"', "busybox", tells=False),
    "{ a; b; } >": Writer(f"{{ {BOTH}; }} >$NODE", tells=False),
    "{ a; b; } >>": Writer(f"{{ {BOTH}; }} >>$NODE", adds=True, tells=False),
    "tee": Writer('tee "$NODE" <"$NEW" >/dev/null'),
    "tee -a": Writer('tee -a "$NODE" <"$NEW" >/dev/null', adds=True),
    "sed >": Writer('sed "s/$OLD/$MARK/" "$NEW" >"$NODE"'),
    "sed w": Writer('sed -n "w $NODE" "$NEW"'),
    "dd bs=1": Writer('dd bs=1 if="$NEW" of="$NODE" status=none'),
    "dd conv=notrunc": Writer('dd bs=1000 conv=notrunc if="$NEW" of="$NODE" status=none'),
    "dd oflag=append": Writer('dd bs=1000 conv=notrunc oflag=append if="$NEW" of="$NODE" status=none', adds=True),
    "perl": Writer('perl -e \'open F, ">", $ENV{NODE}; while (<>) { print F } close F or exit 1\' "$NEW"', "perl"),
    "perl >>": Writer(
        'perl -e \'open F, ">>", $ENV{NODE}; while (<>) { print F } close F or exit 1\' "$NEW"', "perl", adds=True
    ),
    "awk": Writer('awk \'{ print >ENVIRON["NODE"] }\' "$NEW"', "awk", tells=False),
    "awk >>": Writer('awk \'{ print >>ENVIRON["NODE"] }\' "$NEW"', "awk", adds=True, tells=False),
    "python with": Writer(python("with open(node, 'w') as file: file.write(open(new).read())")),
    "python without close": Writer(python("file = open(node, 'w'); file.write(open(new).read())"), tells=False),
    "python, unbuffered": Writer(
        python("with open(node, 'wb', 0) as file:\n for line in open(new, 'rb'): file.write(line)")
    ),
    "python r+": Writer(
        python(
            "with open(node, 'r+') as file: file.read(); file.seek(0); file.write(open(new).read()); file.truncate()"
        )
    ),
    "python r+, at the end": Writer(
        python("with open(node, 'r+') as file: file.read(); file.write(open(new).read())"), adds=True
    ),
    "python a": Writer(python("with open(node, 'a') as file: file.write(open(new).read())"), adds=True),
    "shutil": Writer(python("shutil.copyfile(new, node)")),
    "cp": Writer('cp "$NEW" "$NODE"'),
    "rsync --inplace": Writer('rsync --inplace "$NEW" "$NODE"', "rsync"),
    "ed": Writer('printf "%s\\n" "g/$OLD/s//$MARK/" w q | ed -s "$NODE"', "ed"),
    "vim": Writer('vim -Nu NONE -i NONE -es -c "%s/$OLD/$MARK/" -c wq "$NODE"', "vim"),
    "nano": Writer("", "nano"),
}


def cases():
    return [pytest.param(writer, id=name, marks=pytest.mark.needs(writer.needs)) for name, writer in WRITERS.items()]


@pytest.fixture(scope="module")
def mounted():
    with SchemeMount() as mount:
        yield mount


class Writing:
    """One writer at work on the files of one mount."""

    def __init__(self, mount: SchemeMount, folder: Path, writer: Writer) -> None:
        self.netcfg = mount.path / "netcfg"
        self.new = folder / "new"
        self.writer = writer
        self.mark = f"mark-{time.monotonic_ns()}"

    def write(self, text: str, node: Path) -> subprocess.CompletedProcess[str]:
        """Write *text* to *node*; editors edit what is there."""
        self.new.write_text(text)
        if not self.writer.command:
            assert nano_keys.replace_all(str(node), OLD, self.mark) == 0
        variables = {"NEW": str(self.new), "NODE": str(node), "OLD": OLD, "MARK": self.mark}
        variables["ERR"] = str(self.netcfg / "err")
        return subprocess.run(
            ["bash", "-c", f'{self.writer.command}\nstatus=$?; cat "$ERR"; exit $status'],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | variables,
        )

    def marked(self, text: str) -> str:
        return text.replace(OLD, self.mark)


def shows(node: Path, text: str) -> bool:
    """Return whether *node* has *text*, at once or when the kernel has closed the file of a process that ended."""
    deadline = time.monotonic() + PATIENCE
    while node.read_text() != text:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("writer", cases())
def test_lines(mounted, tmp_path, writer):
    writing = Writing(mounted, tmp_path, writer)
    hosts = writing.netcfg / "resolv/hosts"
    marked = writing.marked(HOSTS)
    half = marked.find("\n", len(marked) // 2) + 1 if writer.adds else 0
    hosts.write_text(marked[:half] or HOSTS)
    done = writing.write(marked[half:], hosts)
    assert (done.returncode, done.stderr) == (0, "")
    assert shows(hosts, marked)


@pytest.mark.parametrize("writer", [case for case in cases() if not case.values[0].adds])
def test_a_document(mounted, tmp_path, writer):
    writing = Writing(mounted, tmp_path, writer)
    (writing.netcfg / "resolv/hosts").write_text(HOSTS)
    config = writing.netcfg / "config"
    marked = writing.marked(config.read_text())
    assert len(marked) > 16_000
    assert writing.mark in marked
    done = writing.write(marked, config)
    assert (done.returncode, done.stderr) == (0, "")
    assert shows(config, marked)


@pytest.mark.parametrize("writer", [case for case in cases() if "NEW" in case.values[0].command])
def test_a_bad_line_leaves_the_text_as_it_was(mounted, tmp_path, writer):
    writing = Writing(mounted, tmp_path, writer)
    hosts = writing.netcfg / "resolv/hosts"
    hosts.write_text(HOSTS)
    done = writing.write(BAD, hosts)
    assert (done.returncode != 0) or not writer.tells
    assert "'nonsense'" in done.stdout
    assert hosts.read_text() == HOSTS

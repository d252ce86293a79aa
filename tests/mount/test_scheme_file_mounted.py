"""`schemefs mount --scheme FILE.py`: a scheme that is not installed, in a real daemon beside the installed ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.fs import mountinfo
from schemefs.testing.leftovers import Place

pytestmark = pytest.mark.needs("fuse")

SCHEME = """\
from schemefs.scheme import Caller, Event, Handle, Scheme, SchemeContext

class WordHandle(Handle):
    def __init__(self, word: bytes) -> None:
        self.word = word
    def read(self, size: int, now: float) -> bytes:
        taken, self.word = self.word[:size], self.word[size:]
        return taken
    def fevent(self, interest: int) -> int:
        return interest & Event.IN

class WordScheme(Scheme):
    \"\"\"Return the path.\"\"\"
    name = "word"
    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        return WordHandle(path.encode())
"""


@pytest.fixture
def directory(_no_leftovers: None) -> Iterator[Path]:
    """A mount point; beside it there is room for files."""
    place = Place()
    path = place.path / "m"
    path.mkdir()
    place.note_mount(path)
    yield path
    if mountinfo.mounted_at(str(path)) is not None:
        assert schemefs("umount", path).returncode == 0
    place.remove()


def schemefs(*arguments: str | Path, cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemefs", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, cwd=cwd)


def test_it_is_mounted_beside_the_installed_ones(directory: Path) -> None:
    """By a relative path; twice the option, two schemes."""
    folder = directory.parent
    (folder / "word.py").write_text(SCHEME)
    (folder / "other.py").write_text(SCHEME.replace('"word"', '"other"') + "class Unused(WordScheme): ...\n")
    done = schemefs(
        "mount", directory, "--driver", "loopback", "--scheme", "word.py", "--scheme", "other.py:WordScheme", cwd=folder
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / "word/hello").read_text() == "hello"
    assert (directory / "other/hello").read_text() == "hello"
    assert "::1/128" in (directory / "netcfg/ifaces/lo/addr/list").read_text()
    assert "word/      Return the path.\n" in (directory / "README").read_text()
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".py") == ["other.py", "word.py"]
    assert not (folder / "__pycache__").exists()


@pytest.mark.parametrize("mode", [(), ("-f",)])
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "the scheme {path} can't be read: No such file or directory"),
        ("\n1 / 0\n", "the scheme {path} can't be run: line 2: ZeroDivisionError: division by zero"),
        (
            SCHEME + "    def __init__(self, context: SchemeContext) -> None:\n        self.absent\n",
            "the scheme 'word' can't be made: AttributeError: 'WordScheme' object has no attribute 'absent'",
        ),
        (SCHEME.replace('"word"', '"udp"'), "there is already a scheme 'udp': the one in {path} needs another name"),
    ],
)
def test_what_can_not_be_used_refuses_the_mount(
    directory: Path, source: str | None, sentence: str, mode: tuple[str, ...]
) -> None:
    path = directory.parent / "word.py"
    if source is not None:
        path.write_text(source)
    done = schemefs("mount", *mode, directory, "--driver", "loopback", "--scheme", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "schemefs: " + sentence.format(path=path)
    assert mountinfo.mounted_at(str(directory)) is None

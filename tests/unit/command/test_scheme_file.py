"""`--scheme FILE.py` without a mount: which class a file gives, and what is said of a file that gives none."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs import plugins
from schemefs.command.scheme_file import load_with_files
from schemefs.errors import StartError

SCHEME = """\
from schemefs.scheme import Caller, Event, Handle, Scheme

class OwnHandle(Handle):
    def fevent(self, interest: int) -> int:
        return 0

class OwnScheme(Scheme):
    name = "own"
    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        return OwnHandle()
"""


@pytest.fixture(autouse=True)
def _path_as_it_was() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if "scheme_file" in name or name.endswith("_beside_own")]:
        del sys.modules[name]


def written(folder: Path, text: str, name: str = "own.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def refusal(*files: str) -> str:
    with pytest.raises(StartError) as caught:
        load_with_files(files)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_the_scheme_of_a_file_joins_the_installed_ones(tmp_path: Path) -> None:
    installed = plugins.load()
    found = load_with_files([written(tmp_path, SCHEME)])
    assert [scheme.name for scheme in found.schemes] == [*(scheme.name for scheme in installed.schemes), "own"]
    assert (found.drivers, found.missing) == (installed.drivers, installed.missing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py"]  # no __pycache__


def test_without_files_it_is_what_is_installed() -> None:
    assert load_with_files([]) == plugins.load()


def test_one_class_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, SCHEME + "class OtherScheme(OwnScheme):\n    name = 'other'\n")
    assert refusal(path) == f"{path} has several schemes, OwnScheme, OtherScheme: choose one, as {path}:OwnScheme"
    assert load_with_files([f"{path}:OtherScheme"]).schemes[-1].name == "other"
    both = load_with_files([f"{path}:OwnScheme", f"{path}:OtherScheme"])
    assert [scheme.name for scheme in both.schemes[-2:]] == ["own", "other"]
    assert refusal(f"{path}:Absent") == f"{path} has no scheme 'Absent'; it has: OwnScheme, OtherScheme"
    assert refusal(f"{path}:OwnHandle") == f"{path} has no scheme 'OwnHandle'; it has: OwnScheme, OtherScheme"


def test_modules_beside_it_can_be_imported_and_hide_none(tmp_path: Path) -> None:
    written(tmp_path, "WORD = 'beside'\n", "word_beside_own.py")
    written(tmp_path, "raise RuntimeError\n", "json.py")
    text = "import json, dataclasses\nfrom word_beside_own import WORD\n" + SCHEME
    text += "    word = WORD\n@dataclasses.dataclass\nclass Data:\n    size: int = 1\n"
    scheme = load_with_files([written(tmp_path, text)]).schemes[-1]
    assert scheme.word == "beside"  # type: ignore[attr-defined]


def test_its_logger_is_below_ours(tmp_path: Path) -> None:
    text = "import logging\nlog = logging.getLogger(__name__)\n" + SCHEME + "    log = log\n"
    scheme = load_with_files([written(tmp_path, text)]).schemes[-1]
    logger: logging.Logger = scheme.log  # type: ignore[attr-defined]
    assert logger.name == "schemefs.scheme_file.own"


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.py")
    assert refusal(absent) == f"the scheme {absent} can't be read: No such file or directory"
    assert refusal(str(tmp_path)) == f"the scheme {tmp_path} can't be read: Is a directory"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n\nclass X(:\n", "line 3: SyntaxError: invalid syntax"),
        (
            "import os\nimport no_such_module_here\n",
            "line 2: ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("def f():\n    raise ValueError('one\\n  two')\nf()\n", "line 2: ValueError: one two"),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError: Expecting property name"),
        ("import sys\nsys.exit()\n", "line 2: SystemExit"),
        ("import broken_beside_own\n", "line 1: SyntaxError: "),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    written(tmp_path, "def (\n", "broken_beside_own.py")
    path = written(tmp_path, text)
    assert refusal(path).startswith(f"the scheme {path} can't be run: {why}")


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_bytes(b"x = '\xff'\n")
    assert refusal(str(tmp_path / "own.py")).startswith(f"the scheme {tmp_path}/own.py can't be run: ")


@pytest.mark.parametrize("text", ["", "from schemefs.scheme import Scheme\n", "Scheme = 3\n"])
def test_a_file_without_a_scheme(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert refusal(path) == f"{path} has no scheme: a class derived from schemefs.scheme.Scheme is needed"


@pytest.mark.parametrize("name", ["", "..", "a/b", "README", "stats"])
def test_a_name_that_can_be_no_directory(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, SCHEME.replace('name = "own"', f"name = {name!r}"))
    assert refusal(path) == f"OwnScheme in {path} needs a `name` that can be a directory of the mount"


def test_a_scheme_without_name(tmp_path: Path) -> None:
    path = written(tmp_path, SCHEME.replace('name = "own"', "pass"))
    assert refusal(path) == f"OwnScheme in {path} needs a `name` that can be a directory of the mount"


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, SCHEME.replace('"own"', '"tcp"'))
    assert refusal(path) == f"there is already a scheme 'tcp': the one in {path} needs another name"
    path = written(tmp_path, SCHEME)
    assert refusal(path, path) == f"there is already a scheme 'own': the one in {path} needs another name"


def test_a_requirement_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, SCHEME + "    requires = ('ip', 'nothing')\n")
    assert refusal(path) == f"the scheme 'own' in {path} requires the scheme 'nothing', which is not there"
    assert load_with_files([written(tmp_path, SCHEME + "    requires = ('tcp',)\n")]).schemes[-1].name == "own"

"""The documents about labs: their example is what happens, for an ordinary user, and nothing is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.command.lab_command import command
from schemefs.lab import lab_file
from schemefs.lab.topology import Topology
from schemefs.testing.lab import Lab
from tests.support.ordinary_user import as_ordinary_user

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENT = (ROOT / "docs/lab.md").read_text()


def block(text: str, language: str, begin: str = "") -> str:
    """Return the first code block in a language that begins so."""
    found: list[str] = re.findall(rf"^```{language}\n({re.escape(begin)}.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found[0]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r" [kM]B", " B", text))


@pytest.mark.needs("fuse", "tap", "root", "userns", "curl")
def test_the_example_of_the_readme() -> None:
    file, session = block(README, "toml"), block(README, "console", "$ schemefs lab")
    assert len(file.splitlines()) + 1 == 10
    words, _, expected = session.removeprefix("$ ").partition("\n")
    program = f"PATH={Path(sys.executable).parent}:$PATH; exec 2>&1; cat | {words.replace('net.toml', '/dev/stdin')}"
    done = subprocess.run(
        [*as_ordinary_user(), "sh", "-c", program], input=file, capture_output=True, text=True, timeout=60, check=False
    )
    assert without_numbers(done.stdout) == without_numbers(expected), done.stdout
    assert re.match(r"200 after [1-9]", done.stdout)
    assert "\n  drop tcp synack 1: 1 of " in done.stdout


def test_the_document_has_the_same_example() -> None:
    for language, begin in (("toml", ""), ("console", "$ schemefs lab")):
        assert block(README, language, begin) == block(DOCUMENT, language, begin)


@pytest.mark.needs("fuse", "tap", "root", "curl")
def test_the_pytest_example(lab: Lab) -> None:
    names: dict[str, object] = {}
    exec(block(DOCUMENT, "python"), names)
    [example] = [value for name, value in names.items() if name.startswith("test_")]
    assert callable(example)
    example(lab)


def test_each_option_and_key_is_documented() -> None:
    for parameter in command.params:
        if parameter.name != "file":
            assert f"| `{parameter.opts[0]}" in DOCUMENT, parameter.name
    for key in {*lab_file._HOST, *lab_file._ROUTER, *lab_file._LINK, *lab_file._LAB}:
        assert f"`{key}`" in DOCUMENT, key


def test_the_file_in_the_docstring_is_a_lab(tmp_path: Path) -> None:
    assert lab_file.__doc__ is not None
    (tmp_path / "net.toml").write_text(lab_file.__doc__.split("\n\n", 1)[1])
    lab = Topology.from_file(tmp_path / "net.toml")
    assert [link.name for link in lab.links] == ["client-r1", "backbone", "r1-redox"]

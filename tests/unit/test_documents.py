"""What the documents say about the tree is true, and their prose fits a screen."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = ("schemefs", "schemefs/fs", "schemes/tcp", "schemes/ip")  # packages of which the map names every module
WIDTH = 120


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines that are neither code nor a table."""
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "|")):
            yield number, line


def mapped() -> dict[str, set[str]]:
    """Return the packages of ARCHITECTURE.md's map, each with the modules that it names."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    block = text.split("## Map\n")[1].split("\n## ")[0]
    packages: dict[str, set[str]] = {}
    package = ""
    for line in block.splitlines():
        words = re.split(r"  +", line.strip())[0].split()
        if line.startswith("      "):
            packages[package].update(words)
        elif line.startswith("    "):
            for word in words:
                assert word.endswith("/"), line
                package = word.rstrip("/")
                packages[package] = set()
    return packages


def modules(package: str) -> set[str]:
    directory = ROOT / package
    names = {path.stem for path in [*directory.glob("*.py"), *directory.glob("*.c")]}
    return names - {"__init__", "__main__"}


@pytest.mark.source
def test_the_map_names_every_package() -> None:
    tops = ("schemefs", "schemes", "drivers")
    packages = {str(path.parent.relative_to(ROOT)) for top in tops for path in (ROOT / top).rglob("__init__.py")}
    assert set(mapped()) == packages


@pytest.mark.source
@pytest.mark.parametrize("package", LISTED)
def test_the_map_names_every_module(package: str) -> None:
    assert mapped()[package] == modules(package)


def test_the_architecture_is_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_prose_fits_a_screen(path: Path) -> None:
    assert [number for number, line in prose(path) if len(line) > WIDTH] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_files_of_the_tree_that_documents_name_exist() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    named = {
        (path.name, name)
        for path in documents()
        for name in re.findall(r"`((?:schemefs|schemes|drivers|tests|examples|docs)/[\w./]+\.\w+)`", path.read_text())
    }
    assert {(page, name) for page, name in named if name not in tracked} == set()

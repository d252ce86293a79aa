"""The conformance ledger: the requirements of TCP and IPv6, each with its tests. It becomes docs/conformance.md.

    ./dev conformance       generate the page

A requirement has tests, or a reason why it is not met, or both: then it is met in part. A note explains a requirement
that is met. test_conformance_ledger.py fails for a requirement without tests and reason, for a test that does not
exist, and for a stale page.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
PAGE = TESTS.parent / "docs" / "conformance.md"
TABLES = (
    "rfc9293.toml", "modern.toml", "scenarios.toml", "rfc8200.toml", "rfc4443.toml", "rfc4861.toml",
    "rfc4861_routers.toml", "rfc4862.toml", "rfc7217.toml", "rfc8981.toml", "rfc6724.toml", "rfc8305.toml",
    "rfc8504.toml", "rfc3810.toml",
)  # fmt: skip

_INTRODUCTION = """\
# Conformance of tcp and of IPv6

`./dev conformance` generates this page from the tables in `tests/conformance/`: edit the tables, not the page. A test
fails if the page is stale. Each line names the tests that show the requirement; **partly** and **no** have a reason.
All of these tests are part of `./dev test`, the longest ones of `./dev test --full`.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a table. An empty *reason*: the requirement is met."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...] = ()
    reason: str = ""
    note: str = ""

    @property
    def state(self) -> str:
        if self.tests:
            return "partly" if self.reason else "yes"
        return "no"


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    requirements: tuple[Requirement, ...]


def load(name: str) -> Table:
    """Read one table. TypeError: a line has an unknown field."""
    with (HERE / name).open("rb") as file:
        octets = tomllib.load(file)
    lines = [{**line, "tests": tuple(line.get("tests", ()))} for line in octets["requirements"]]
    return Table(octets["title"], tuple(Requirement(**line) for line in lines))


def tables() -> list[Table]:
    return [load(name) for name in TABLES]


@functools.cache
def test_files() -> dict[str, Path]:
    """Return the path of each test file by its name; the names are unique."""
    return {path.name: path for path in sorted(TESTS.rglob("test_*.py"))}


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of the tests in a file. The file is parsed, not imported."""
    names = {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return frozenset(name for name in names if name.startswith("test_"))


def missing_tests(requirement: Requirement) -> list[str]:
    """Return those tests of a requirement that do not exist."""
    missing = []
    for node in requirement.tests:
        file, _, function = node.partition("::")
        path = test_files().get(file)
        if path is None or function not in functions_of(path):
            missing.append(node)
    return missing


def render() -> str:
    """Return the text of docs/conformance.md."""
    parts = [_INTRODUCTION]
    for table in tables():
        states = [requirement.state for requirement in table.requirements]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("yes", "partly", "no"))
        parts.append(f"\n## {table.title}\n\n{counts}\n\n| | section | requirement | state |\n|---|---|---|---|\n")
        parts += [_row(requirement) for requirement in table.requirements]
    return "".join(parts)


def _row(requirement: Requirement) -> str:
    shown = "<br>".join(f"[{node.partition('::')[2]}]({_link(node)})" for node in requirement.tests)
    state = requirement.state if requirement.state == "yes" else f"**{requirement.state}**"
    remark = ": ".join(filter(None, (state, requirement.reason or requirement.note)))
    section = (
        requirement.section
        if re.search(r"[A-Za-z]", requirement.section)
        else f"§{requirement.section.removeprefix('§')}"
    )
    cells = (requirement.id, section, requirement.text, "<br>".join(filter(None, (remark, shown))))
    return "| " + " | ".join(cells) + " |\n"


def _link(node: str) -> str:
    path = test_files().get(node.partition("::")[0])
    return f"../{path.relative_to(TESTS.parent)}" if path else ""


def main() -> None:
    PAGE.write_text(render())
    sys.stdout.write(f"{PAGE} written\n")


if __name__ == "__main__":
    main()

"""Imports form no circle. An import under TYPE_CHECKING counts: a reader follows it like any other.

Three exceptions are known, all of them type-only: the two-file circles of tls and udp, and the parent pointers of
schemes/ip, where a route, a neighbor and a path know their interface and the interface its network.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemefs", "schemes", "drivers")
KNOWN = [{"schemes.tls.engine", "schemes.tls.status"}, {"schemes.udp.socket", "schemes.udp.udp"}]

Graph = dict[str, set[str]]


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text())
    return found


def statements(node: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """Yield every import below *node*; those under `if TYPE_CHECKING` only with *types*."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif types or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from statements(child, types=types)


def targets(statement: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of *known* that an import statement names."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names} & known
    assert isinstance(statement, ast.ImportFrom)
    assert statement.module is not None
    assert not statement.level, "imports are absolute"
    base = statement.module
    return set().union(*({f"{base}.{alias.name}"} & known or {base} & known for alias in statement.names))


def graph(*, types: bool) -> Graph:
    """Return which module imports which."""
    trees = modules()
    return {
        name: set().union(*(targets(statement, set(trees)) for statement in statements(tree, types=types))) - {name}
        for name, tree in trees.items()
    }


def reachable(edges: Graph, start: str) -> set[str]:
    """Return every module that *start* imports, directly or through others."""
    found: set[str] = set()
    open_ends = set(edges[start])
    while open_ends:
        name = open_ends.pop()
        found.add(name)
        open_ends |= edges[name] - found
    return found


def circles(edges: Graph) -> list[set[str]]:
    """Return the strongly connected components of more than one module."""
    below = {name: reachable(edges, name) for name in edges}
    found: list[set[str]] = []
    for name in edges:
        if name in below[name] and not any(name in circle for circle in found):
            found.append({other for other in below[name] if name in below[other]})
    return found


@pytest.mark.source
def test_no_circle_at_run_time() -> None:
    try:
        graphlib.TopologicalSorter(graph(types=False)).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.source
def test_the_circles_of_types_are_the_known_ones() -> None:
    unknown = [circle for circle in circles(graph(types=True)) if circle not in KNOWN]
    assert [sorted(circle) for circle in unknown if not all(name.startswith("schemes.ip.") for name in circle)] == []
    assert len(unknown) <= 1, "schemes/ip has one circle, of its parent pointers"


def test_a_circle_is_seen() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e2"}, "e2": set()}
    assert circles(edges) == [{"a", "b", "c"}]

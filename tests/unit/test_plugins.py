"""Plugins: each scheme after those it requires."""

from __future__ import annotations

from schemefs import plugins
from schemefs.scheme import Scheme


def named(name: str, *requires: str) -> type[Scheme]:
    return type(name, (Scheme,), {"name": name, "requires": requires})


def test_each_scheme_comes_after_those_it_requires() -> None:
    missing: dict[str, str] = {}
    schemes = {kind.name: kind for kind in (named("a", "c"), named("b"), named("c", "b"))}
    assert [kind.name for kind in plugins.in_order(schemes, missing)] == ["b", "c", "a"]
    assert missing == {}


def test_a_circle_of_requirements_is_told() -> None:
    missing: dict[str, str] = {}
    schemes = {kind.name: kind for kind in (named("a", "b"), named("b", "a"), named("c", "a"), named("d"))}
    assert [kind.name for kind in plugins.in_order(schemes, missing)] == ["d"]
    assert missing["a"] == "requires itself: a -> b -> a"
    assert set(missing) == {"a", "b", "c"}

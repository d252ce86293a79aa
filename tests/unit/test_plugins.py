"""Plugins: each scheme after those it requires."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType

import pytest

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


class Installed(Distribution):
    """A distribution with many files, as pip installs it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read_text(self, filename: str) -> str | None:
        names = ["found.py", *(f"part{number}/other.py" for number in range(100))]
        return "".join(f"{name},,\n" for name in names) if filename == "RECORD" else None

    def locate_file(self, path: object) -> Path:
        return self.root / str(path)


def test_a_module_is_looked_for_among_the_files_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving every file of the distribution for every plugin took 1.5 s of a start."""
    (tmp_path / "found.py").touch()
    for name, file in (("found", tmp_path / "found.py"), ("foreign", tmp_path / "elsewhere/found.py")):
        module = ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
    resolved: list[Path] = []
    resolve = Path.resolve

    def resolving(path: Path) -> Path:
        resolved.append(path)
        return resolve(path)

    monkeypatch.setattr(Path, "resolve", resolving)
    distribution = Installed(tmp_path)
    assert plugins._belongs("found", distribution)
    assert not plugins._belongs("foreign", distribution)
    assert {path.name for path in resolved} == {"found.py"}


def test_schemes_are_loaded_by_name() -> None:
    assert [kind.name for kind in plugins.load_schemes(("tcp", "ip"))] == ["ip", "tcp"]
    with pytest.raises(plugins.PluginError, match="'nosuch' can't be used: it is not installed"):
        plugins.load_schemes(("ip", "nosuch"))
    with pytest.raises(plugins.PluginError, match="'tcp' can't be used: requires the scheme 'ip', which is not there"):
        plugins.load_schemes(("tcp",))

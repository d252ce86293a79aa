"""Plugins: the scheme and driver classes of the entry points, of this package and of third parties alike.

The packages of this project are called `schemes` and `drivers`, names that a working directory may have, too. So
a class is accepted only if its file belongs to the distribution that declares the entry point.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, PackagePath, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import unquote, urlparse

from schemefs.driver import Driver
from schemefs.driver_option import AsDefault, Table, Tables, table_faults

if TYPE_CHECKING:
    from schemefs.scheme import Scheme

log = logging.getLogger("schemefs.plugins")

SCHEMES: Final = "schemefs.schemes"
DRIVERS: Final = "schemefs.drivers"

Kind = TypeVar("Kind")


class PluginError(Exception):
    """A plugin can't be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins of one daemon."""

    schemes: tuple[type[Scheme], ...]  # each after those it requires
    drivers: Mapping[str, type[Driver]]
    missing: Mapping[str, str]  # name of a plugin that can't be used: the reason


def load() -> Plugins:
    """Load every installed plugin. One that fails is recorded in `missing` and in the log; the others are used."""
    from schemefs.scheme import Scheme  # noqa: PLC0415 - `option_tables` runs in the command line and needs no scheme

    missing: dict[str, str] = {}
    schemes = dict(_load_group(_points(SCHEMES), Scheme, missing))
    drivers = dict(_load_group(_points(DRIVERS), Driver, missing))
    for name, fault in table_faults({name: driver.options for name, driver in drivers.items()}).items():
        del drivers[name]
        missing[name] = fault
    for name, reason in missing.items():
        log.error("plugin %s: %s", name, reason)
    return Plugins(in_order(schemes, missing), drivers, missing)


def load_schemes(names: Iterable[str]) -> tuple[type[Scheme], ...]:
    """Load the schemes *names* alone, each after those it requires. PluginError: one of them can't be used."""
    from schemefs.scheme import Scheme  # noqa: PLC0415 - as in `load`

    wanted, missing = set(names), dict[str, str]()
    found = _load_group((point for point in _points(SCHEMES) if point.name in wanted), Scheme, missing)
    schemes = in_order(dict(found), missing)
    for name in wanted - {scheme.name for scheme in schemes}:
        message = f"the scheme {name!r} can't be used: {missing.get(name, 'it is not installed')}"
        raise PluginError(message)
    return schemes


def option_tables() -> Tables:
    """Return the options of each usable driver. A module that defines `OPTIONS` is imported without its driver.

    A driver that can't be imported, or whose table can't be used, is left out; `load` records the reason.
    """
    tables: dict[str, Table] = {}
    for point in _points(DRIVERS):
        with suppress(Exception):  # the module of a third party may raise anything
            module = _module_of(point)
            tables[point.name] = module.OPTIONS if hasattr(module, "OPTIONS") else _load_one(point, Driver).options
    for name in table_faults(tables):
        del tables[name]
    return tables


def default_candidates() -> Mapping[str, AsDefault]:
    """Return the drivers that may be the default one, without importing their classes."""
    found: dict[str, AsDefault] = {}
    for point in _points(DRIVERS):
        with suppress(Exception):  # as in option_tables
            part = getattr(_module_of(point), "AS_DEFAULT", None)
            if isinstance(part, AsDefault):
                found[point.name] = part
    return found


def in_order(schemes: Mapping[str, type[Scheme]], missing: dict[str, str]) -> tuple[type[Scheme], ...]:
    """Return the schemes, each after those it requires; one without its requirements is added to *missing*."""
    done: dict[str, type[Scheme]] = {}

    def place(name: str, chain: tuple[str, ...]) -> bool:
        if name in done:
            return True
        if name in missing or name not in schemes:
            return False
        if name in chain:
            missing[name] = f"requires itself: {' -> '.join((*chain, name))}"
            return False
        for required in schemes[name].requires:
            if not place(required, (*chain, name)):
                missing.setdefault(name, f"requires the scheme {required!r}, which is not there")
                return False
        done[name] = schemes[name]
        return True

    for name in schemes:
        place(name, ())
    return tuple(done.values())


def _load_group(
    points: Iterable[EntryPoint], kind: Callable[..., Kind], missing: dict[str, str]
) -> Iterable[tuple[str, type[Kind]]]:
    for point in points:
        try:
            yield point.name, _load_one(point, kind)
        except Exception as error:  # noqa: BLE001 - the module of a third party may raise anything
            distribution = point.dist.name if point.dist else "an unknown distribution"
            missing[point.name] = f"{point.value} of {distribution} can't be used: {error}"


def _points(group: str) -> list[EntryPoint]:
    """Return the entry points of *group*, this distribution's first: its drivers' options have precedence."""
    return sorted(entry_points(group=group), key=lambda point: point.dist is None or point.dist.name != "schemefs")


def _module_of(point: EntryPoint) -> ModuleType:
    module = importlib.import_module(point.module)
    if point.dist is not None and not _belongs(module.__name__, point.dist):
        message = f"{point.module} was found at {module.__file__}, which is not of {point.dist.name}"
        raise PluginError(message)
    return module


def _load_one(point: EntryPoint, kind: Callable[..., Kind]) -> type[Kind]:
    """Return the class of an entry point. *kind* is a class; `type[Kind]` would admit no abstract one."""
    wanted = cast("type[Kind]", kind)
    _module_of(point)
    loaded = point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, wanted)):
        message = f"{point.value} is no {wanted.__name__}"
        raise PluginError(message)
    return loaded


def _belongs(module: str, distribution: Distribution) -> bool:
    """Return whether the file of a loaded module belongs to the distribution, or is in its editable source tree."""
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    tree = _source_tree(distribution)
    if tree is not None:
        return path.is_relative_to(tree)
    name = Path(file).name  # resolving each of hundreds of files, for each plugin, would be most of a start
    files = (entry for entry in _files(distribution) if entry.name == name)
    return any(Path(str(entry.locate())).resolve() == path for entry in files)


@cache
def _files(distribution: Distribution) -> Sequence[PackagePath]:
    return distribution.files or ()


def _source_tree(distribution: Distribution) -> Path | None:
    """Return the source tree of an editable distribution; None for an installed one, which lists its files."""
    text = distribution.read_text("direct_url.json")
    if text:
        described = json.loads(text)
        if described.get("dir_info", {}).get("editable"):
            return Path(unquote(urlparse(described["url"]).path)).resolve()
    # A build leaves egg-info in the checkout, which is found there when the checkout is on sys.path.
    return None if distribution.read_text("RECORD") else Path(str(distribution.locate_file(""))).resolve()

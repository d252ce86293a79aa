"""`--scheme FILE.py`: a scheme that is not installed, beside the installed plugins.

The file is run in the daemon. What makes it unusable is a StartError of one sentence, with the file and the line.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from schemefs import plugins
from schemefs.errors import FAULTS, StartError
from schemefs.scheme import Scheme

TAKEN_NAMES: Final = frozenset(("", ".", "..", "README", "stats"))  # the mount's own files at the top of the tree


def load_with_files(files: Sequence[str]) -> plugins.Plugins:
    """Load every installed plugin, and the scheme in each of *files*: `FILE.py` or `FILE.py:Class`, absolute.

    StartError: a file has no usable scheme. Its code is run here, with all rights of this process.
    """
    installed = plugins.load()
    schemes = {scheme.name: scheme for scheme in installed.schemes}
    paths: dict[str, str] = {}
    for file in files:
        path, scheme = _scheme_of_file(file)
        if scheme.name in schemes or scheme.name in installed.missing:
            raise StartError(f"there is already a scheme {scheme.name!r}: the one in {path} needs another name")
        schemes[scheme.name] = scheme
        paths[scheme.name] = path
    reasons: dict[str, str] = {}
    ordered = plugins.in_order(schemes, reasons)
    for name, reason in reasons.items():
        raise StartError(f"the scheme {name!r} in {paths[name]} {reason}")
    return plugins.Plugins(ordered, installed.drivers, installed.missing)


def _scheme_of_file(file: str) -> tuple[str, type[Scheme]]:
    """Return the path in *file* and its scheme class, checked as far as it can be without making one."""
    path, colon, chosen = file.rpartition(":")
    if not (colon and chosen.isidentifier()):
        path, chosen = file, ""
    module = _run(path)
    found = {name: kind for name, kind in vars(module).items() if _is_scheme(kind, module.__name__)}
    if chosen:
        scheme = getattr(module, chosen, None)
        if not (isinstance(scheme, type) and issubclass(scheme, Scheme)):
            raise StartError(f"{path} has no scheme {chosen!r}; it has: {', '.join(found) or 'none'}")
    elif not found:
        raise StartError(f"{path} has no scheme: a class derived from schemefs.scheme.Scheme is needed")
    elif len(found) > 1:
        raise StartError(f"{path} has several schemes, {', '.join(found)}: choose one, as {path}:{next(iter(found))}")
    else:
        [scheme] = found.values()
    name = getattr(scheme, "name", None)
    if not isinstance(name, str) or name in TAKEN_NAMES or "/" in name or "\0" in name:
        raise StartError(f"{scheme.__name__} in {path} needs a `name` that can be a directory of the mount")
    return path, scheme


def _is_scheme(kind: object, module: str) -> bool:
    """Return whether *kind* is a scheme that *module* defines, rather than imports."""
    return (
        isinstance(kind, type)
        and issubclass(kind, Scheme)
        and kind.__module__ == module
        and not inspect.isabstract(kind)
    )


def _run(path: str) -> ModuleType:
    """Run the Python file at *path* as a module. The modules in its folder can be imported, after all others.

    It is compiled here, so that no `__pycache__` of the daemon's user is left in the folder.
    """
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"the scheme {path} can't be read: {error.strerror}") from None
    module = ModuleType(f"schemefs.scheme_file.{Path(path).stem}")  # below `schemefs`, so that its logger is shown
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look it up
    sys.path.append(str(Path(path).parent))
    try:
        exec(compile(source, path, "exec"), vars(module))  # noqa: S102 - what --scheme is for
    except FAULTS as error:
        raise StartError(f"the scheme {path} can't be run: {_explained(error, path)}") from error
    return module


def _explained(error: BaseException, path: str) -> str:
    """Return the line of *path* that failed, and why."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f"line {lines[-1]}: " if lines else ""
    return where + f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")

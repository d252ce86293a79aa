"""A mount of named schemes only, for their tests: `python -m schemefs.testing.mounted DIR MODULE:CLASS…`.

The classes must be importable; the schemes that they require must be installed. Beyond that, the daemon is the same as
of `schemefs mount`. `SchemeMount(schemes=[…])` and the fixture `mount_scheme` run this module.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from schemefs import log as _levels  # noqa: F401 - gives the level TRACE its name
from schemefs import plugins
from schemefs.config import Config
from schemefs.errors import StartError
from schemefs.scheme import Scheme


def specification(scheme: type[Scheme]) -> str:
    """Return `module:Class`, which another process can import."""
    return f"{scheme.__module__}:{scheme.__qualname__}"


def only(schemes: Sequence[type[Scheme]]) -> plugins.Plugins:
    """Return these schemes, those they require, and all drivers."""
    found = plugins.load()
    installed = {scheme.name: scheme for scheme in found.schemes}
    chosen: dict[str, type[Scheme]] = {}
    missing: dict[str, str] = {}
    waiting = list(schemes)
    while waiting:
        scheme = waiting.pop()
        chosen[scheme.name] = scheme
        waiting += [installed[name] for name in scheme.requires if name in installed and name not in chosen]
    return plugins.Plugins(plugins.in_order(chosen, missing), found.drivers, missing)


def _find(text: str) -> type[Scheme]:
    module, _, name = text.partition(":")
    found: type[Scheme] = getattr(importlib.import_module(module), name)
    return found


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="schemefs.testing.mounted", description=__doc__)
    parser.add_argument("mount_point", type=Path)
    parser.add_argument("schemes", nargs="+", metavar="MODULE:CLASS")
    parser.add_argument("--log-level", default="debug")
    parser.add_argument("--log-file", default="-")
    options = parser.parse_args(arguments)
    level = logging.getLevelName(options.log_level.upper())
    if not isinstance(level, int):
        parser.error(f"unknown level {options.log_level!r}")
    config = Config(log_level=level, log_file=options.log_file)
    schemes = [_find(text) for text in options.schemes]
    from schemefs import daemon  # noqa: PLC0415 - after the module of the scheme, whose failure to import is reported first

    try:
        return daemon.serve(
            config,
            options.mount_point,
            allow_other=os.geteuid() == 0,
            report=partial(print, flush=True),
            load=lambda: only(schemes),
        )
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(_main())

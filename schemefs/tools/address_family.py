"""The options -4 and -6: of a name only the addresses of one family are used, by `dns/NAME,type=a` or `type=aaaa`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from schemefs.net.addresses import packed
from schemefs.tools.exit_status import fail, fail_with

_Function = TypeVar("_Function", bound=Callable[..., Any])
_TYPES: Final = {4: "a", 6: "aaaa"}
_OCTETS: Final = {4: 4, 6: 16}
_LOOPBACK: Final = {4: "127.0.0.1", 16: "::1"}  # by the octets of an address


def family_options(function: _Function) -> _Function:
    """Add the options -4 and -6 to a command, which gets `family`: 4, 6 or None."""
    for family in (6, 4):
        option = click.option(
            f"-{family}", "family", type=int, flag_value=family, default=None, help=f"Use IPv{family} only."
        )
        function = option(function)
    return function


def reached(host: str) -> str:
    """Return what a connect to *host* reaches: for 0.0.0.0 and :: this host, as on Linux. In the tree they listen."""
    octets = packed(host)
    if octets is None or any(octets):
        return host
    return _LOOPBACK[len(octets)]


def addresses(tree: Path, host: str, family: int | None, status: int, mismatch: int | None = None) -> list[str]:
    """Return what to put in place of *host*: itself, or its addresses of *family*.

    None: exit with *status*; *mismatch*, if given, is that of an address of the other family.
    """
    host = reached(host)
    if family is None:
        return [host]
    octets = packed(host.partition("%")[0])
    if octets is not None:
        if len(octets) != _OCTETS[family]:
            fail(status if mismatch is None else mismatch, f"{host} is no address of IPv{family}")
        return [host]
    path = f"dns/{host},type={_TYPES[family]}"
    try:
        return (tree / path).read_text().split()
    except OSError as error:
        fail_with(status, tree, path, error)

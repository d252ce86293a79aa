"""The click type of options that are a number of seconds: decimal, below 1e9, as in the files of the tree."""

from __future__ import annotations

from collections.abc import Callable

import click

from schemefs.net.addresses import parse_seconds


def seconds(least: float = 0.0) -> Callable[[str], float]:
    """Return a click type: seconds, not fewer than *least*."""

    def convert(text: str) -> float:
        try:
            value = parse_seconds(str(text))  # a default is a float
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if value < least:
            message = f"{text} is less than {least:g} s"
            raise click.BadParameter(message)
        return value

    return convert

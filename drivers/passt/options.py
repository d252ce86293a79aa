"""The options of the passt driver."""

from __future__ import annotations

from typing import Final

from schemefs.driver_option import DriverOption


def _program(text: str) -> str:
    if not text or "\0" in text:
        message = f"{text!r} is not a program: a name in PATH or a path is"
        raise ValueError(message)
    return text


OPTIONS: Final = (
    DriverOption(
        "passt",
        _program,
        "The program passt: a name in PATH, or a path.",
        default="passt",
        metavar="PROGRAM",
        completion="file",
    ),
)

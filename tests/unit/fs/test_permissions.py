"""Who may do what: modes against callers, and directions that nobody has."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.errors import SchemeError
from schemefs.fs.permissions import EXECUTE, READ, WRITE, permits, require, wanted_by
from schemefs.scheme import Caller, TextFile

ROOT, OWNER, GROUP, OTHER = Caller(0, 0), Caller(1000, 1000), Caller(2000, 1000), Caller(3000, 3000)


def node(mode: int) -> TextFile:
    return TextFile(mode=mode, uid=1000, gid=1000)


@pytest.mark.parametrize(
    ("mode", "caller", "allowed"),
    [
        (0o600, OWNER, READ | WRITE), (0o600, ROOT, READ | WRITE), (0o600, GROUP, 0), (0o600, OTHER, 0),
        (0o400, ROOT, READ), (0o400, OWNER, READ), (0o200, ROOT, WRITE), (0o200, OWNER, WRITE),
        (0o644, OTHER, READ), (0o644, OWNER, READ | WRITE), (0o640, GROUP, READ), (0o066, OWNER, 0),
        (0o666, OTHER, READ | WRITE), (0o700, OTHER, 0), (0o700, ROOT, READ | WRITE | EXECUTE), (0o444, ROOT, READ),
    ],
)  # fmt: skip
def test_modes(mode: int, caller: Caller, allowed: int) -> None:
    for wanted in range(8):
        assert permits(node(mode), caller, wanted) is not bool(wanted & ~allowed)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (os.O_RDONLY, READ),
        (os.O_WRONLY | os.O_TRUNC, WRITE),
        (os.O_RDWR | os.O_NONBLOCK, READ | WRITE),
        (3, READ | WRITE),
    ],
)
def test_access_wanted_by_open(flags: int, wanted: int) -> None:
    assert wanted_by(flags) == wanted


def test_refusal_says_who_and_what() -> None:
    with pytest.raises(SchemeError, match=r"rx may not be written by uid 0 \(mode 0400\)") as caught:
        require(node(0o400), ROOT, WRITE, "rx")
    assert caught.value.errno == errno.EACCES
    require(node(0o400), ROOT, READ, "rx")

"""README in every directory of a real mount, made of what is there."""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def directories(top: Path) -> list[Path]:
    return [Path(path) for path, _, _ in os.walk(top)]


def test_every_directory_has_one_and_ls_shows_it(module_scheme_mount: SchemeMount, family: Family) -> None:
    scheme = module_scheme_mount.path
    with (
        open(scheme / "tcp/:7201", "rb", buffering=0),
        open(scheme / f"udp/{family.lo.at(7202)}", "r+b", buffering=0),
        open(scheme / f"icmp/echo/{family.lo}", "r+b", buffering=0),
    ):
        found = directories(scheme)
        assert {scheme / "tcp/0", scheme / "tcp/0/settings", scheme / "udp/0", scheme / "icmp/0"} <= set(found)
        for directory in found:
            assert "README" in os.listdir(directory), directory
            assert (directory / "README").read_text(), directory


def out_of_column(text: str) -> list[str]:
    """Return the lines of a table whose second word begins beside its column. Two or more spaces begin a column."""

    def columns(line: str) -> list[int]:
        return [gap.end() for gap in re.finditer(r"(?<=\S) {2,}(?=\S)", line)]

    def kind(line: str) -> tuple[bool, int]:
        return bool(columns(line)), len(line) - len(line.lstrip())

    found: list[str] = []
    for (is_table, _), rows in groupby(text.splitlines(), kind):
        if is_table:
            table = list(rows)
            allowed = max(map(columns, table), key=len)  # a directory has an empty second column in a made README
            found += [row for row in table if columns(row)[0] not in allowed]
    return found


def test_every_readme_keeps_its_columns(module_scheme_mount: SchemeMount, family: Family) -> None:
    scheme = module_scheme_mount.path
    with (
        open(scheme / "tcp/:7201", "rb", buffering=0),
        open(scheme / f"tcp/{family.lo.at(7201)}", "r+b", buffering=0),
        open(scheme / f"udp/{family.lo.at(7202)}", "r+b", buffering=0),
        open(scheme / f"icmp/echo/{family.lo}", "r+b", buffering=0),
    ):
        texts = {directory / "README": (directory / "README").read_text() for directory in directories(scheme)}
    assert "keepalive" in texts[scheme / "tcp/README"]
    assert {path: lines for path, text in texts.items() if (lines := out_of_column(text))} == {}


@pytest.mark.parametrize(
    ("text", "lines"),
    [("a  1\nbb  2\n", ["bb  2"]), ("a   1\nbb  2\n  c  3\n\nd  4\n", []), ("a/    1\nb  w  2\n", [])],
)
def test_a_word_beside_its_column_is_found(text: str, lines: list[str]) -> None:
    assert out_of_column(text) == lines


def test_one_that_is_made_names_all_that_is_there_and_what_it_is(module_scheme_mount: SchemeMount) -> None:
    directory = module_scheme_mount.path / "netcfg/ifaces/lo/addr"
    assert (directory / "README").read_text().splitlines() == [
        "the addresses of this interface",
        "",
        "list        read        ADDRESS/LENGTH, one per line; of IPv6 also scope, origin and lifetimes",
        "set         write       ADDRESS/LENGTH: replaces all",
        "add         write       ADDRESS/LENGTH: adds one",
        "rm          write       ADDRESS/LENGTH: removes one",
        "duplicates  read        ADDRESS/LENGTH MAC: not used, because another host has the address",
    ]
    assert (directory / "README").stat().st_ino == (directory / "README").stat().st_ino


def test_a_conversations_readme_explains_its_files_and_settings(
    module_scheme_mount: SchemeMount, family: Family
) -> None:
    scheme = module_scheme_mount.path
    with open(scheme / f"icmp/echo/{family.lo}", "r+b", buffering=0) as echo:
        directory = scheme / os.getxattr(echo.fileno(), "user.conversation").decode()
        text = (directory / "README").read_text()
        assert "the number, once per open; takes verbs" in text
        assert all(f"\n{name}" in text for name in os.listdir(directory) if name != "README")
        settings = (directory / "settings/README").read_text()
        assert "hop_limit          read/write  TTL of what is sent, 1 to 255" in settings
        assert "hop_limit.raw      read/write  hop_limit in Redox's binary form" in settings


def test_readme_is_never_an_address(module_scheme_mount: SchemeMount) -> None:
    text = (module_scheme_mount.path / "icmp/ping/README").read_text()
    assert text == "ping/HOST[,count=4,…]: read it\n"

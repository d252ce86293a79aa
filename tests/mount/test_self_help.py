"""README in every directory of a real mount, made of what is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")


def directories(top: Path) -> list[Path]:
    return [Path(path) for path, _, _ in os.walk(top)]


def test_every_directory_has_one_and_ls_shows_it(module_scheme_mount: SchemeMount) -> None:
    scheme = module_scheme_mount.path
    with (
        open(scheme / "tcp/:7201", "rb", buffering=0),
        open(scheme / "udp/127.0.0.1:7202", "r+b", buffering=0),
        open(scheme / "icmp/echo/127.0.0.1", "r+b", buffering=0),
    ):
        found = directories(scheme)
        assert {scheme / "tcp/0", scheme / "tcp/0/settings", scheme / "udp/0", scheme / "icmp/0"} <= set(found)
        for directory in found:
            assert "README" in os.listdir(directory), directory
            assert (directory / "README").read_text(), directory


def test_one_that_is_made_names_all_that_is_there_and_what_it_is(module_scheme_mount: SchemeMount) -> None:
    directory = module_scheme_mount.path / "netcfg/ifaces/lo/addr"
    assert (directory / "README").read_text().splitlines() == [
        "the addresses of this interface",
        "",
        "list        read        ADDRESS/LENGTH, one per line",
        "set         write       ADDRESS/LENGTH: replaces all",
        "add         write       ADDRESS/LENGTH: adds one",
        "rm          write       ADDRESS/LENGTH: removes one",
        "duplicates  read        ADDRESS/LENGTH MAC: not used, because another host has the address",
    ]
    assert (directory / "README").stat().st_ino == (directory / "README").stat().st_ino


def test_a_conversations_readme_explains_its_files_and_settings(module_scheme_mount: SchemeMount) -> None:
    scheme = module_scheme_mount.path
    with open(scheme / "icmp/echo/127.0.0.1", "r+b", buffering=0) as echo:
        directory = scheme / os.getxattr(echo.fileno(), "user.conversation").decode()
        text = (directory / "README").read_text()
        assert "the number, once per open; takes verbs" in text
        assert all(f"\n{name}" in text for name in os.listdir(directory) if name != "README")
        settings = (directory / "settings/README").read_text()
        assert "hop_limit          read/write  TTL of what is sent, 1 to 255" in settings
        assert "hop_limit.raw      read/write  hop_limit in Redox's octets" in settings


def test_readme_is_never_an_address(module_scheme_mount: SchemeMount) -> None:
    text = (module_scheme_mount.path / "icmp/ping/README").read_text()
    assert text == "ping/HOST[,count=4,…]: read it\n"

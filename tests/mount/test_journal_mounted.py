"""`events` of a conversation on a real mount: cat ends, tail -f follows, nobody else may look."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("fuse")


def test_cat_shows_both_sides_on_one_clock(module_scheme_mount) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7301", os.O_RDWR)
    client = os.open(tcp / "127.0.0.1:7301,events", os.O_RDWR)
    try:
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        assert os.read(listener, 100)
        os.write(client, b"hello")
        lines = (tcp / number / "events").read_text().splitlines()
        assert f"open pid {os.getpid()}" in lines[0]
        for words in (
            ": SYN_SENT",
            "SYN-ACK in",
            "SYN_SENT -> ESTABLISHED",
            "wake 1: OUT",
            "write of 5: 5",
            "PSH-ACK out",
        ):
            assert any(words in line for line in lines), (words, lines)
        times = [float(line.split()[0]) for line in lines]
        assert times == sorted(times)
        assert (tcp / number / "events").stat().st_mode & 0o777 == 0o400
    finally:
        os.close(client)
        os.close(listener)


def test_tail_follows(module_scheme_mount) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7302", os.O_RDWR)
    client = os.open(tcp / "127.0.0.1:7302", os.O_RDWR)
    try:
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        tail = subprocess.Popen(
            ["tail", "-n", "+1", "-f", str(tcp / number / "events")], stdout=subprocess.PIPE, text=True
        )
        try:
            assert tail.stdout is not None
            assert "recording begins" in tail.stdout.readline()
            os.write(client, b"hello")
            said = [tail.stdout.readline() for _ in range(2)]
            assert any("write of 5: 5" in line or "PSH-ACK out" in line for line in said)
        finally:
            tail.kill()
            tail.wait()
            tail.stdout.close()
    finally:
        os.close(client)
        os.close(listener)

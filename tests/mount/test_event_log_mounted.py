"""`events` of a conversation on a real mount: cat ends, tail -f follows, no other user may read it."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest

from schemefs.story.live import read_story
from tests.support.event_schema import checked
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def test_cat_shows_both_sides_on_one_clock(module_scheme_mount, family: Family) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7301", os.O_RDWR)
    client = os.open(tcp / f"{family.lo.at(7301)},events", os.O_RDWR)
    try:
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        assert os.read(listener, 100)
        os.write(client, b"hello")
        lines = (tcp / number / "events").read_text().splitlines()
        assert f"open pid {os.getpid()}" in lines[0]
        for words in (
            "CLOSED -> SYN_SENT",
            "SYN out",
            "SYN-ACK in",
            "SYN_SENT -> ESTABLISHED",
            "fevent OUT -> 1 waker",
            "write of 5: 5",
            "PSH-ACK out",
        ):
            assert any(words in line for line in lines), (words, lines)
        times = [float(line.split()[0]) for line in lines]
        assert times == sorted(times)
        events = checked((tcp / number / "events.json").read_text())
        told = [f"+{event['time']:.6f} {event['data']['text']}" for event in events if "text" in event["data"]]
        assert told[: len(lines)] == lines
        segments = read_story(tcp / number).segments
        assert [segment.flags for segment in segments[:4]] == ["S", "S.", ".", "P."]
        assert (tcp / number / "events").stat().st_mode & 0o777 == 0o400
    finally:
        os.close(client)
        os.close(listener)


@pytest.mark.parametrize("command", ["tail -n +1 -f events", "cat events,follow", "cat events.json,follow"])
def test_it_can_be_followed(module_scheme_mount, command: str, family: Family) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7302", os.O_RDWR)
    client = os.open(tcp / family.lo.at(7302), os.O_RDWR)
    try:
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        tail = subprocess.Popen(command.split(), cwd=tcp / number, stdout=subprocess.PIPE, text=True)
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


def test_a_poll_is_a_line_and_says_what_came_of_it(module_scheme_mount, family: Family) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7303", os.O_RDWR)
    client = os.open(tcp / f"{family.lo.at(7303)},events", os.O_RDWR | os.O_NONBLOCK)
    try:
        poll = select.poll()
        poll.register(client, select.POLLIN)
        assert not poll.poll(0)
        number, _, _ = os.read(listener, 100).decode().partition(" ")
        (tcp / number / "tx").write_bytes(b"hello")
        assert poll.poll(10_000)
        assert os.read(client, 5) == b"hello"
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        lines = [line.partition(" ")[2] for line in (tcp / number / "events").read_text().splitlines()]
        assert lines[0] == f"open pid {os.getpid()} O_NONBLOCK"
        told = [line for line in lines if line.startswith(("poll", "fevent", "read"))]
        answered = [at for at, line in enumerate(told) if line.startswith(f"poll pid {os.getpid()} -> IN")]
        assert answered
        assert told.index("read of 5: 5") > answered[0]
    finally:
        os.close(client)
        os.close(listener)


def test_what_a_listener_records_its_connections_do_from_their_syn_on(module_scheme_mount, family: Family) -> None:
    tcp: Path = module_scheme_mount.path / "tcp"
    listener = os.open(tcp / ":7304,events", os.O_RDWR)
    client = os.open(tcp / family.lo.at(7304), os.O_RDWR)
    try:
        number, _, _ = os.read(listener, 100).decode().partition(" ")
        lines = (tcp / number / "events").read_text().splitlines()
        assert "CLOSED -> SYN_RECEIVED" in lines[0]
        assert any("SYN-ACK out" in line for line in lines)
        assert any("SYN_RECEIVED -> ESTABLISHED" in line for line in lines)
        assert float(lines[0].split()[0]) == 0
    finally:
        os.close(client)
        os.close(listener)

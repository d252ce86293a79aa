"""`events` of a conversation: file calls and what the engine tells, once somebody has opened it or said `,events`."""

from __future__ import annotations

import pytest

from schemefs.scheme import FollowedFile
from tests.pipe_world import USER, World


@pytest.fixture
def world() -> World:
    return World()


def events(world: World, number: int | str) -> FollowedFile:
    node = world.scheme.lookup(f"{number}/events", USER)
    assert isinstance(node, FollowedFile)
    return node


def text_of(node: FollowedFile) -> list[str]:
    return node.ring.read(0, 1 << 20)[0].decode().splitlines()


def test_looking_at_it_begins_nothing_opening_does(world: World) -> None:
    client, number, _ = world.connected()
    node = events(world, number)
    assert node.size == 0
    assert world.scheme.conversations.get(int(number)).journal is None  # type: ignore[union-attr]
    assert "recording begins" in text_of(node)[0]
    world.now = 1.5
    assert world.write(client, b"hello") == 5
    assert world.read(client) is None
    world.close(client)
    assert text_of(node)[1:] == [
        "+1.500000 write of 5: 5",
        "+1.500000 read of 1000: would block",
        "+1.500000 close: 0 files are left",
    ]


def test_with_the_option_it_has_everything(world: World) -> None:
    world.connected()
    world.now = 2.0
    client = world.open("127.0.0.1:8080,events")
    number = client.name.partition("/")[2]  # type: ignore[attr-defined]
    assert text_of(events(world, number))[0] == f"+0.000000 open pid {USER.pid}"

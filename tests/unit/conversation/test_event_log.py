"""`events` of a conversation: file calls and the engine's events, after the first open or with `,events`."""

from __future__ import annotations

import errno

import pytest

from schemefs.conversation.event_log import CAPACITY, JSON_CAPACITY
from schemefs.errors import SchemeError
from schemefs.readme import FollowingStream
from schemefs.scheme import FollowedFile, TextFile
from tests.support.event_schema import checked
from tests.support.pipe_world import USER, World


@pytest.fixture
def world() -> World:
    return World()


def events(world: World, number: int | str, name: str = "events") -> FollowedFile:
    node = world.scheme.lookup(f"{number}/{name}", USER)
    assert isinstance(node, FollowedFile)
    return node


def text_of(node: FollowedFile) -> list[str]:
    return node.ring.read(0, 1 << 20)[0].decode().splitlines()


def test_looking_at_it_begins_nothing_opening_does(world: World) -> None:
    client, number, _ = world.connected()
    node = events(world, number)
    assert node.size == 0
    assert world.scheme.conversations.get(int(number)).event_log is None  # type: ignore[union-attr]
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


def test_settings_verbs_and_signals_are_lines(world: World) -> None:
    client, number, _ = world.connected()
    node = events(world, number)
    text_of(node)
    setting = world.scheme.lookup(f"{number}/settings/read_timeout", USER)
    assert isinstance(setting, TextFile)
    setting.write(b"3\n", USER, 1.0)
    ctl = world.open(f"{number}/ctl")
    world.now = 2.0
    world.write(ctl, b"shutdown write\n")
    client.interrupted(3.0)
    told = [line.partition(" ")[2] for line in text_of(node)]
    assert {"settings/read_timeout: 3", "ctl: shutdown write", "interrupted by a signal"} <= set(told)
    as_json = checked("\n".join(text_of(events(world, number, "events.json"))))
    assert [event["data"]["text"] for event in as_json] == told


def test_following_what_has_ended_ends(world: World) -> None:
    """A process in its directory can open the file after the end: no line will come any more."""
    client, number, peer = world.connected()
    node = events(world, number)
    world.close(client)
    peer.abort(world.now)
    assert number not in world.numbers()
    follower = FollowingStream(node).open(0, USER, world.now)
    assert b"recording begins" in bytes(follower.read(1000, world.now) or b"")  # type: ignore[arg-type]
    assert follower.read(1000, world.now) == b""


def test_a_log_counts_for_its_user_until_it_is_finished(world: World) -> None:
    account = world.scheme.context.held.account(USER.uid)
    client, number, peer = world.connected()
    node = events(world, number)
    assert text_of(node)
    assert account.held == CAPACITY + JSON_CAPACITY
    world.close(client)
    peer.close(world.now)
    assert account.held == 0
    assert text_of(node)


def test_a_user_whose_buffers_are_full_gets_no_log(world: World) -> None:
    account = world.scheme.context.held.account(USER.uid)
    account.put(account.share)
    with pytest.raises(SchemeError) as raised:
        world.open("127.0.0.1:8080,events")
    assert raised.value.errno == errno.ENOBUFS
    assert raised.value.sentence == f"the buffers of uid {USER.uid} are full: read what has arrived"
    account.taken(account.share)
    assert account.held == 0

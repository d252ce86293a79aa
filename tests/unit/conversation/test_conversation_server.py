"""Listeners: lines of accepted connections, one-shot accepts, Plan 9's announce and listen."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from tests.support.pipe_world import NONBLOCK, OTHER, RDONLY, RDWR, USER, WRONLY, World


@pytest.fixture
def world() -> World:
    return World()


def test_each_read_is_a_line_of_one_connection(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    assert listener.fevent(Event.ALL) == 0
    assert world.read(listener) is None
    changes: list[None] = []
    listener.on_changed = lambda: changes.append(None)
    world.open("127.0.0.1:8080")
    world.open("127.0.0.1:8080")
    assert len(changes) == 2
    assert listener.fevent(Event.ALL) == Event.IN
    assert world.read(listener) == b"3 127.0.0.1:49152 127.0.0.1:8080\n"
    assert world.read(listener) == b"4 127.0.0.1:49153 127.0.0.1:8080\n"
    assert world.read(listener) is None
    assert listener.fevent(Event.ALL) == 0


def test_line_is_right_also_one_octet_at_a_time(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    world.open("127.0.0.1:8080")
    line = b""
    while not line.endswith(b"\n"):
        assert listener.fevent(Event.IN) == Event.IN
        octet = world.read(listener, 1)
        assert octet
        line += octet
    assert line == b"2 127.0.0.1:49152 127.0.0.1:8080\n"
    assert world.read(listener, 1) is None


def test_two_readers_of_one_listener_never_share_a_line(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    second = listener.reopen(RDONLY, USER, 0.0)
    world.open("127.0.0.1:8080")
    world.open("127.0.0.1:8080")
    assert world.read(listener, 1) == b"3"
    assert world.read(second) == b"4 127.0.0.1:49153 127.0.0.1:8080\n"
    assert world.read(listener) == b" 127.0.0.1:49152 127.0.0.1:8080\n"
    world.close(listener)
    assert "8080" in world.pipes.listeners
    world.close(second)
    assert "8080" not in world.pipes.listeners


def test_accepted_conversation_is_its_listeners_owner(world: World) -> None:
    listener = world.open(":8080", RDONLY, OTHER)
    world.open("127.0.0.1:8080")
    number = int(world.read(listener).split()[0])  # type: ignore[union-attr]
    node = world.scheme.lookup(f"{number}/data", OTHER)
    assert (node.uid, node.mode) == (OTHER.uid, 0o600)


def test_port_taken_fails_in_open_and_leaves_nothing(world: World) -> None:
    world.open(":8080", RDONLY)
    assert world.errno_of(":8080", RDONLY) == errno.EADDRINUSE
    assert world.numbers() == [0]


def test_port_zero_is_chosen_and_shown(world: World) -> None:
    listener = world.open(":0", RDONLY)
    local = world.text("0/local")
    assert local.startswith("0.0.0.0:") and local != "0.0.0.0:0\n"
    world.open(f"127.0.0.1:{local.strip().rpartition(':')[2]}")
    assert world.read(listener)


def test_one_shot_accept_waits_in_open_and_then_is_the_data(world: World) -> None:
    handle = world.scheme.open(":8080,accept", RDWR, USER, 0.0)
    assert handle.must_open_at_once
    assert handle.opening(0.0)
    client = world.open("127.0.0.1:8080")
    assert not handle.opening(0.0)
    assert "8080" not in world.pipes.listeners  # it listened for as long as it waited
    world.write(client, b"hello")
    assert world.read(handle) == b"hello"
    world.write(handle, b"back")
    assert world.read(client) == b"back"
    world.close(handle)
    assert world.read(client) == b""


def test_one_shot_accept_takes_from_this_uids_listener_only(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    mine = world.scheme.open(":8080,accept", RDWR, USER, 0.0)
    with pytest.raises(SchemeError) as caught:
        world.scheme.open(":8080,accept", RDWR, OTHER, 0.0)
    assert caught.value.errno == errno.EADDRINUSE
    assert mine.opening(0.0)
    world.open("127.0.0.1:8080")
    assert not mine.opening(0.0)
    assert world.read(listener) is None
    assert "8080" in world.pipes.listeners


def test_many_workers_accept_at_once_each_another(world: World) -> None:
    workers = [world.scheme.open(":8080,accept", RDWR, USER, 0.0) for _ in range(3)]
    assert [worker.opening(0.0) for worker in workers] == [True] * 3
    clients = [world.open("127.0.0.1:8080") for _ in range(2)]
    assert [worker.opening(0.0) for worker in workers] == [False, False, True]
    for number, client in enumerate(clients):
        world.write(client, b"%d" % number)
    assert [world.read(worker) for worker in workers[:2]] == [b"0", b"1"]
    assert "8080" in world.pipes.listeners
    workers[2].interrupted(0.0)
    world.close(workers[2])
    assert "8080" not in world.pipes.listeners


def test_two_one_shot_accepts_on_port_zero_are_two_listeners(world: World) -> None:
    for _ in range(2):
        world.scheme.open(":0,accept", RDWR, USER, 0.0)
    assert len(world.pipes.listeners) == 2


def test_write_only_accept_behaves_as_tx(world: World) -> None:
    handle = world.scheme.open(":8080,accept", WRONLY, USER, 0.0)
    client = world.open("127.0.0.1:8080")
    assert not handle.opening(0.0)
    world.write(handle, b"page")
    world.write(client, b"request that is not read")
    world.close(handle)
    assert world.read(client) == b"page"


def test_announce_and_listen(world: World) -> None:
    ctl = world.open("clone")
    assert world.errno_of("0/listen") == errno.EINVAL
    assert world.write(ctl, b"announce :8080\n")
    listen = world.scheme.open("0/listen", RDWR | NONBLOCK, USER, 0.0)
    assert listen.must_open_at_once
    assert listen.opening(0.0)
    client = world.open("127.0.0.1:8080")
    assert not listen.opening(0.0)
    number = world.read(listen)
    assert number == b"2\n"
    data = world.open("2/data")
    world.write(client, b"via plan 9")
    assert world.read(data) == b"via plan 9"
    assert world.status(0)["state"] == "LISTEN"
    world.close(ctl)
    assert "8080" not in world.pipes.listeners
    world.write(data, b"still")
    assert world.read(client) == b"still"


def test_ended_listeners_are_not_kept(world: World) -> None:
    for port in range(8000, 8050):
        world.close(world.open(f":{port}", RDONLY))
    world.open(":9000", RDONLY)
    assert len(world.scheme._listeners) == 1


def test_reading_needs_a_listener_and_writing_one_is_eacces(world: World) -> None:
    listener = world.open(":8080", RDWR)
    with pytest.raises(SchemeError) as caught:
        world.write(listener, b"x")
    assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize("verb", ["close", "hangup"])
def test_a_ctl_ends_a_listener_and_wakes_waiting_calls(world: World, verb: str) -> None:
    listener = world.open(":8080", RDONLY)
    number = world.numbers()[0]
    acceptor = world.open(f"{number}/listen")
    assert acceptor.opening(0.0)
    changes: list[str] = []
    listener.on_changed = lambda: changes.append("listener")
    acceptor.on_changed = lambda: changes.append("acceptor")
    ctl = world.open(f"{number}/ctl")
    assert world.write(ctl, verb.encode()) == len(verb)
    assert sorted(changes) == ["acceptor", "listener"]
    assert listener.fevent(Event.ALL) == Event.IN
    assert world.read(listener) == b""
    with pytest.raises(SchemeError, match="has stopped listening"):
        acceptor.opening(0.0)
    assert "8080" not in world.pipes.listeners
    assert world.numbers() == []
    world.close(listener, acceptor, ctl)
    world.close(world.open(":8080", RDONLY))


def test_what_is_accepted_has_its_listeners_time_outs(world: World) -> None:
    listener = world.open(":8080,read_timeout=2,write_timeout=3", RDONLY)
    world.open("127.0.0.1:8080")
    number = str(world.read(listener), "ascii").split()[0]
    data = world.open(f"{number}/data")
    assert (data.read_timeout, data.write_timeout) == (2.0, 3.0)


def test_accept_waits_as_long_as_it_says_and_its_data_too(world: World) -> None:
    world.open(":8080,write_timeout=3", RDONLY)
    waiting = world.open(":8080,accept,read_timeout=2")
    assert waiting.open_timeout == 2.0
    world.open("127.0.0.1:8080")
    assert not waiting.opening(world.now)
    assert (waiting.read_timeout, waiting.write_timeout) == (2.0, 3.0)


def test_listen_waits_as_long_as_its_listener_says(world: World) -> None:
    listener = world.open(":8080,read_timeout=2", RDONLY)
    assert world.open(f"{listener.name.partition('/')[2]}/listen").open_timeout == 2.0


def test_events_of_what_a_listener_accepts_are_kept_from_the_start(world: World) -> None:
    listener = world.open(":8080,events", RDONLY)
    world.open("127.0.0.1:8080")
    number = str(world.read(listener), "ascii").split()[0]
    accepted = world.scheme.conversations.get(int(number))
    assert accepted is not None
    assert accepted.event_log is not None


def test_accepted_and_never_told_ends_with_its_ctl(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    world.open("127.0.0.1:8080")
    peer = world.pipes.engines[0].peer
    assert peer is not None
    world.close(world.open(f"{listener.name.partition('/')[2]}/listen"))
    assert peer.calls == ["close"]


def test_an_accepted_connection_opens_after_a_reset_and_has_its_data(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    client = world.open("127.0.0.1:8080")
    world.write(client, b"before")
    world.write(world.open("1/ctl", WRONLY), b"hangup\n")
    number = world.read(listener).split()[0].decode()  # type: ignore[union-attr]
    rx, tx = world.open(f"{number}/rx", RDONLY), world.open(f"{number}/tx", WRONLY)
    assert not rx.opening(0.0)
    assert not tx.opening(0.0)
    assert world.read(rx) == b"before"
    with pytest.raises(SchemeError) as caught:
        world.read(rx)
    assert caught.value.errno == errno.ECONNRESET


def test_an_accepted_connection_without_data_opens_too_and_its_read_says_why(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    world.open("127.0.0.1:8080")
    world.write(world.open("1/ctl", WRONLY), b"hangup\n")
    number = world.read(listener).split()[0].decode()  # type: ignore[union-attr]
    data = world.open(f"{number}/data")
    assert not data.opening(0.0)
    with pytest.raises(SchemeError) as caught:
        world.read(data)
    assert caught.value.errno == errno.ECONNRESET
    with pytest.raises(SchemeError, match=f"{number} has ended: ") as caught:
        data.reopen(RDONLY, USER, 0.0)
    assert caught.value.errno == errno.ENOTCONN

"""Which files hold a conversation, and what the close of the last one means: the access mode decides."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from tests.support.pipe_world import NONBLOCK, RDONLY, RDWR, ROOT, USER, WRONLY, World


@pytest.fixture
def world() -> World:
    return World()


def test_looking_makes_nothing(world: World) -> None:
    for name in ("127.0.0.1:8080", "peer:80", ":8080", "clone"):
        world.scheme.lookup(name, USER)
    assert world.list() == ["README", "stats", "err", "clone"]
    assert world.pipes.engines == []
    assert world.pipes.listeners == {}


def test_octets_go_both_ways_and_fin_is_end_of_file(world: World) -> None:
    handle, _, peer = world.connected()
    assert world.read(handle) is None
    world.write(handle, b"question")
    assert bytes(peer.received) == b"question"
    world.send(peer, b"answer")
    assert world.read(handle, 3) == b"ans"
    assert world.read(handle) == b"wer"
    peer.shutdown(read=False, write=True, now=0)
    assert world.read(handle) == world.read(handle) == b""
    assert handle.fevent(Event.ALL) & (Event.IN | Event.RDHUP | Event.HUP) == Event.IN | Event.RDHUP


def test_socket_closed_with_unread_octets_resets_the_peer(world: World) -> None:
    handle, _, peer = world.connected(RDWR)
    world.send(peer, b"never read")
    world.close(handle)
    with pytest.raises(SchemeError) as caught:
        peer.read(10, 0)
    assert caught.value.errno == errno.ECONNRESET
    assert world.numbers() == []


def test_socket_closed_after_all_was_read_ends_with_fin(world: World) -> None:
    handle, number, peer = world.connected(RDWR)
    world.write(handle, b"last words")
    world.close(handle)
    assert bytes(peer.received) == b"last words"
    assert peer.read(100, 0) == b"last words"
    assert peer.read(100, 0) == b""
    assert world.numbers() == [number]  # it lives on until the peer has closed too
    peer.close(0)
    assert world.numbers() == []


def test_writer_only_discards_what_comes_and_never_resets(world: World) -> None:
    """`echo x >tcp/HOST:PORT` against an echo server."""
    handle, _, peer = world.connected(WRONLY)
    world.write(handle, b"x\n")
    world.send(peer, b"x\n" * 1000)
    assert world.pipes.engines[0].received == b""
    world.close(handle)
    assert world.pipes.engines[0].calls == ["discard True", "close_lingering"]
    world.send(peer, b"late")
    assert peer.read(10, 0) == b"x\n"
    assert peer.read(10, 0) == b""
    peer.close(0)
    assert world.numbers() == []


def test_reader_only_sends_no_fin_at_open_and_a_reset_at_close_when_more_came(world: World) -> None:
    """`head -c 3 <tcp/HOST:PORT` of a server that sends for ever: it must learn of the end."""
    handle, _, peer = world.connected(RDONLY)
    assert peer.read(10, 0) is None
    world.send(peer, b"endless")
    assert world.read(handle, 3) == b"end"
    world.close(handle)
    with pytest.raises(SchemeError) as caught:
        peer.write(memoryview(b"x"), 0)
    assert caught.value.errno == errno.ECONNRESET


def test_closing_one_file_of_two_does_nothing(world: World) -> None:
    handle, number, peer = world.connected(RDWR)
    other = world.open(f"{number}/data", RDWR)
    world.send(peer, b"unread")
    world.close(handle)
    assert world.pipes.engines[0].calls == []
    assert world.read(other) == b"unread"
    world.close(other)
    assert world.pipes.engines[0].calls == ["close"]


@pytest.mark.parametrize("name", ["status", "status.json", "err", "local", "remote", "settings/read_timeout"])
def test_text_files_do_not_hold(world: World, name: str) -> None:
    handle, number, peer = world.connected(RDWR)
    node = world.scheme.lookup(f"{number}/{name}", USER)
    world.close(handle)
    peer.close(0)
    assert world.numbers() == []
    node.read(USER, 0.0)  # type: ignore[attr-defined] # a process that has opened it can still read it


def test_fin_follows_the_last_writer_while_a_reader_stays(world: World) -> None:
    ctl = world.open("clone")
    world.connected(port=80)
    assert world.write(ctl, b"connect 127.0.0.1:80\n")
    number = ctl.name.partition("/")[2]
    peer = world.pipes.listeners["80"].accept(0)
    assert peer is not None
    tx, second, rx = (
        world.open(f"{number}/tx", WRONLY),
        world.open(f"{number}/tx", WRONLY),
        world.open(f"{number}/rx", RDONLY),
    )
    world.write(tx, b"request")
    world.close(tx)
    assert peer.read(100, 0) == b"request"
    assert peer.read(100, 0) is None  # another tx is open
    world.close(second)
    assert peer.read(100, 0) == b""
    world.send(peer, b"answer")  # type: ignore[arg-type]
    assert world.read(rx) == b"answer"
    world.close(rx)
    assert world.numbers() == [0, 1]  # ctl holds it
    world.close(ctl)
    assert "close_lingering" in world.pipes.engines[-1].calls


def test_server_that_read_one_line_never_cuts_its_answer_off(world: World) -> None:
    """`{ read -r request; printf … ; } <n/rx >n/tx` with more of the request unread."""
    listener = world.open(":8080", RDONLY)
    client = world.open("127.0.0.1:8080")
    world.write(client, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    number = world.read(listener).split()[0].decode()  # type: ignore[union-attr]
    rx, tx = world.open(f"{number}/rx", RDONLY), world.open(f"{number}/tx", WRONLY)
    assert world.read(rx, 4) == b"GET "
    world.write(tx, b"HTTP/1.0 200 OK\r\n\r\nhello")
    world.close(rx, tx)
    assert world.read(client) == b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert world.read(client) == b""


def test_reader_gone_while_a_writer_stays_has_the_rest_discarded(world: World) -> None:
    _, number, peer = world.connected(RDWR)
    listener_ctl = world.open("clone")
    world.write(listener_ctl, b"connect 127.0.0.1:8080\n")
    name = listener_ctl.name.partition("/")[2]
    peer = world.pipes.listeners["8080"].accept(0)  # type: ignore[assignment]
    rx, tx = world.open(f"{name}/rx", RDONLY), world.open(f"{name}/tx", WRONLY)
    world.send(peer, b"first")
    world.close(rx)
    world.send(peer, b"more")
    engine = world.pipes.engines[-1]
    assert engine.received == b""
    again = world.open(f"{name}/rx", RDONLY)
    world.send(peer, b"seen")
    assert world.read(again) == b"seen"
    assert engine.calls == ["discard True", "discard False"]
    world.close(again, tx, listener_ctl)
    assert number == 0


def test_dev_fd_joins_and_an_ended_conversation_is_enotconn(world: World) -> None:
    handle, number, peer = world.connected(RDWR)
    joined = handle.reopen(WRONLY, USER, 0.0)
    world.write(joined, b"x")
    world.close(joined)
    assert peer.read(10, 0) == b"x"
    assert peer.read(10, 0) is None  # no FIN: the socket is open
    world.close(handle)
    with pytest.raises(SchemeError) as caught:
        handle.reopen(RDWR, USER, 0.0)
    assert caught.value.errno == errno.ENOTCONN
    assert world.errno_of(f"{number}/data") == errno.ENOTCONN


def test_refused_connect_says_so_and_leaves_nothing(world: World) -> None:
    handle = world.scheme.open("127.0.0.1:9", RDWR, USER, 0.0)
    with pytest.raises(SchemeError) as caught:
        handle.opening(0.0)
    assert caught.value.errno == errno.ECONNREFUSED
    world.close(handle)
    assert world.numbers() == []
    assert world.errno_of("192.0.2.1:80") == errno.EHOSTUNREACH
    assert world.numbers() == []


def test_nonblocking_connect_polls_out_when_connected_and_fails_once(world: World) -> None:
    world.connected()
    world.pipes.hold_connects = True
    good, bad = (world.scheme.open(f"127.0.0.1:{port}", RDWR | NONBLOCK, USER, 0.0) for port in (8080, 9))
    changes: list[str] = []
    good.on_changed = lambda: changes.append("good")
    assert good.fevent(Event.ALL) == bad.fevent(Event.ALL) == 0
    assert world.read(good) is None
    assert world.write(good, b"x") is None
    world.pipes.answer(world.pipes.engines[1])
    world.pipes.answer(world.pipes.engines[2])
    assert changes
    assert good.fevent(Event.ALL) == Event.OUT
    assert bad.fevent(Event.ALL) & (Event.ERR | Event.HUP) == Event.ERR | Event.HUP
    with pytest.raises(SchemeError):
        world.read(bad)
    assert world.read(bad) == b""
    assert "RST" in world.text(f"{bad.name.partition('/')[2]}/err")


def test_interrupted_connect_is_aborted(world: World) -> None:
    world.pipes.hold_connects = True
    handle = world.scheme.open("127.0.0.1:8080", RDWR, USER, 0.0)
    assert handle.opening(0.0)
    handle.interrupted(0.0)
    assert world.pipes.engines[0].calls == ["abort"]
    world.close(handle)
    assert world.numbers() == []


def test_interrupted_open_goes_on_and_opens_when_repeated(world: World) -> None:
    world.open(":8080", RDONLY)
    world.pipes.hold_connects = True
    handle = world.scheme.open("127.0.0.1:8080", RDWR, USER, 0.0)
    assert handle.opening(0.0)
    assert handle.open_interrupted(0.0)
    assert world.pipes.engines[0].calls == []
    world.pipes.answer(world.pipes.engines[0])
    handle.open_repeated(0.1)
    assert not handle.opening(0.1)
    assert world.pipes.engines[0].calls == []


@pytest.mark.parametrize("connected", [False, True])
def test_abandoned_open_is_reset_also_when_it_has_connected(world: World, *, connected: bool) -> None:
    listener = world.open(":8080", RDONLY)
    world.pipes.hold_connects = True
    handle = world.scheme.open("127.0.0.1:8080", RDWR, USER, 0.0)
    assert handle.open_interrupted(0.0)
    if connected:
        world.pipes.answer(world.pipes.engines[0])
    handle.abandon_open(3.0)
    assert world.pipes.engines[0].calls == ["abort"]
    world.close(handle, listener)
    assert world.numbers() == []


def test_interrupted_accept_is_not_continued(world: World) -> None:
    assert not world.open(":8080,accept").open_interrupted(0.0)


def test_interrupted_write_of_a_connected_one_aborts_nothing(world: World) -> None:
    handle, _, _ = world.connected()
    handle.interrupted(0.0)
    assert world.pipes.engines[0].calls == []


def test_accepted_and_never_opened_waits_while_the_listener_lives_then_30_s(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    client = world.open("127.0.0.1:8080")
    number = int(world.read(listener).split()[0])  # type: ignore[union-attr]
    world.pass_time(1000.0)
    assert number in world.numbers()
    world.close(listener)
    world.pass_time(29.9)
    assert number in world.numbers()
    world.pass_time(0.2)
    assert world.read(client) == b""
    world.close(client)
    assert world.numbers() == []
    assert world.timers.pending == 0


def test_one_opened_in_time_is_kept(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    world.open("127.0.0.1:8080")
    number = int(world.read(listener).split()[0])  # type: ignore[union-attr]
    world.close(listener)
    world.pass_time(20.0)
    data = world.open(f"{number}/data")
    world.pass_time(100.0)
    assert world.read(data) is None
    assert world.timers.pending == 0


def test_tx_alone_waits_for_a_reader_and_then_ends_without_a_reset(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    client = world.open("127.0.0.1:8080")
    number = int(world.read(listener).split()[0])  # type: ignore[union-attr]
    tx = world.open(f"{number}/tx", WRONLY)
    world.write(tx, b"greeting")
    world.write(client, b"unread")
    world.close(tx)
    rx = world.open(f"{number}/rx", RDONLY)
    assert world.read(rx, 2) == b"un"
    world.close(rx)
    assert world.read(client) == b"greeting"
    assert world.read(client) == b""


def test_the_end_of_a_listener_resets_no_opened_conversation(world: World) -> None:
    listener = world.open(":8080", RDONLY)
    client = world.open("127.0.0.1:8080")
    waiting = world.open("127.0.0.1:8080")
    number = int(world.read(listener).split()[0])  # type: ignore[union-attr]
    data = world.open(f"{number}/data")
    world.close(listener)
    world.write(data, b"still here")
    assert world.read(client) == b"still here"
    with pytest.raises(SchemeError):
        world.read(waiting)  # never accepted
    assert world.pipes.listeners == {}


def test_numbers_are_small_and_reused_late(world: World) -> None:
    seen = []
    for _ in range(70):
        handle = world.open("clone")
        seen.append(world.read(handle))
        world.close(handle)
    assert seen[:65] == [b"%d\n" % number for number in range(65)]
    assert seen[65:] == [b"%d\n" % number for number in range(5)]


def test_end_of_the_mount_closes_all_in_order_and_closing_again_does_nothing(world: World) -> None:
    handle, _, peer = world.connected(RDWR)
    listener = world.open(":9090", RDONLY)
    world.write(handle, b"last")
    assert not world.scheme.shutdown(0.0)
    assert peer.read(10, 0) == b"last"
    assert peer.read(10, 0) == b""
    assert "9090" not in world.pipes.listeners
    calls = list(world.pipes.engines[0].calls)
    peer.close(0)
    assert world.scheme.shutdown(0.0)
    world.close(handle, listener)
    assert world.pipes.engines[0].calls == calls
    assert world.errno_of("0/data") in (errno.ENOTCONN, errno.ENOENT)


def test_status_counts_readers_and_writers_and_names_the_owner(world: World) -> None:
    handle, number, _ = world.connected(RDONLY)
    shown = world.status(number)
    assert next(iter(shown)) == "state"
    assert (shown["state"], shown["owner"]) == ("ESTABLISHED", "1000")
    assert (shown["readers"], shown["writers"]) == ("1", "0")
    assert handle.name == f"pipe/{number}"
    assert world.open("clone", caller=ROOT).name == f"pipe/{number + 1}"

"""The verbs of ctl."""

from __future__ import annotations

import errno
import tracemalloc

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event, Handle, TextFile
from tests.support.pipe_world import RDONLY, ROOT, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ctl(world: World) -> Handle:
    world.open(":8080", RDONLY)
    return world.open("clone")


def errno_of(world: World, handle: Handle, command: str) -> int:
    with pytest.raises(SchemeError) as caught:
        world.write(handle, command.encode())
    assert world.text(f"{handle.name.partition('/')[2]}/err") == f"{caught.value.sentence}\n"
    return caught.value.errno


def test_number_is_given_once_per_open(world: World, ctl: Handle) -> None:
    assert world.read(ctl, 1) == b"1"
    assert world.read(ctl, 1) == b"\n"
    assert world.read(ctl) == b""
    again = world.open("1/ctl")
    assert world.read(again) == b"1\n"
    assert ctl.fevent(Event.IN | Event.OUT) == Event.IN | Event.OUT


def test_connect_waits_and_is_writable_when_done(world: World, ctl: Handle) -> None:
    world.pipes.hold_connects = True
    assert ctl.would_block == errno.EINPROGRESS
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") is None
    assert ctl.fevent(Event.OUT) == 0
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") is None
    assert len(world.pipes.engines) == 1
    world.pipes.answer(world.pipes.engines[0])
    assert ctl.fevent(Event.OUT) == Event.OUT
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") == 23
    assert errno_of(world, ctl, "connect 127.0.0.1:8080") == errno.EISCONN


def test_ctl_is_writable_while_the_data_is_not(world: World, ctl: Handle) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    data = world.open("1/data")
    assert world.write(data, bytes(100_000)) == 65536
    assert data.fevent(Event.OUT) == 0
    assert ctl.fevent(Event.OUT) == Event.OUT


def test_refused_connect_is_the_writes_error(world: World, ctl: Handle) -> None:
    assert errno_of(world, ctl, "connect 127.0.0.1:9") == errno.ECONNREFUSED


def test_connect_that_cannot_begin_may_be_tried_again(world: World, ctl: Handle) -> None:
    for command, number in (
        ("connect 192.0.2.1:8080", errno.EHOSTUNREACH),
        ("connect nonsense", errno.EINVAL),
        ("connect unknown-host:80", errno.ENOENT),
        ("connect :80", errno.EINVAL),
    ):
        assert errno_of(world, ctl, command) == number
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") == 23


def test_interrupted_connect_is_aborted(world: World, ctl: Handle) -> None:
    world.pipes.hold_connects = True
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") is None
    ctl.interrupted(0.0)
    assert world.pipes.engines[0].calls == ["abort"]


def test_several_verbs_in_one_write(world: World, ctl: Handle) -> None:
    assert world.write(ctl, b"bind 127.0.0.1:77\n\nread_timeout 2\nconnect 127.0.0.1:8080\nhop_limit 9") == 68
    assert world.text("1/local") == "127.0.0.1:77\n"
    assert world.text("1/settings/hop_limit") == "9\n"
    assert world.open("1/data").read_timeout == 2.0


def test_error_in_a_later_verb_tells_how_much_was_done(world: World, ctl: Handle) -> None:
    first = b"read_timeout 2\n"
    assert ctl.write(memoryview(first + b"nosuch verb\n"), 0.0) == len(first)
    assert errno_of(world, ctl, "nosuch verb\n") == errno.EINVAL


@pytest.mark.parametrize(
    ("command", "number", "words"),
    [
        ("frobnicate", errno.EINVAL, "there is no verb or setting 'frobnicate'; there are: connect ADDRESS, "),
        ("shutdown sideways", errno.EINVAL, "shutdown takes read, write or both, not 'sideways'"),
        ("shutdown", errno.EINVAL, "shutdown takes read, write or both, not ''"),
        ("hop_limit 999", errno.EINVAL, "hop_limit: '999' is "),
        ("room 5", errno.EACCES, "room is read-only"),
        ("announce :80", errno.EISCONN, "pipe/1 is connected or announced already"),
        ("bind :80", errno.EINVAL, "pipe/1 is connected or announced already"),
    ],
)
def test_bad_verbs_of_a_connected_one(world: World, ctl: Handle, command: str, number: int, words: str) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    assert errno_of(world, ctl, command) == number
    assert words in world.text("1/err")


@pytest.mark.parametrize("command", ["shutdown write", "hangup", "close"])
def test_verbs_that_need_a_connection(world: World, ctl: Handle, command: str) -> None:
    assert errno_of(world, ctl, command) == errno.ENOTCONN


def test_bad_verb_lists_what_is_allowed(world: World, ctl: Handle) -> None:
    errno_of(world, ctl, "frobnicate")
    text = world.text("1/err")
    for verb in ("connect", "announce", "bind", "shutdown", "hangup", "close", "read_timeout"):
        assert verb in text


def test_not_utf8_is_einval(world: World, ctl: Handle) -> None:
    with pytest.raises(SchemeError) as caught:
        world.write(ctl, b"\xff\xfe\n")
    assert caught.value.errno == errno.EINVAL


def test_shutdown_write_hangup_and_close(world: World, ctl: Handle) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    peer = world.pipes.listeners["8080"].accept(0.0)
    assert peer is not None
    world.write(ctl, b"shutdown write\n")
    assert peer.read(10, 0.0) == b""
    peer.write(memoryview(b"answer"), 0.0)
    rx = world.open("1/rx", RDONLY)
    assert world.read(rx) == b"answer"
    world.write(ctl, b"hangup\n")
    with pytest.raises(SchemeError) as caught:
        peer.read(10, 0.0)
    assert caught.value.errno == errno.ECONNRESET
    world.close(rx, ctl)
    assert world.numbers() == [0]


def test_close_ends_it_though_files_are_open(world: World, ctl: Handle) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    peer = world.pipes.listeners["8080"].accept(0.0)
    assert peer is not None
    world.open("1/data")
    world.write(ctl, b"close\n")
    assert peer.read(10, 0.0) == b""


def test_connect_held_by_ctl_alone_waits_for_an_open(world: World, ctl: Handle) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    assert world.read(ctl) == b"1\n"
    world.close(ctl)
    assert 1 in world.numbers()
    data = world.open("1/data")
    world.write(data, b"x")
    world.close(data)
    assert world.pipes.engines[0].calls == ["close"]


def test_err_tells_the_latest_failure(world: World, ctl: Handle) -> None:
    assert errno_of(world, ctl, "connect 127.0.0.1:9") == errno.ECONNREFUSED
    assert errno_of(world, ctl, "fly") == errno.EINVAL
    engine = world.scheme.conversations.get(1).engine
    engine.fail(errno.ECONNRESET, "RST from 127.0.0.1:9")
    assert world.text("1/err") == "RST from 127.0.0.1:9\n"


def test_connect_whose_number_was_not_read_ends_with_its_ctl(world: World, ctl: Handle) -> None:
    # It stayed for half a minute, though no caller could have known its number.
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    world.close(ctl)
    assert world.pipes.engines[0].calls == ["close"]


def test_another_address_may_be_tried_after_a_refusal(world: World, ctl: Handle) -> None:
    # It was "connected already", as nothing ever could be again.
    assert errno_of(world, ctl, "connect 127.0.0.1:9") == errno.ECONNREFUSED
    assert world.status(1)["state"] == "CLOSED"
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") == 23
    assert world.text("1/remote") == "127.0.0.1:8080\n"
    assert errno_of(world, ctl, "connect 127.0.0.1:8080") == errno.EISCONN


def test_a_listener_is_not_shown_as_the_connect_that_failed_before(world: World, ctl: Handle) -> None:
    assert errno_of(world, ctl, "connect 127.0.0.1:9") == errno.ECONNREFUSED
    world.write(ctl, b"announce :8081\n")
    assert world.status(1)["state"] == "LISTEN"
    assert world.text("1/local") == "0.0.0.0:8081\n"
    assert "hop_limit" not in world.list("1/settings")
    conversation = world.scheme.conversations.get(1)
    assert conversation is not None
    version = world.scheme.lookup("1/status", ROOT).version  # type: ignore[attr-defined]
    world.pipes.engines[0].on_changed()
    assert world.scheme.lookup("1/status", ROOT).version == version  # type: ignore[attr-defined]


def test_a_second_connect_is_not_told_what_became_of_the_first(world: World, ctl: Handle) -> None:
    world.pipes.hold_connects = True
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") is None
    assert errno_of(world, world.open("1/ctl"), "connect 127.0.0.1:9") == errno.EALREADY


def test_a_connect_after_one_that_did_not_wait_asks_what_became_of_it(world: World, ctl: Handle) -> None:
    # It was EALREADY for ever.
    world.pipes.hold_connects = True
    assert world.write(ctl, b"connect 127.0.0.1:8080\n") is None
    world.pipes.answer(world.pipes.engines[0])
    assert errno_of(world, ctl, "connect 127.0.0.1:9") == errno.EISCONN
    other = world.open("clone")
    assert world.write(other, b"connect 127.0.0.1:9\n") is None
    world.pipes.answer(world.pipes.engines[1])
    with pytest.raises(SchemeError) as caught:
        world.write(other, b"connect 127.0.0.1:8080\n")
    assert caught.value.errno == errno.ECONNREFUSED
    world.pipes.hold_connects = False
    assert world.write(other, b"connect 127.0.0.1:8080\n") == 23


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("bind nonsense", "bind: 'nonsense' has no port; an address is HOST:PORT"),
        ("connect 127.0.0.1:8080,accept", "there is no option 'accept'; there are: events, from, "),
        (
            "announce :8081,from=:5000",
            "'from' applies only to connecting addresses; listening addresses take: events, ",
        ),
        ("connect :80", "connect needs a host"),
        ("close now", "close takes no argument, not 'now'"),
        ("hangup 1", "hangup takes no argument, not '1'"),
    ],
)
def test_what_would_have_no_effect_is_refused(world: World, ctl: Handle, command: str, words: str) -> None:
    assert errno_of(world, ctl, command) == errno.EINVAL
    assert words in world.text("1/err")


def test_bind_is_not_for_announce(world: World, ctl: Handle) -> None:
    world.write(ctl, b"bind :5000\n")
    assert errno_of(world, ctl, "announce :8081") == errno.EINVAL
    assert world.text("1/err") == "bind applies only to connect; announce names its own address\n"


def test_a_poll_of_a_text_is_woken_by_ctl(world: World, ctl: Handle) -> None:
    def versions(*names: str) -> list[int]:
        return [node.version for name in names if isinstance(node := world.scheme.lookup(f"1/{name}", ROOT), TextFile)]

    ends, settings = ("local", "remote", "status", "status.json"), ("settings/hop_limit", "settings/hop_limit.raw")
    before = versions(*ends)
    world.write(ctl, b"connect 127.0.0.1:8080\n")
    assert all(new > old for new, old in zip(versions(*ends), before, strict=True))
    before = versions(*settings, "settings/read_timeout")
    world.write(ctl, b"hop_limit 9\n")
    assert versions(*settings, "settings/read_timeout") == [before[0] + 1, before[1] + 1, before[2]]
    errno_before = versions("err")
    errno_of(world, ctl, "dance")
    assert versions("err") > errno_before


def test_events_may_be_asked_for_by_connect(world: World, ctl: Handle) -> None:
    world.write(ctl, b"connect 127.0.0.1:8080,events\n")
    world.write(world.open("1/data"), b"hello")
    event_log = world.scheme.conversations.get(1).event_log  # type: ignore[union-attr]
    assert event_log is not None
    assert b"write of 5: 5" in event_log.ring.read(0, 1000)[0]


def test_err_tells_why_a_file_could_not_be_opened_or_read(world: World, ctl: Handle) -> None:
    # It kept an older failure, or nothing.
    with pytest.raises(SchemeError):
        world.read(world.open("1/data"))
    assert world.text("1/err") == "pipe/1 is not connected\n"
    with pytest.raises(SchemeError):
        world.open("1/listen")
    assert world.text("1/err") == "pipe/1 is not announced\n"


def test_words_may_be_separated_by_any_white_space(world: World, ctl: Handle) -> None:
    world.write(ctl, b"\tread_timeout \t 2 \r\n")
    assert world.text("1/settings/read_timeout") == "2\n"


def test_a_line_as_long_as_nothing_is(world: World, ctl: Handle) -> None:
    # The sentence quoted all of it.
    assert errno_of(world, ctl, "x" * 100_000) == errno.EINVAL
    assert world.text("1/err") == "the line is longer than 4096 octets\n"


def test_err_tells_why_a_setting_was_not_taken(world: World, ctl: Handle) -> None:
    with pytest.raises(SchemeError):
        world.set("1/settings/read_timeout", "soon")
    assert world.text("1/err") == "read_timeout: 'soon' is not a number of seconds\n"


def test_a_line_copies_none_of_the_many_that_follow(world: World, ctl: Handle) -> None:
    data = b"\n" * (1 << 20)
    tracemalloc.start()
    assert ctl.write(memoryview(data), 0.0) == 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 16


def test_the_longest_line_and_its_newline_are_taken(world: World, ctl: Handle) -> None:
    line = b"read_timeout 2".ljust(4096) + b"\n"
    assert ctl.write(memoryview(line + b"read_timeout 3\n"), 0.0) == len(line)
    assert world.text("1/settings/read_timeout") == "2\n"

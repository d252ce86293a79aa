"""The tree of a protocol: names, addresses, options, README, err, modes, status and settings."""

from __future__ import annotations

import errno
import json
import struct

import pytest

from schemefs.conversation.control import HELP
from schemefs.conversation.options import FILE_OPTIONS
from schemefs.errors import SchemeError
from schemefs.fs.permissions import permits
from schemefs.scheme import Caller, Event, TextFile
from schemefs.shares import CONVERSATIONS
from tests.support.pipe_world import OTHER, RDONLY, RDWR, USER, WRONLY, World

FILES = [
    "ctl",
    "data",
    "rx",
    "tx",
    "listen",
    "accept",
    "local",
    "remote",
    "status",
    "status.json",
    "err",
    "events",
    "events.json",
    "capture.pcapng",
    "settings",
]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("nothing", errno.ENOENT),
        ("99", errno.ENOENT),
        ("007", errno.ENOENT),
        ("٣", errno.ENOENT),
        ("host:", errno.EINVAL),
        ("1.2.3:80", errno.EINVAL),
        ("a:b:c", errno.EINVAL),
        ("127.0.0.1:80,nosuch", errno.EINVAL),
        ("127.0.0.1:80,", errno.EINVAL),
        ("127.0.0.1:80,read_timeout=x", errno.EINVAL),
        ("127.0.0.1:80,read_timeout=-1", errno.EINVAL),
        ("127.0.0.1:80,accept,accept", errno.EINVAL),
    ],
)
def test_bad_names_fail_at_lookup_with_a_sentence(world: World, name: str, number: int) -> None:
    with pytest.raises(SchemeError) as caught:
        world.scheme.lookup(name, USER)
    assert caught.value.errno == number
    assert len(caught.value.sentence) > 10


def test_unknown_option_is_told_which_there_are(world: World) -> None:
    with pytest.raises(SchemeError, match="accept, events, from, listen, read_timeout, write_timeout"):
        world.scheme.lookup("127.0.0.1:80,nodelya", USER)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            ":8080,from=:5000",
            "'from' applies only to connecting addresses; listening addresses take: accept, events, listen, read_",
        ),
        ("127.0.0.1:8080,accept,from=:5000", "'from' applies only to connecting addresses"),
        (":8080,accept=1", "accept: the option takes no value, not '1'"),
        ("127.0.0.1:8080,events=no", "events: the option takes no value, not 'no'"),
        ("127.0.0.1:8080,read_timeout=soon", "read_timeout: 'soon' is not a number of seconds"),
    ],
)
def test_option_that_would_have_no_effect_is_refused(world: World, name: str, words: str) -> None:
    with pytest.raises(SchemeError) as caught:
        world.scheme.lookup(name, USER)
    assert caught.value.errno == errno.EINVAL
    assert words in caught.value.sentence


def test_setting_that_is_gone_says_so(world: World) -> None:
    # After a failed connect another may begin, of which the settings are not known yet.
    world.open(":8080", RDONLY)
    handle = world.open("127.0.0.1:8080")
    node = world.scheme.lookup("1/settings/hop_limit", USER)
    assert isinstance(node, TextFile)
    handle.conversation.engine = None  # type: ignore[attr-defined]
    with pytest.raises(SchemeError, match="pipe/1 no longer has the setting hop_limit"):
        node.read(USER, 0.0)


@pytest.mark.parametrize("name", ["127.0.0.1:8080", "127.0.0.1!8080", "peer:8080", "peer!8080", "127.0.0.1:http-alt"])
def test_addresses_in_every_notation_connect(world: World, name: str) -> None:
    world.open(":8080", RDONLY)
    if name.endswith("http-alt"):
        with pytest.raises(SchemeError):
            world.open(name)
    else:
        assert world.open(name).fevent(Event.OUT)


def test_host_never_becomes_a_listener_and_no_host_never_a_connect(world: World) -> None:
    assert world.errno_of("127.0.0.1:8080") == errno.ECONNREFUSED
    ctl = world.open("clone")
    with pytest.raises(SchemeError) as caught:
        world.write(ctl, b"connect :8080")
    assert caught.value.errno == errno.EINVAL


def test_conversation_has_its_files_and_they_are_its_owners(world: World) -> None:
    _, number, _ = world.connected()
    assert world.list(str(number)) == FILES
    directory = world.scheme.lookup(str(number), OTHER)
    assert (directory.mode, directory.uid, directory.gid) == (0o700, USER.uid, USER.gid)
    modes = {name: world.scheme.lookup(f"{number}/{name}", USER).mode for name in FILES}
    assert modes == {
        "ctl": 0o600, "data": 0o600, "rx": 0o400, "tx": 0o200, "listen": 0o600, "accept": 0o600, "local": 0o400,
        "remote": 0o400, "status": 0o400, "status.json": 0o400, "err": 0o400, "events": 0o400,
        "events.json": 0o400,
        "capture.pcapng": 0o600, "settings": 0o700,
    }  # fmt: skip
    assert all(world.scheme.lookup(f"{number}/{name}", USER).uid == USER.uid for name in FILES)
    assert not permits(directory, OTHER, 1)


def test_same_file_is_the_same_node(world: World) -> None:
    _, number, _ = world.connected()
    for name in (f"{number}", f"{number}/status", f"{number}/settings", f"{number}/settings/hop_limit", "README"):
        assert world.scheme.lookup(name, USER) is world.scheme.lookup(name, USER)
    assert world.scheme.lookup("127.0.0.1:80", USER) is not world.scheme.lookup("127.0.0.1:80", USER)


def test_readme_names_every_file_option_and_verb(world: World) -> None:
    text = world.text("README")
    for name in (*world.list()[1:], *FILES, *HELP, *FILE_OPTIONS, "from"):
        assert name in text, name
    assert text.startswith("pipes: connections inside one process")
    assert "grep -r" in text


def test_stats_are_lines(world: World) -> None:
    world.connected()
    assert world.text("stats") == "connects=1\nlisteners=1\n"


def test_local_remote_and_status(world: World) -> None:
    _, number, peer = world.connected()
    assert world.text(f"{number}/local") == "127.0.0.1:49152\n"
    assert world.text(f"{number}/remote") == "127.0.0.1:8080\n"
    lines = world.text(f"{number}/status").splitlines()
    assert lines[0] == "state=ESTABLISHED"
    as_json = json.loads(world.text(f"{number}/status.json"))
    assert list(as_json) == [line.partition("=")[0] for line in lines]
    node = world.scheme.lookup(f"{number}/status.json", USER)
    version = node.version  # type: ignore[attr-defined]
    world.send(peer, b"x")
    assert node.version > version  # type: ignore[attr-defined]


def test_unconnected_conversation_shows_what_it_is(world: World) -> None:
    world.open("clone")
    assert world.status(0)["state"] == "UNCONNECTED"
    assert world.text("0/local") == world.text("0/remote") == "\n"
    data = world.open("0/data")
    assert data.fevent(Event.ALL) == Event.OUT | Event.HUP
    with pytest.raises(SchemeError) as caught:
        world.read(data)
    assert caught.value.errno == errno.ENOTCONN


def test_options_set_the_timeouts_and_files_change_them(world: World) -> None:
    world.connected()
    handle = world.open("127.0.0.1:8080,read_timeout=1.5,write_timeout=0,from=127.0.0.1:99")
    assert (handle.read_timeout, handle.write_timeout) == (1.5, 0.0)
    number = handle.name.partition("/")[2]
    assert world.text(f"{number}/local") == "127.0.0.1:99\n"
    assert world.text(f"{number}/settings/read_timeout") == "1.5\n"
    world.set(f"{number}/settings/read_timeout", "1234567.25\n")
    assert handle.read_timeout == 1234567.25
    assert world.text(f"{number}/settings/read_timeout") == "1234567.25\n"
    world.set(f"{number}/settings/write_timeout", "0.000001")
    assert world.text(f"{number}/settings/write_timeout") == "0.000001\n"


def test_settings_are_listed_with_redox_binary_forms(world: World) -> None:
    world.connected()
    assert world.list("0/settings") == [
        "read_timeout", "read_timeout.raw", "write_timeout", "write_timeout.raw", "hop_limit", "hop_limit.raw", "room",
    ]  # fmt: skip
    assert world.scheme.lookup("0/settings/room", USER).mode == 0o400
    for name in ("nosuch", "room.raw", "nosuch.raw", "hop_limit.", ".raw"):
        with pytest.raises(SchemeError) as caught:
            world.scheme.lookup(f"0/settings/{name}", USER)
        assert caught.value.errno == errno.ENOENT
        assert (
            caught.value.sentence
            == f"there is no setting {name!r}; there are: read_timeout, write_timeout, hop_limit, room"
        )


@pytest.mark.parametrize(
    ("name", "value"), [("hop_limit", "0"), ("hop_limit", "256"), ("hop_limit", "x"), ("read_timeout", "-1")]
)
def test_bad_setting_is_einval_and_changes_nothing(world: World, name: str, value: str) -> None:
    world.connected()
    before = world.text(f"0/settings/{name}")
    with pytest.raises(SchemeError) as caught:
        world.set(f"0/settings/{name}", value)
    assert caught.value.errno == errno.EINVAL
    assert world.text(f"0/settings/{name}") == before


def test_raw_hop_limit_is_one_octet(world: World) -> None:
    world.connected()
    world.set("0/settings/hop_limit.raw", b"\x05")
    assert world.text("0/settings/hop_limit") == "5\n"
    assert world.text("0/settings/hop_limit.raw") == "\x05"
    with pytest.raises(SchemeError) as caught:
        world.set("0/settings/hop_limit.raw", b"")
    assert caught.value.errno == errno.EIO


def test_raw_timeouts_are_timespecs(world: World) -> None:
    handle, _, _ = world.connected()
    path = "0/settings/read_timeout.raw"
    assert world.text(path) == ""
    world.set(path, struct.pack("=qi4x", 2, 500_000_000))
    assert handle.read_timeout == 2.5
    raw = world.scheme.lookup(path, USER)
    assert raw.read(USER, 0.0) == struct.pack("=qi4x", 2, 500_000_000)  # type: ignore[attr-defined]
    world.set("0/settings/read_timeout", "0.9999999999")
    assert struct.unpack("=qi4x", raw.read(USER, 0.0)) == (1, 0)  # type: ignore[attr-defined]
    with pytest.raises(SchemeError) as caught:
        world.set(path, struct.pack("=qi4x", -1, 0))
    assert caught.value.errno == errno.EINVAL
    world.set(path, b"short")
    assert handle.read_timeout == 0.0


def test_rx_cannot_be_written_nor_tx_read(world: World) -> None:
    world.connected()
    for name, flags in (("rx", 2), ("tx", 4)):
        assert not permits(world.scheme.lookup(f"0/{name}", USER), USER, flags)
    rx, tx = world.open("0/rx", RDONLY), world.open("0/tx", WRONLY)
    assert (rx.reads, rx.writes, tx.reads, tx.writes) == (True, False, False, True)  # type: ignore[attr-defined]
    data = world.open("0/data", RDWR)
    assert data.queued() == 0


def test_one_user_has_so_many_conversations(world: World) -> None:
    handles = [world.open("clone") for _ in range(CONVERSATIONS)]
    for path in ("clone", ":8080", "127.0.0.1:8080", "127.0.0.1:8080,accept"):
        with pytest.raises(SchemeError) as raised:
            world.open(path)
        assert raised.value.errno == errno.EMFILE
        assert raised.value.sentence == f"uid 1000 has {CONVERSATIONS} conversations; no more are allowed"
    world.close(world.open("clone", caller=OTHER), handles.pop())
    handles.append(world.open("clone"))
    root = [world.open("clone", caller=Caller(0)) for _ in range(CONVERSATIONS + 1)]
    world.close(*handles, *root)
    assert world.scheme.context.shares.conversations.taken(1000) == 0


def test_accept_beyond_the_share_is_emfile_and_the_connection_waits(world: World) -> None:
    listener = world.open(":8080")
    peer = world.open("127.0.0.1:8080", caller=OTHER)
    handles = [world.open("clone") for _ in range(CONVERSATIONS - 1)]
    with pytest.raises(SchemeError) as raised:
        world.read(listener)
    assert raised.value.errno == errno.EMFILE
    assert listener.fevent(Event.IN) == Event.IN
    world.close(handles.pop())
    line = world.read(listener)
    assert line is not None and line.split()[2] == b"127.0.0.1:8080"
    world.close(peer, listener, *handles)

"""The tls scheme: addresses and options, over tcp over lo, without a mount."""

from __future__ import annotations

import errno
import os
import random
from collections import deque
from pathlib import Path

import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.buffer import joined
from schemefs.scheme import Caller, FilesWanted, SchemeContext
from schemefs.timers import Timers
from schemes.tcp import TcpScheme
from schemes.tcp.connection import Connection
from schemes.tcp.scheme import TcpProtocol
from schemes.tls import TlsScheme
from schemes.tls.listener import MAX_FROM_ONE, MAX_HANDSHAKING, MAX_WAITING, TlsListener
from tests.support.ip_host import IpHost
from tests.support.tls_certificates import AllFiles, Authority

ROOT, USER = Caller(0, files=AllFiles()), Caller(1000)


class Machine(IpHost):
    """One host with programs that communicate through lo."""

    def __init__(self) -> None:
        super().__init__()
        names = Names("127.0.0.1 here\n127.0.0.1 several\n127.0.0.2 several\n")
        context = SchemeContext(self.timers, random.Random(1), Config(), names, LogRings(lambda: 0.0))
        context.services["ip"] = self.network
        context.tree.schemes["tcp"] = TcpScheme(context)
        self.scheme = TlsScheme(context)

    def open(self, path, flags=os.O_RDWR, caller=ROOT):
        handle = self.scheme.open(path, flags, caller, 0.0)
        self.settle()
        return handle

    def settle(self) -> None:
        for _ in range(50):
            self.pump(0.0)
            self.until(0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("here", "here", "several")
    return made


def quoted(path: Path) -> str:
    return str(path).replace("/", "%2F")


def refused(machine, path, caller=ROOT) -> SchemeError:
    with pytest.raises(SchemeError) as raised:
        machine.open(path, caller=caller)
    return raised.value


@pytest.mark.parametrize("host", ["here", "several"])  # the second has two addresses, so several connects compete
def test_the_certificate_must_have_the_name_of_the_path(files, host):
    machine = Machine()
    listener = machine.open(f":https,cert={quoted(files.folder / 'here.pem')}")
    client = machine.open(f"{host}:https,ca={quoted(files.ca)}")
    assert not client.opening(0.0)
    line = bytes(joined(listener.read(100, 0.0))).decode()
    server = machine.scheme.open(f"{line.split()[0]}/data", os.O_RDWR, ROOT, 0.0)
    client.write(memoryview(b"question"), 0.0)
    machine.settle()
    assert bytes(joined(server.read(100, 0.0))) == b"question"
    assert machine.scheme.protocol.stats() == {"handshakes": 2, "handshakes_failed": 0}


def test_a_certificate_for_another_name_is_refused(files):
    machine = Machine()
    machine.open(f":8443,cert={quoted(files.folder / 'here.pem')}")
    client = machine.open(f"127.0.0.1:8443,ca={quoted(files.ca)}")
    with pytest.raises(SchemeError) as caught:
        client.opening(0.0)
    assert caught.value.errno == errno.EPROTO
    assert machine.open(f"127.0.0.1:8443,ca={quoted(files.ca)},sni=here").opening(0.0) is False


@pytest.mark.parametrize("path", ["here.:8443", "here:8443,sni=here."])
def test_the_final_dot_of_a_host_is_not_part_of_its_name(files, path):
    machine = Machine()
    machine.open(f":8443,cert={quoted(files.folder / 'here.pem')}")
    assert machine.open(f"{path},ca={quoted(files.ca)}").opening(0.0) is False


@pytest.mark.parametrize("path", ["here:443,ca=%2Fca.pem,cert=%2Fcert.pem", ":443,ca=%2Fca.pem,cert=%2Fcert.pem"])
def test_files_are_requested_before_a_conversation_starts(path):
    machine = Machine()
    with pytest.raises(FilesWanted) as wanted:
        machine.open(path, caller=USER)
    assert wanted.value.names == ["/ca.pem", "/cert.pem"]
    assert not list(machine.scheme.conversations)


def test_a_ctl_requests_the_files_of_its_verb(files):
    machine = Machine()
    ctl = machine.open("clone", caller=USER)
    line = memoryview(f"announce :8443,cert={files.folder / 'here.pem'}\n".encode())
    with pytest.raises(FilesWanted) as wanted:
        ctl.write(line, 0.0)
    assert wanted.value.names == [str(files.folder / "here.pem")]
    ctl.files = AllFiles()
    assert ctl.write(line, 0.0) == len(line)
    assert not ctl.files


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("here:443,ca=relative.pem", "'relative.pem' is not an absolute path"),
        ("here:443,verify=maybe", "verify: 'maybe' is neither yes nor no"),
        ("here:443,alpn=", "'' is not a list of protocols"),
        ("here:443,sni=a b", "host name"),
        ("here:443,sni=.here", "host name"),
        (f"here:443,sni={'x' * 64}", "host name"),
        ("here:443,sni=.", "host name"),
        ("here:nosuchservice", "service"),
        (":8443", "cert=FILE"),
        ("here:443,unknown", "option"),
        ("here:443,key=%2Fkey.pem", "key= has no cert=; a key needs its certificate"),
    ],
)
def test_a_malformed_path_is_einval_with_a_sentence(path, words):
    refusal = refused(Machine(), path)
    assert refusal.errno == errno.EINVAL
    assert words in refusal.sentence


def test_failures_of_tcp_are_failures_of_tls():
    machine = Machine()
    client = machine.open("here:9,verify=no")
    with pytest.raises(SchemeError) as caught:
        client.opening(0.0)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_listener_counts_failed_handshakes_and_continues(files):
    machine = Machine()
    listener = machine.open(f":8443,cert={quoted(files.folder / 'here.pem')}")
    plain = machine.scheme.context.tree.schemes["tcp"].open("here:8443", os.O_RDWR, ROOT, 0.0)
    machine.settle()
    plain.write(memoryview(b"GET / HTTP/1.0\r\n\r\n"), 0.0)
    machine.settle()
    shown = machine.scheme.conversations.get(0).listener.status(0.0)
    assert (shown["handshakes_failed"], shown["handshaking"]) == (1, 0)
    assert "http request" in shown["last_failure"]
    machine.open(f"here:8443,ca={quoted(files.ca)}")
    assert listener.read(100, 0.0)


def test_a_connection_that_was_reset_after_its_handshake_is_accepted():
    """Both have happened when the listener looks: it was counted as a failed handshake, and its data was lost."""

    class Stream:
        remote = "127.0.0.1:49152"

    class Below:
        """One connection to accept."""

        local = "127.0.0.1:8443"

        def __init__(self) -> None:
            self.streams = [Stream()]

        def accept(self, _now):
            return self.streams.pop() if self.streams else None

    class Engine:
        established, error = True, "RST from 127.0.0.1:49152 in state ESTABLISHED"

    timers = Timers()
    below, engine = Below(), Engine()
    listener = TlsListener(below, lambda _stream, _now: engine, timers)
    below.on_changed()
    timers.on_deadline(0.0)
    assert listener.pending() == 1
    assert (listener.failed, listener.accept(0.0)) == (0, engine)


class Strangers:
    """A tcp listener: the test says which connections come. Satisfies `ListenerEngine` as far as it is used."""

    local = "10.0.2.15:8443"

    def __init__(self) -> None:
        self.timers = Timers()
        self.streams: deque[Stranger] = deque()
        self.wrapped: list[Stranger] = []
        self.listener = TlsListener(self, self._wrap, self.timers)

    def accept(self, _now: float) -> Stranger | None:
        return self.streams.popleft() if self.streams else None

    def _wrap(self, stream: Stranger, _now: float) -> Stranger:
        self.wrapped.append(stream)
        return stream

    def come(self, *remotes: str) -> None:
        """Accept a connection from each, at one port after the other."""
        for remote in remotes:
            self.streams.append(Stranger(f"{remote}:{1024 + len(self.wrapped) + len(self.streams)}"))
        self.on_changed()
        self.settle()

    def settle(self) -> None:
        self.timers.on_deadline(0.0)


class Stranger:
    """An engine that is idle until the test completes its handshake."""

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self.established = False
        self.error = ""
        self.aborted = False

    def complete(self) -> None:
        self.established = True
        self.on_changed()

    def abort(self, _now: float) -> None:
        self.aborted = True
        self.error = "reset from this side"


def hosts(count: int) -> list[str]:
    return [f"10.{number >> 8}.{number & 255}.1" for number in range(count)]


def test_idle_connections_do_not_keep_others_out():
    """The oldest handshake ends for a new one; those that are complete stay, and nothing is kept beyond the bound."""
    world = Strangers()
    world.come("192.0.2.1")
    world.wrapped[0].complete()
    world.come(*hosts(MAX_HANDSHAKING + 100))
    listener = world.listener
    assert (len(listener.handshaking), listener.pending(), listener.failed) == (MAX_HANDSHAKING, 1, 100)
    assert [each.aborted for each in world.wrapped[1:103]] == [True] * 100 + [False] * 2
    assert listener.last_failure == f"{world.wrapped[100].remote}: newer handshakes have taken its place"
    world.come("192.0.2.2")
    world.wrapped[-1].complete()
    world.settle()
    assert [listener.accept(0.0), listener.accept(0.0)] == [world.wrapped[0], world.wrapped[-1]]


def test_one_host_displaces_only_its_own_handshakes():
    world = Strangers()
    world.come("192.0.2.1", *["198.51.100.7"] * (MAX_FROM_ONE + 30))
    assert [each.aborted for each in world.wrapped] == [False] + [True] * 30 + [False] * MAX_FROM_ONE
    assert len(world.listener.handshaking) == MAX_FROM_ONE + 1
    world.wrapped[-1].complete()
    world.settle()
    world.come("198.51.100.7")
    assert not world.wrapped[31].aborted  # the complete one has left its place


def test_a_full_list_of_complete_connections_leaves_the_rest_to_tcp():
    """Handshakes that are under way go on; no more begin."""
    world = Strangers()
    world.come(*hosts(MAX_WAITING + 5))
    for engine in world.wrapped[:MAX_WAITING]:
        engine.complete()
    world.settle()
    world.come("192.0.2.1")
    assert len(world.wrapped) == MAX_WAITING + 5
    world.wrapped[-1].complete()
    world.settle()
    assert world.listener.pending() == MAX_WAITING + 1
    for _ in range(2):
        world.listener.accept(0.0)
    world.settle()
    assert len(world.wrapped) == MAX_WAITING + 6


def test_a_change_of_one_costs_nothing_for_the_others():
    """The others are not looked at."""

    class Watched(Stranger):
        looks = 0

        @property
        def established(self) -> bool:
            Watched.looks += 1
            return False

        @established.setter
        def established(self, value: bool) -> None:
            assert not value

    world = Strangers()
    world.streams.extend(Watched(f"{host}:1") for host in hosts(500))
    world.come("192.0.2.1")
    Watched.looks = 0
    world.wrapped[-1].complete()
    world.settle()
    assert (world.listener.pending(), Watched.looks) == (1, 0)


def test_two_hundred_idle_connections_and_one_that_speaks(files):
    machine = Machine()
    listener = machine.open(f":8443,cert={quoted(files.folder / 'here.pem')}")
    tcp = machine.scheme.context.tree.schemes["tcp"]
    idle = []
    for _ in range(200):
        idle.append(tcp.open("here:8443", os.O_RDWR, ROOT, 0.0))
        machine.settle()
    assert machine.open(f"here:8443,ca={quoted(files.ca)}").opening(0.0) is False
    assert listener.read(100, 0.0)
    shown = machine.scheme.conversations.get(0).listener.status(0.0)
    assert (shown["handshaking"], shown["handshakes_failed"]) == (MAX_FROM_ONE - 1, 200 - MAX_FROM_ONE + 1)
    assert machine.scheme.protocol.stats()["handshakes_failed"] == 200 - MAX_FROM_ONE + 1


def test_tcp_hears_which_connections_are_given_back(files, monkeypatch):
    given_back = []
    monkeypatch.setattr(TcpProtocol, "forgotten", lambda _protocol, engine: given_back.append(engine))
    machine = Machine()
    listener = machine.open(f":https,cert={quoted(files.folder / 'here.pem')}")
    client = machine.open(f"here:https,ca={quoted(files.ca)}")
    machine.settle()
    client.close(0.0)
    machine.settle()
    listener.close(0.0)
    machine.settle()
    assert any(isinstance(engine, Connection) for engine in given_back)

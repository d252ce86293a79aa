"""The tls scheme: addresses and options, over tcp over lo, without a mount."""

from __future__ import annotations

import errno
import os
import random
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
from schemes.tls.listener import TlsListener
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

    class Below:
        """One connection to accept."""

        local = "127.0.0.1:8443"

        def __init__(self) -> None:
            self.streams = [object()]

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

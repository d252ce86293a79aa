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
from schemes.tcp import TcpScheme
from schemes.tls import TlsScheme
from tests.support.ip_host import IpHost
from tests.support.tls_certificates import AllFiles, Authority

ROOT, USER = Caller(0, files=AllFiles()), Caller(1000)


class Machine(IpHost):
    """One host whose programs talk through lo."""

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


@pytest.mark.parametrize("host", ["here", "several"])  # the second has two addresses, so it is sought
def test_two_programs_talk_and_the_name_that_was_written_is_verified(files, host):
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


def test_another_name_than_the_certificates_is_refused(files):
    machine = Machine()
    machine.open(f":8443,cert={quoted(files.folder / 'here.pem')}")
    client = machine.open(f"127.0.0.1:8443,ca={quoted(files.ca)}")
    with pytest.raises(SchemeError) as caught:
        client.opening(0.0)
    assert caught.value.errno == errno.EPROTO
    assert machine.open(f"127.0.0.1:8443,ca={quoted(files.ca)},sni=here").opening(0.0) is False


@pytest.mark.parametrize("path", ["here:443,ca=%2Fca.pem,cert=%2Fcert.pem", ":443,ca=%2Fca.pem,cert=%2Fcert.pem"])
def test_files_are_asked_for_before_anything_is_done(path):
    machine = Machine()
    with pytest.raises(FilesWanted) as wanted:
        machine.open(path, caller=USER)
    assert wanted.value.names == ["/ca.pem", "/cert.pem"]
    assert not list(machine.scheme.conversations)


def test_a_ctl_asks_for_the_files_of_its_verb(files):
    machine = Machine()
    ctl = machine.open("clone", caller=USER)
    line = memoryview(f"announce :8443,cert={files.folder / 'here.pem'}\n".encode())
    with pytest.raises(FilesWanted) as wanted:
        ctl.write(line, 0.0)
    assert wanted.value.names == [str(files.folder / "here.pem")]
    ctl.files = AllFiles()
    assert ctl.write(line, 0.0) == len(line)
    assert not ctl.files


def test_what_is_malformed_says_so():
    machine = Machine()
    for path, word in (
        ("here:443,ca=relative.pem", "absolute"),
        ("here:443,verify=maybe", "verify"),
        ("here:443,alpn=", "list of protocols"),
        ("here:443,sni=a b", "host name"),
        ("here:nosuchservice", "service"),
        (":8443", "cert=FILE"),
        ("here:443,unknown", "option"),
    ):
        refusal = refused(machine, path)
        assert refusal.errno == errno.EINVAL, path
        assert word in refusal.sentence, path


def test_tcps_own_failures_come_through():
    machine = Machine()
    client = machine.open("here:9,verify=no")
    with pytest.raises(SchemeError) as caught:
        client.opening(0.0)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_listener_that_fails_handshakes_counts_them_and_goes_on(files):
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

"""The tcp scheme: addresses and options become connections and listeners, over lo, without a mount."""

from __future__ import annotations

import errno
import os
import random

import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.buffer import joined
from schemefs.scheme import Caller, Event, Handle, SchemeContext
from schemefs.timers import Timers
from schemes.tcp import TcpScheme
from tests.support.ip_host import IpHost

ROOT, USER = Caller(0), Caller(1000)


class Machine(IpHost):
    """One host whose programs talk through lo."""

    def __init__(self) -> None:
        super().__init__()
        self.names = names = Names("127.0.0.1 here\n127.0.0.1 several\n127.0.0.2 several\n127.0.0.3 several\n")
        context = SchemeContext(self.timers, random.Random(1), Config(), names, LogRings(lambda: 0.0))
        context.services["ip"] = self.network
        self.scheme = TcpScheme(context)
        self.tcp = self.scheme.tcp

    def open(self, path: str, flags: int = os.O_RDWR, caller: Caller = ROOT, now: float = 0.0) -> Handle:
        handle = self.scheme.open(path, flags, caller, now)
        self.settle(now)
        return handle

    def text(self, path: str) -> str:
        return self.scheme.lookup(path, ROOT).read(ROOT, 0.0).decode()  # type: ignore[attr-defined]

    def settle(self, now: float = 0.0) -> None:
        """Let everything that is on its way through lo arrive."""
        for _ in range(50):
            self.pump(now)
            self.until(now)


def refused(machine: Machine, path: str, caller: Caller = ROOT) -> tuple[int, str]:
    with pytest.raises(SchemeError) as raised:
        machine.open(path, caller=caller)
    return raised.value.errno, raised.value.sentence


def test_two_programs_talk() -> None:
    machine = Machine()
    listener = machine.open(":8080")
    client = machine.open("127.0.0.1:8080")
    assert not client.opening(0.0)
    line = bytes(joined(listener.read(100, 0.0) or b"")).decode()
    number, remote, local = line.split()
    assert local == "127.0.0.1:8080"
    assert client.write(memoryview(b"hello"), 0.0) == 5
    machine.settle()
    server = machine.open(f"{number}/data")
    assert bytes(joined(server.read(100, 0.0) or b"")) == b"hello"
    client.close(0.0)
    machine.settle()
    assert server.read(100, 0.0) == b""
    server.close(0.0)
    machine.settle()
    assert remote.startswith("127.0.0.1:")


def test_a_name_and_its_first_address_that_there_is_a_way_to() -> None:
    machine = Machine()
    machine.open(":8080")
    assert not machine.open("here:8080").opening(0.0)
    assert refused(machine, "nowhere:8080")[0] == errno.ENOENT


def test_the_first_address_that_answers() -> None:
    """Of the addresses of `several`, only the third listens."""
    machine = Machine()
    machine.open("clone").write(memoryview(b"announce 127.0.0.3:8080"), 0.0)
    client = machine.open("several:8080")
    assert not client.opening(0.0)
    (connection, _) = sorted(machine.tcp.connections.values(), key=lambda connection: connection.listener is not None)
    assert connection.remote == "127.0.0.3:8080"
    refusing = machine.open("several:9")
    with pytest.raises(SchemeError, match="RST from 127.0.0.3:9"):
        refusing.opening(0.0)


def test_nobody_listens() -> None:
    machine = Machine()
    client = machine.open("127.0.0.1:9")
    with pytest.raises(SchemeError) as raised:
        client.opening(0.0)
    assert raised.value.errno == errno.ECONNREFUSED
    assert raised.value.sentence.startswith("RST from 127.0.0.1:9 in answer to SYN after ")


def test_ports_below_1024_are_for_root() -> None:
    machine = Machine()
    assert refused(machine, ":80", USER) == (errno.EACCES, "port 80 is for root; other users may use 1024 and above")
    assert refused(machine, "127.0.0.1:8080,from=127.0.0.1:80", USER)[0] == errno.EACCES
    machine.open(":80")
    assert not machine.open("127.0.0.1:80", caller=USER).opening(0.0)


def test_a_port_is_listened_on_once() -> None:
    machine = Machine()
    first = machine.open(":8080")
    assert refused(machine, ":8080") == (errno.EADDRINUSE, "*:8080 is in use")
    first.close(0.0)
    machine.open(":8080")


def test_port_zero_picks_one() -> None:
    machine = Machine()
    handle = machine.open(":0")
    (listener,) = machine.tcp.listeners.values()
    assert listener.claim.port >= 32768
    handle.close(0.0)
    assert not machine.tcp.listeners


def test_the_local_end_can_be_chosen() -> None:
    machine = Machine()
    machine.open(":8080")
    machine.open("127.0.0.1:8080,from=127.0.0.9:5555")
    remotes = {connection.remote for connection in machine.tcp.connections.values()}
    assert "127.0.0.9:5555" in remotes
    assert refused(machine, "127.0.0.1:8080,from=127.0.0.9:5555")[0] == errno.EADDRINUSE
    assert refused(machine, "10.0.2.2:8080,from=10.9.9.9:5555")[0] == errno.EADDRNOTAVAIL


def test_a_listener_may_take_one_family() -> None:
    machine = Machine()
    machine.open(":8080,family=4")
    machine.open(":8080,family=6")
    assert {str(engine.local) for engine in machine.tcp.listeners.values()} == {"0.0.0.0:8080", "[::]:8080"}
    for address, local in ((b"\x7f\0\0\x01", "0.0.0.0:8080"), (bytes(15) + b"\x01", "[::]:8080")):
        listener = machine.tcp._listener_for(address, 8080)
        assert listener is not None
        assert listener.local == local
    assert refused(machine, ":8080") == (errno.EADDRINUSE, "0.0.0.0:8080 is in use")
    assert refused(machine, ":8081,family=5") == (
        errno.EINVAL,
        "tcp/:8081,family=5: family: '5' is not an IP version: 4 or 6",
    )
    assert refused(machine, "127.0.0.1:8081,listen,family=4") == (
        errno.EINVAL,
        "family applies only to an address without a host, such as :8080,family=6",
    )


def test_only_an_address_of_ours_can_be_listened_on() -> None:
    machine = Machine()
    with pytest.raises(SchemeError) as raised:
        machine.open("clone").write(memoryview(b"announce 10.9.9.9:8080"), 0.0)
    assert raised.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    "path",
    [
        "127.0.0.1:8080,nodelay=maybe",
        "127.0.0.1:8080,timeout=soon",
        "127.0.0.1:8080,ttl=0",
        "127.0.0.1:8080,congestion=bbr",
        "127.0.0.1:8080,linger=-2",
        "127.0.0.1:8080,from=nonsense",
        "127.0.0.1:99999",
        ":8080,backlog=0",
        "127.0.0.1:8080,color=red",
        "127.0.0.1:no-such-service",
    ],
)
def test_what_makes_no_sense_is_einval(path: str) -> None:
    number, sentence = refused(Machine(), path)
    assert number == errno.EINVAL
    assert sentence


def test_options_become_settings() -> None:
    machine = Machine()
    machine.open(":8080,nodelay,keepalive=30,backlog=5,ttl=7")
    machine.open("127.0.0.1:8080,nodelay,ttl=9,keepalive=10,linger=3,user_timeout=60,congestion=newreno,timeout=4")
    (listener,) = machine.tcp.listeners.values()
    assert listener.backlog == 5
    client, server = sorted(machine.tcp.connections.values(), key=lambda connection: -connection.hop_limit)
    assert (client.nodelay, client.hop_limit, client.keepalive, client.linger) == (True, 9, 10.0, 3.0)
    assert (client.user_timeout, client.congestion.name, client.connect_timeout) == (60.0, "newreno", 4.0)
    assert (server.nodelay, server.hop_limit, server.keepalive) == (True, 7, 30.0)


def test_stats_name_what_rfc_4022_names() -> None:
    machine = Machine()
    machine.open(":8080")
    machine.open("127.0.0.1:8080")
    stats = machine.scheme.protocol.stats()
    assert (stats["tcpActiveOpens"], stats["tcpPassiveOpens"], stats["tcpCurrEstab"]) == (1, 1, 2)
    # RFC 4022's scalars, all of them.
    scalars = (
        "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs"
        " RetransSegs InErrs OutRsts HCInSegs HCOutSegs"
    )
    assert [f"tcp{name}" for name in scalars.split()] == list(stats)[:16]
    assert all(isinstance(count, int) for name, count in stats.items() if name != "tcpRtoAlgorithm")


def test_status_begins_with_the_state() -> None:
    machine = Machine()
    machine.open(":8080")
    machine.open("127.0.0.1:8080")
    for connection in machine.tcp.connections.values():
        shown = connection.status(1.0)
        assert next(iter(shown.items())) == ("state", "ESTABLISHED")
        assert {"rtt", "rto", "cwnd", "snd_wnd", "rcv_wnd", "mss", "send_queue", "retransmissions"} <= set(shown)
    (listener,) = machine.tcp.listeners.values()
    assert next(iter(listener.status(1.0).items())) == ("state", "LISTEN")


def test_no_route() -> None:
    machine = Machine()
    for rule in list(machine.network.routes.list()):
        if not rule.prefix_length:
            machine.network.routes.remove(rule.destination, 0)
    assert refused(machine, "192.0.2.1:80")[0] == errno.ENETUNREACH


def test_shutdown_of_the_scheme_closes_in_order() -> None:
    machine = Machine()
    machine.open(":8080")
    machine.open("127.0.0.1:8080")
    for step in range(10):
        if machine.scheme.shutdown(float(step)):
            break
        machine.settle(float(step))
    else:
        pytest.fail("it doesn't end")


def test_nothing_is_left_of_connections_that_ended() -> None:
    machine = Machine()
    listener = machine.open(":8080")
    for number in range(30):
        client = machine.open("127.0.0.1:8080", now=float(number))
        listener.read(100, float(number))
        client.close(float(number))
        machine.settle(float(number))
    listener.close(30.0)
    machine.settle(30.0)
    machine.until(500.0)
    machine.settle(500.0)
    assert not machine.tcp.connections
    assert not list(machine.tcp.ports)
    assert len(machine.scheme.conversations) == 0


def test_an_idle_timers() -> None:
    """No tick: an idle established connection arms nothing."""
    machine = Machine()
    machine.open(":8080")
    machine.open("127.0.0.1:8080")
    machine.until(1.0)
    machine.settle(1.0)
    assert isinstance(machine.timers, Timers)
    assert not any(connection.retransmission.armed for connection in machine.tcp.connections.values())
    assert not any(connection.state_timer.armed for connection in machine.tcp.connections.values())


def test_a_conversation_that_is_forgotten_in_time_wait_gives_its_connection_back() -> None:
    """Both directions have ended before the file is closed, so no close reaches the connection."""
    machine = Machine()
    listener = machine.open(":8080")
    client = machine.open("127.0.0.1:8080")
    number = bytes(joined(listener.read(100, 0.0) or b"")).decode().split()[0]
    server = machine.open(f"{number}/data")
    (connection,) = [one for one in machine.tcp.connections.values() if one.ports[1] == 8080]
    connection.shutdown(read=False, write=True, now=0.0)
    machine.settle()
    server.close(0.0)
    machine.settle()
    entry = machine.tcp.time_waits.get(connection.key)
    assert entry is not None
    assert entry.connection is connection
    client.close(0.0)
    assert entry.connection is None


def test_listen_makes_an_address_the_local_one() -> None:
    machine = Machine()
    listener = machine.open("127.0.0.1:8080,listen")
    assert listener.fevent(Event.IN) == 0
    client = machine.open("127.0.0.1:8080")
    assert not client.opening(0.0)
    assert listener.fevent(Event.IN) == Event.IN
    assert bytes(joined(listener.read(100, 0.0) or b"")).endswith(b" 127.0.0.1:8080\n")
    with pytest.raises(SchemeError, match="RST from 127.0.0.2:8080"):
        machine.open("127.0.0.2:8080").opening(0.0)
    machine.open("127.0.0.2:8080,listen,backlog=1")  # another address, the same port
    assert refused(machine, ":8080") == (errno.EADDRINUSE, "127.0.0.1:8080 is in use")


def test_listen_changes_nothing_without_a_host() -> None:
    machine = Machine()
    machine.open(":8080,listen")
    assert not machine.open("127.0.0.9:8080").opening(0.0)


@pytest.mark.parametrize("host", ["10.0.2.2", "192.0.2.1", "nowhere", "elsewhere", "[::1]", "224.0.0.1", "10.0.2.255"])
@pytest.mark.parametrize("word", ["listen", "accept"])
def test_only_an_own_address_can_be_listened_on(host: str, word: str) -> None:
    machine = Machine()
    machine.names.set_hosts("192.0.2.7 elsewhere\n")
    number, sentence = refused(machine, f"{host}:8080,{word}")
    assert (number, sentence) == (errno.EADDRNOTAVAIL, f"{host.strip('[]')} is not a local address")
    assert len(machine.scheme.conversations) == 0


def test_a_name_of_an_own_address_will_do() -> None:
    machine = Machine()
    machine.names.set_hosts("192.0.2.7 mixed\n10.0.2.15 mixed\n")
    machine.open("mixed:8080,listen")
    assert machine.text("0/local") == "10.0.2.15:8080\n"
    machine.open("localhost:8081,listen")
    assert machine.text("1/local") == "127.0.0.1:8081\n"


def test_accept_finds_the_listener_by_its_address_however_it_was_written() -> None:
    machine = Machine()
    machine.open("127.0.0.1:8080,listen")
    waiting = machine.open("here:8080,accept")
    assert waiting.opening(0.0)
    machine.open("127.0.0.1:8080")
    assert not waiting.opening(0.0)
    other = machine.open("127.0.0.2:8080,accept")  # not an address of that listener: it listens by itself
    machine.open("127.0.0.2:8080")
    assert not other.opening(0.0)


def test_accept_finds_a_listener_whose_port_was_picked() -> None:
    machine = Machine()
    machine.open(":0,listen")
    port = machine.text("0/local").strip().rpartition(":")[2]
    waiting = machine.open(f":{port},accept")
    machine.open(f"127.0.0.1:{port}")
    assert not waiting.opening(0.0)
    assert len(machine.tcp.listeners) == 1


def test_a_listener_of_another_uid_is_not_taken_from() -> None:
    machine = Machine()
    machine.open("127.0.0.1:8080,listen", caller=USER)
    assert refused(machine, "127.0.0.1:8080,accept")[0] == errno.EADDRINUSE


def test_announce_takes_the_words_too() -> None:
    machine = Machine()
    machine.open("clone").write(memoryview(b"announce 127.0.0.1:8080,listen"), 0.0)
    assert machine.text("0/local") == "127.0.0.1:8080\n"
    with pytest.raises(SchemeError, match="'listen' applies only to listening addresses"):
        machine.open("clone").write(memoryview(b"connect 127.0.0.1:8080,listen"), 0.0)
    assert "there is no option 'bind'" in refused(machine, "127.0.0.1:8080,bind")[1]

"""Names in the addresses of tcp, udp and icmp: the open waits, tries all addresses, and can be cancelled."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.conversation.connecting import ATTEMPT_DELAY
from schemefs.errors import SchemeError
from schemefs.scheme import Event, FollowedFile
from tests.support.dns_host import ROOT, DnsHost, Query, Server, address, reply


def knows(*addresses: str):
    """Return a server that gives these addresses for every name, after 0.1 s."""

    def answer(server: Server, query: Query) -> None:
        name = query.question[0].name.to_text(omit_final_dot=True)
        server.later(0.1, reply(query, *[f"{name} 60 IN A {text}" for text in addresses]))

    return answer


def silent(server: Server, query: Query) -> None:
    """Never answer."""


def listen(host: DnsHost, port: int = 80, on: str = "10.0.2.2"):
    return host.right_tcp.tcp.listen(address(on), port)


def fails(host: DnsHost, path: str, seconds: float = 300.0) -> SchemeError:
    handle = host.open(path, os.O_RDWR)
    with pytest.raises(SchemeError) as caught:
        host.opened(handle, seconds)
    handle.close(host.now)
    return caught.value


def test_tcp_connects_to_a_name() -> None:
    host = DnsHost(knows("10.0.2.2"))
    listener = listen(host)
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    assert handle.opening(host.now)
    host.opened(handle)
    assert host.now < 0.2
    handle.write(memoryview(b"hello"), host.now)
    host.passes(0.1)
    server = listener.accept(host.now)
    assert bytes(server.read(100, host.now)) == b"hello"
    assert host.tcp.lookup("0/remote", ROOT).read(ROOT, host.now) == b"10.0.2.2:80\n"


def test_the_look_up_and_the_attempts_have_their_time() -> None:
    """The first address is silent, so the second one is tried after ATTEMPT_DELAY."""
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    listen(host)
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    host.opened(handle)
    rows = host.tcp.lookup("0/time", ROOT).read(ROOT, host.now).decode().splitlines()
    parts = {cause: (float(seconds), reason) for cause, seconds, _, *reason in (row.split(" ", 3) for row in rows)}
    assert parts["name"][0] == pytest.approx(0.1, abs=0.05)
    assert parts["name"][1] == ["the look-up of example.com"]
    assert parts["handshake"][0] == pytest.approx(ATTEMPT_DELAY, abs=0.05)
    assert sum(seconds for seconds, _ in parts.values()) == pytest.approx(host.now, abs=0.001)


def test_the_state_says_what_it_waits_for() -> None:
    host = DnsHost(knows("10.0.2.77"))
    host.open("tcp/example.com:80", os.O_RDWR | os.O_NONBLOCK)

    def state() -> str:
        return host.tcp.lookup("0/status", ROOT).read(ROOT, host.now).decode().partition("\n")[0]

    assert state() == "state=RESOLVING"
    host.passes(0.2)
    assert state() == "state=CONNECTING"


def test_a_refused_address_is_followed_by_the_next_at_once() -> None:
    host = DnsHost(knows("10.0.2.2", "10.0.2.3"))
    listen(host, on="10.0.2.3")
    handle = host.opened(host.open("tcp/example.com:80", os.O_RDWR))
    assert host.now < 0.15
    assert host.tcp.lookup("0/remote", ROOT).read(ROOT, host.now) == b"10.0.2.3:80\n"
    handle.close(host.now)


def test_a_silent_address_delays_the_next_attempt_by_250_ms() -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    listen(host)
    handle = host.opened(host.open("tcp/example.com:80", os.O_RDWR))
    assert host.now == pytest.approx(0.1 + ATTEMPT_DELAY, abs=0.02)
    assert len(host.tcp.tcp.connections) == 1  # the other attempt was ended
    handle.close(host.now)
    host.passes(200.0)
    assert not host.tcp.tcp.connections


def test_when_no_address_works_the_last_failure_is_told() -> None:
    host = DnsHost(knows("10.0.2.2", "10.0.2.3"))
    failure = fails(host, "tcp/example.com:80")
    assert failure.errno == errno.ECONNREFUSED
    assert failure.sentence.startswith("none of 2 addresses of example.com connects: ")
    assert len(host.tcp.conversations) == 0


def test_a_silent_address_does_not_hide_what_another_one_said() -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    failure = fails(host, "tcp/example.com:80")
    assert host.now > 10  # the silent one is the last to fail
    assert failure.errno == errno.ECONNREFUSED
    assert "RST from 10.0.2.2" in failure.sentence


def test_silence_is_told_rather_than_that_another_address_has_no_way() -> None:
    host = DnsHost(hosts="fd00::2 example.com\n10.0.2.77 example.com\n")
    assert fails(host, "tcp/example.com:80").errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH)


def test_several_addresses_in_the_hosts_file_are_tried_too() -> None:
    host = DnsHost(hosts="10.0.2.2 example.com\n10.0.2.3 example.com\n")
    listen(host, on="10.0.2.3")
    host.opened(host.open("tcp/example.com:80", os.O_RDWR))
    assert host.now < 0.05


@pytest.mark.parametrize("order", [("10.0.2.2", "fd00::2"), ("fd00::2", "10.0.2.2")])
def test_an_address_without_a_way_does_not_hide_what_the_others_said(order: tuple[str, str]) -> None:
    host = DnsHost(hosts="".join(f"{text} example.com\n" for text in order))
    failure = fails(host, "tcp/example.com:80")
    assert failure.errno == errno.ECONNREFUSED
    assert "RST from 10.0.2.2" in failure.sentence
    listen(host)
    host.opened(host.open("tcp/example.com:80", os.O_RDWR))


def test_no_such_name_is_enoent_of_the_open() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode="NXDOMAIN")))
    assert fails(host, "tcp/example.com:80").errno == errno.ENOENT
    assert len(host.tcp.conversations) == 0


def test_silence_of_the_servers_is_etimedout() -> None:
    assert fails(DnsHost(silent), "udp/example.com:80").errno == errno.ETIMEDOUT


def test_the_time_out_of_a_connect_counts_from_the_open() -> None:
    host = DnsHost(silent)
    assert fails(host, "tcp/example.com:80,timeout=2").errno == errno.ETIMEDOUT
    assert host.now == pytest.approx(2.0, abs=0.01)
    host = DnsHost(knows("10.0.2.77", "10.0.2.78"))
    assert fails(host, "tcp/example.com:80,timeout=2").errno == errno.ETIMEDOUT
    assert host.now == pytest.approx(2.0, abs=0.11)
    assert not host.tcp.tcp.connections


def test_a_bad_port_is_reported_before_a_query_is_sent() -> None:
    host = DnsHost(silent)
    with pytest.raises(SchemeError) as caught:
        host.open("tcp/example.com:nosuch")
    assert caught.value.errno == errno.EINVAL
    host.passes(1.0)
    assert not host.servers[0].queries


def test_an_open_that_does_not_wait_is_told_by_poll() -> None:
    host = DnsHost(knows("10.0.2.2"))
    listen(host)
    handle = host.open("tcp/example.com:80", os.O_RDWR | os.O_NONBLOCK)
    changes: list[float] = []
    handle.on_changed = lambda: changes.append(host.now)
    assert handle.fevent(Event.ALL) == 0
    assert handle.read(10, host.now) is None
    assert handle.write(memoryview(b"x"), host.now) is None
    host.passes(1.0)
    assert changes
    assert handle.fevent(Event.ALL) == Event.OUT
    assert handle.write(memoryview(b"x"), host.now) == 1


def test_an_open_that_does_not_wait_is_told_once_why_it_failed() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode="NXDOMAIN")))
    handle = host.open("tcp/example.com:80", os.O_RDWR | os.O_NONBLOCK)
    host.passes(1.0)
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.ERR | Event.HUP
    with pytest.raises(SchemeError) as caught:
        handle.read(10, host.now)
    assert caught.value.errno == errno.ENOENT
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.HUP
    with pytest.raises(SchemeError) as caught:
        handle.read(10, host.now)
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(SchemeError) as caught:
        handle.write(memoryview(b"x"), host.now)
    assert caught.value.errno == errno.EPIPE
    assert "does not exist" in host.tcp.lookup("0/err", ROOT).read(ROOT, host.now).decode()
    handle.close(host.now)
    assert len(host.tcp.conversations) == 0


def test_an_interrupted_open_of_a_name_tries_no_further_address_until_it_is_repeated() -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    listener = listen(host)
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    assert handle.open_interrupted(host.now)
    host.passes(1.0)
    assert not host.tcp.tcp.connections  # the lookup goes on, and its answer begins nothing
    handle.open_repeated(host.now)
    host.passes(0.01)
    assert len(host.tcp.tcp.connections) == 1
    assert handle.open_interrupted(host.now)
    host.passes(1.0)
    assert len(host.tcp.tcp.connections) == 1
    assert handle.opening(host.now)
    handle.open_repeated(host.now)
    host.opened(handle)
    host.passes(0.1)
    assert listener.accept(host.now) is not None
    handle.close(host.now)


def test_a_name_connects_under_a_timer_of_20_ms() -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    listen(host)
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    while handle.opening(host.now):
        host.passes(0.02)
        assert handle.open_interrupted(host.now)
        handle.open_repeated(host.now)
    assert host.now < 0.1 + ATTEMPT_DELAY + 0.1
    handle.close(host.now)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("repeated", [False, True])
def test_an_abandoned_open_leaves_nothing(seconds: float, *, repeated: bool) -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.2"))
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    host.passes(seconds)
    handle.open_interrupted(host.now)
    if repeated:
        handle.open_repeated(host.now)
    host.passes(seconds)
    handle.abandon_open(host.now)
    handle.close(host.now)
    host.passes(10.0)
    assert len(host.tcp.conversations) == 0
    assert not host.tcp.tcp.connections
    assert host.timers.pending == 0


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.5])
def test_giving_up_leaves_nothing(seconds: float) -> None:
    host = DnsHost(knows("10.0.2.77", "10.0.2.78", "10.0.2.79"))
    handle = host.open("tcp/example.com:80", os.O_RDWR)
    host.passes(seconds)
    assert handle.opening(host.now)
    handle.interrupted(host.now)
    handle.close(host.now)
    host.passes(10.0)
    assert len(host.tcp.conversations) == 0
    assert not host.tcp.tcp.connections
    assert "under_way" not in host.stats()
    assert host.timers.pending == 0


def test_a_pending_lookup_delays_no_other_open() -> None:
    host = DnsHost(silent)
    listen(host)
    host.open("tcp/example.com:80", os.O_RDWR)
    host.opened(host.open("tcp/10.0.2.2:80", os.O_RDWR))
    assert host.now < 0.1


def test_what_a_writer_only_gets_back_is_discarded_also_with_a_name() -> None:
    host = DnsHost(knows("10.0.2.2"))
    listener = listen(host)
    handle = host.opened(host.open("tcp/example.com:80", os.O_WRONLY))
    host.passes(0.1)
    server = listener.accept(host.now)
    server.write(memoryview(bytes(100_000)), host.now)
    handle.write(memoryview(b"x"), host.now)
    host.passes(1.0)
    handle.close(host.now)
    host.passes(1.0)
    assert server.synced(host.now)
    assert bytes(server.read(10, host.now)) == b"x"
    assert server.read(10, host.now) == b""


def test_ctl_connects_to_a_name() -> None:
    host = DnsHost(knows("10.0.2.2"))
    listen(host)
    ctl = host.open("tcp/clone", os.O_RDWR)
    command = memoryview(b"connect example.com:80\n")
    assert ctl.write(command, host.now) is None
    host.passes(0.5)
    assert ctl.write(command, host.now) == len(command)
    assert host.tcp.lookup("0/status", ROOT).read(ROOT, host.now).startswith(b"state=ESTABLISHED")


def events(host: DnsHost, number: int) -> list[str]:
    """Return what `events` of that conversation says."""
    node = host.tcp.lookup(f"{number}/events", ROOT)
    assert isinstance(node, FollowedFile)
    return node.ring.read(0, 1 << 16)[0].decode().splitlines()


def in_order(lines: list[str], *parts: str) -> bool:
    rest = iter(lines)
    return all(any(part in line for line in rest) for part in parts)


def test_events_show_the_lookup_and_the_outcome_of_every_address() -> None:
    # Regression: events showed only the address that connected, after a line without an address.
    host = DnsHost(knows("10.0.2.77", "10.0.2.2", "10.0.2.3"))
    listen(host, on="10.0.2.3")
    host.opened(host.open("tcp/example.com:80,events", os.O_RDWR))
    told = events(host, 0)
    assert not any(" to : " in line for line in told)
    assert in_order(
        told,
        "+0.000000 lookup of example.com",
        "example.com has 10.0.2.77, 10.0.2.2, 10.0.2.3",
        "connect to 10.0.2.77",
        "SYN out to 10.0.2.77:80",
        "connect to 10.0.2.2",
        "10.0.2.2:80: RST from 10.0.2.2:80",
        "+0.602000 connect to 10.0.2.3",
        "+0.602000 SYN out to 10.0.2.3:80",
        "10.0.2.77:80: given up",
        "to 10.0.2.3:80: ESTABLISHED",
    )


def test_events_opened_later_show_the_earlier_steps() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode="NXDOMAIN")))
    host.open("tcp/example.com:80", os.O_RDWR | os.O_NONBLOCK)
    host.passes(1.0)
    assert in_order(events(host, 0), "lookup of example.com", "does not exist", "recording begins")
    host = DnsHost(knows("10.0.2.77"))
    host.open("tcp/example.com:80", os.O_RDWR | os.O_NONBLOCK)
    host.passes(0.5)
    assert in_order(events(host, 0), "example.com has 10.0.2.77", "connect to 10.0.2.77", "recording begins")
    host.passes(1.0)
    assert in_order(events(host, 0), "recording begins", "SYN out to 10.0.2.77:80 (try 2)")


@pytest.mark.parametrize("verb", ["hangup", "close"])
def test_what_a_ctl_gives_up_has_not_succeeded(verb: str) -> None:
    host = DnsHost(silent)
    listen(host)
    ctl = host.open("tcp/clone", os.O_RDWR)
    command = memoryview(b"connect example.com:80\n")
    assert ctl.write(command, host.now) is None
    opened = host.open("tcp/example.com:80", os.O_RDWR)
    for number in range(2):
        host.open(f"tcp/{number}/ctl", os.O_RDWR).write(memoryview(f"{verb}\n".encode()), host.now)
    with pytest.raises(SchemeError) as caught:
        ctl.write(command, host.now)
    assert (caught.value.errno, caught.value.sentence) == (errno.ECONNABORTED, "connecting to example.com was aborted")
    with pytest.raises(SchemeError) as caught:
        opened.opening(host.now)
    assert caught.value.errno == errno.ECONNABORTED
    assert ctl.write(memoryview(b"connect 10.0.2.2:80\n"), host.now) is None  # another address may be tried
    host.passes(0.1)
    assert host.tcp.lookup("0/status", ROOT).read(ROOT, host.now).startswith(b"state=ESTABLISHED")


def test_udp_speaks_with_a_name() -> None:
    host = DnsHost(knows("10.0.2.2"))
    receiver = host.right_udp.open(":4000", os.O_RDONLY, ROOT, host.now)
    handle = host.opened(host.open("udp/example.com:4000", os.O_RDWR))
    handle.write(memoryview(b"hello"), host.now)
    host.passes(0.1)
    assert receiver.read(100, host.now) == b"hello"


def test_ping_asks_for_the_name_first() -> None:
    host = DnsHost(knows("10.0.2.2"))
    handle = host.open("icmp/ping/example.com,count=2,interval=0.5")
    assert handle.opening(host.now)
    assert handle.fevent(Event.ALL) == 0
    host.opened(handle)
    host.passes(2.0)
    lines = bytes(handle.read(10_000, host.now)).decode().splitlines()
    assert lines[0].startswith("PING 10.0.2.2")
    assert lines[-2] == "2 packets transmitted, 2 packets received, 0.00% packet loss"
    handle.close(host.now)
    assert host.timers.pending == 0


def test_echo_in_redox_form_by_name() -> None:
    host = DnsHost(knows("10.0.2.2"))
    handle = host.opened(host.open("icmp/echo/example.com", os.O_RDWR))
    assert handle.write(memoryview(b"\0\1hello"), host.now) == 7
    host.passes(0.1)
    assert handle.read(100, host.now) == b"\0\1hello"


@pytest.mark.parametrize("path", ["icmp/ping/example.com", "icmp/trace/example.com", "icmp/echo/example.com"])
def test_icmp_says_once_that_there_is_no_such_name(path: str) -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode="NXDOMAIN")))
    handle = host.open(path)
    host.passes(1.0)
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.ERR | Event.HUP
    with pytest.raises(SchemeError) as caught:
        handle.opening(host.now)
    assert caught.value.errno == errno.ENOENT
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.HUP
    handle.close(host.now)


def test_a_ping_given_up_while_its_name_is_looked_up_leaves_nothing() -> None:
    host = DnsHost(silent)
    handle = host.open("icmp/ping/example.com")
    host.passes(0.1)
    handle.close(host.now)
    host.passes(0.1)
    assert host.timers.pending == 0
    assert "under_way" not in host.stats()

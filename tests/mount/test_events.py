"""The event scheme on the real mount: the same scenarios through poll(2) and through events, cell by cell.

What Redox got wrong there is in the table: a listener readable before anyone connects, a refused connect without event.
"""

from __future__ import annotations

import itertools
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

PROMPT = 5000  # milliseconds
PORTS = itertools.count(7000)
WORDS = {"read": select.POLLIN, "write": select.POLLOUT, "error": select.POLLERR, "hangup": select.POLLHUP}


class Situation:
    """Files of a mount, one of them watched by poll and by the event queue."""

    def __init__(self, path: Path, stack: ExitStack, port: int, family: Family) -> None:
        self.path = path
        self.port = port
        self.address = family.lo.at(port)
        self.refusing = family.lo.at(9)
        self._stack = stack
        self._seen_by_events = 0

    def open(self, name: str, flags: int = os.O_RDWR | os.O_NONBLOCK) -> int:
        descriptor = os.open(self.path / name, flags)
        self._stack.callback(lambda: self._close(descriptor))
        return descriptor

    @staticmethod
    def _close(descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError:
            pass  # the scenario did

    def connect(self) -> tuple[int, int, int]:
        """Return (listener, client, server)."""
        listener = self.open(f"tcp/:{self.port}")
        client = self.open(f"tcp/{self.address}", os.O_RDWR)
        wait(listener, select.POLLIN)
        number = os.read(listener, 100).split()[0].decode()
        return listener, client, self.open(f"tcp/{number}/data")


def wait(descriptor: int, events: int, timeout: int = PROMPT) -> int:
    poller = select.poll()
    poller.register(descriptor, events)
    return dict(poller.poll(timeout)).get(descriptor, 0)


def listener_idle(at: Situation) -> int:
    return at.open(f"tcp/:{at.port}")


def listener_with_one_waiting(at: Situation) -> int:
    listener = at.open(f"tcp/:{at.port}")
    at.open(f"tcp/{at.address}", os.O_RDWR)
    return listener


def connected_idle(at: Situation) -> int:
    return at.connect()[1]


def data_waits(at: Situation) -> int:
    _, client, server = at.connect()
    os.write(server, b"data")
    wait(client, select.POLLIN)
    return client


def peer_has_closed(at: Situation) -> int:
    _, client, server = at.connect()
    os.close(server)
    wait(client, select.POLLIN)
    return client


def reset(at: Situation) -> int:
    _, client, server = at.connect()
    os.write(client, b"unread")
    wait(server, select.POLLIN)
    os.close(server)
    wait(client, select.POLLIN)
    return client


def refused(at: Situation) -> int:
    client = at.open(f"tcp/{at.refusing}")
    wait(client, select.POLLOUT)
    return client


def send_buffer_full(at: Situation) -> int:
    _, client, _ = at.connect()
    os.set_blocking(client, False)
    try:
        while True:
            os.write(client, bytes(1 << 20))
    except BlockingIOError:
        return client


def unconnected(at: Situation) -> int:
    return at.open("tcp/clone")


def udp_idle(at: Situation) -> int:
    return at.open(f"udp/:{at.port}")


def udp_datagram_waits(at: Situation) -> int:
    receiver = at.open(f"udp/:{at.port}")
    os.write(at.open(f"udp/{at.address}"), b"datagram")
    wait(receiver, select.POLLIN)
    return receiver


SCENARIOS: list[Callable[[Situation], int]] = [
    listener_idle, listener_with_one_waiting, connected_idle, data_waits, peer_has_closed, reset, refused,
    send_buffer_full, udp_idle, udp_datagram_waits,
]  # fmt: skip


@pytest.fixture
def situation(module_scheme_mount: SchemeMount, family: Family) -> Iterator[Situation]:
    with ExitStack() as stack:
        yield Situation(module_scheme_mount.path, stack, next(PORTS), family)


def conversation(descriptor: int) -> str:
    return os.getxattr(f"/proc/self/fd/{descriptor}", "user.conversation").decode()


def events_of(at: Situation, descriptor: int, interest: str) -> int:
    """Return what a fresh registration reports at once, as poll's bits."""
    queue = at.open("event/queue")
    os.write(queue, f"{conversation(descriptor)} {interest}\n".encode())
    try:
        name, *words = os.read(queue, 4096).decode().split()
    except BlockingIOError:
        return 0
    assert name == conversation(descriptor)
    return sum(WORDS[word] for word in words)


@pytest.mark.parametrize("interest", ["read", "write", "read write"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_events_say_what_poll_says(situation: Situation, scenario: Callable[[Situation], int], interest: str) -> None:
    descriptor = scenario(situation)
    asked = sum(WORDS[word] for word in interest.split())
    assert events_of(situation, descriptor, interest) == wait(descriptor, asked, 0)


@pytest.mark.parametrize("scenario", [listener_with_one_waiting, data_waits, peer_has_closed, reset, refused])
def test_something_to_read_is_an_event(situation: Situation, scenario: Callable[[Situation], int]) -> None:
    assert events_of(situation, scenario(situation), "read") & select.POLLIN


def test_a_listener_is_not_readable_before_someone_connects(situation: Situation) -> None:
    listener = listener_idle(situation)
    assert events_of(situation, listener, "read") == 0
    queue = situation.open("event/queue")
    os.write(queue, f"{conversation(listener)} read\n".encode())
    assert wait(queue, select.POLLIN, 0) == 0
    situation.open(f"tcp/{situation.address}")
    assert wait(queue, select.POLLIN) == select.POLLIN
    assert os.read(queue, 100) == f"{conversation(listener)} read\n".encode()


def test_one_queue_serves_an_echo_server(situation: Situation) -> None:
    """Registered once, and woken for every connection and every message of many clients."""
    listener = listener_idle(situation)
    queue = situation.open("event/queue", os.O_RDWR)
    os.write(queue, f"{conversation(listener)} read\n".encode())
    files = {conversation(listener): listener}
    clients = [situation.open(f"tcp/{situation.address}", os.O_RDWR) for _ in range(5)]
    for number, client in enumerate(clients):
        os.write(client, b"message %d" % number)
    answered = 0
    while answered < len(clients):
        for line in os.read(queue, 4096).decode().splitlines():
            name = line.split()[0]
            if files[name] == listener:
                new = os.read(listener, 100).split()[0].decode()
                files[f"tcp/{new}"] = situation.open(f"tcp/{new}/data")
                os.write(queue, f"tcp/{new} read\n".encode())
            else:
                os.write(files[name], os.read(files[name], 100).upper())
                answered += 1
    assert [os.read(client, 100) for client in clients] == [b"MESSAGE %d" % number for number in range(5)]


def test_the_queue_ends_and_leaves_nothing(situation: Situation) -> None:
    _, client, server = situation.connect()
    queue = situation.open("event/queue")
    os.write(queue, f"{conversation(client)} read\n".encode())
    os.close(queue)
    os.write(server, b"data")
    assert wait(client, select.POLLIN) == select.POLLIN


def test_a_bad_registration_says_why(situation: Situation) -> None:
    queue = situation.open("event/queue")
    with pytest.raises(FileNotFoundError):
        os.write(queue, b"tcp/99999 read\n")
    assert (situation.path / "event/err").read_text() == "there is no conversation tcp/99999\n"


def test_redox_records_name_descriptors(situation: Situation) -> None:
    _, client, server = situation.connect()
    queue = situation.open("event/raw")
    os.write(queue, struct.pack("=QQQ", client, 1, 0xDEADBEEF))
    assert wait(queue, select.POLLIN, 0) == 0
    os.write(server, b"data")
    assert wait(queue, select.POLLIN) == select.POLLIN
    assert struct.unpack("=QQQ", os.read(queue, 4096)) == (client, 1, 0xDEADBEEF)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(queue, struct.pack("=QQQ", 1, 1, 0))


RECORD = struct.Struct("=QQQ")  # struct Event of redox_syscall: id, flags, data
EVENT_READ, EVENT_WRITE = 1, 2


@pytest.mark.parametrize("asked", [EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_records_say_what_poll_says(situation: Situation, scenario: Callable[[Situation], int], asked: int) -> None:
    """An error has no bit of its own there: it is what was asked for, since no call would block."""
    descriptor = scenario(situation)
    bits = {EVENT_READ: select.POLLIN, EVENT_WRITE: select.POLLOUT}
    true = wait(descriptor, sum(bit for flag, bit in bits.items() if flag & asked), 0)
    failed = true & (select.POLLERR | select.POLLHUP)
    expected = asked if failed else sum(flag for flag, bit in bits.items() if bit & true)
    queue = situation.open("event/raw")
    os.write(queue, RECORD.pack(descriptor, asked, 7))
    try:
        told = RECORD.unpack(os.read(queue, RECORD.size))
    except BlockingIOError:
        assert expected == 0
    else:
        assert told == (descriptor, expected, 7)


def test_records_are_edges_and_removal_removes(situation: Situation) -> None:
    """Once for what becomes true, again after a read that leaves it true; removal needs no matching data."""
    _, client, server = situation.connect()
    queue = situation.open("event/raw")
    os.write(queue, RECORD.pack(client, EVENT_READ, 1))
    os.write(server, b"two octets")
    assert wait(queue, select.POLLIN) == select.POLLIN
    assert RECORD.unpack(os.read(queue, 1000)) == (client, EVENT_READ, 1)
    with pytest.raises(BlockingIOError):
        os.read(queue, 1000)
    os.read(client, 1)
    assert RECORD.unpack(os.read(queue, 1000)) == (client, EVENT_READ, 1)
    os.write(queue, RECORD.pack(client, EVENT_READ | EVENT_WRITE, 2))  # a second registration replaces the first
    assert RECORD.unpack(os.read(queue, 1000)) == (client, EVENT_READ | EVENT_WRITE, 2)
    os.write(queue, RECORD.pack(client, 0, 0))
    os.read(client, 1)
    with pytest.raises(BlockingIOError):
        os.read(queue, 1000)


def test_as_many_records_as_fit_are_read_and_none_in_pieces(situation: Situation) -> None:
    queue = situation.open("event/raw")
    files = [situation.open("udp/:0") for _ in range(3)]
    os.write(queue, b"".join(RECORD.pack(file, EVENT_WRITE, number) for number, file in enumerate(files)))
    assert wait(queue, select.POLLIN) == select.POLLIN
    first = os.read(queue, 2 * RECORD.size + 5)
    assert [RECORD.unpack_from(first, at)[0] for at in (0, RECORD.size)] == files[:2]
    assert len(first) == 2 * RECORD.size
    with pytest.raises(OSError, match="Invalid argument"):
        os.read(queue, RECORD.size - 1)
    assert RECORD.unpack(os.read(queue, RECORD.size)) == (files[2], EVENT_WRITE, 2)

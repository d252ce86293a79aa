"""The local address of a connection goes, or its interface: writes fail with nothing taken until it is back."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemefs.testing.wire import SimulatedWire
from schemes.ip.interface import IpInterface
from schemes.ip.network import Network
from schemes.tcp.connection import Connection
from schemes.tcp.lost_sources import LostSources
from tests.support.tcp_pair import Pair


class Losing:
    """A connection, and what takes its local address."""

    def __init__(self, family: int) -> None:
        self.pair = Pair(family=family)
        self.network = self.pair.left.network
        LostSources(self.pair.left, self.network)
        self.client, self.server = self.pair.established()
        self.events: list[str] = []
        self.client.record_to(lambda _now, text, *_: self.events.append(text))
        self.interface: IpInterface = next(iter(self.network.interfaces.values()))  # type: ignore[assignment]
        self.address = self.interface.addresses[0]

    def remove(self) -> None:
        self.interface.remove_address(*self.address, self.pair.now)
        self.pair.passes(0.0)

    def add(self) -> None:
        self.interface.add_address(*self.address, self.pair.now)
        self.pair.passes(0.0)

    def set_up(self, up: bool) -> None:
        self.interface.set_up(up, self.pair.now)
        self.pair.passes(0.0)

    def write(self, connection: Connection | None = None) -> tuple[int | None, str]:
        try:
            (connection or self.client).write(memoryview(b"12345"), self.pair.now)
        except SchemeError as error:
            return error.errno, error.sentence
        return None, ""


@pytest.fixture(params=[4, 6])
def losing(request: pytest.FixtureRequest) -> Losing:
    return Losing(request.param)


def test_a_write_says_that_the_address_is_gone(losing: Losing) -> None:
    ours = losing.client.local.rpartition(":")[0].strip("[]")
    losing.remove()
    sentence = f"{ours} is not a local address"
    assert losing.events[-1] == sentence
    assert losing.write() == losing.write() == (errno.ENETUNREACH, sentence)
    assert losing.client.status(losing.pair.now)["soft_error"] == sentence
    assert losing.client.status(losing.pair.now)["send_queue"] == 0
    assert losing.client.state == "ESTABLISHED"
    assert losing.client.fevent(Event.ALL) & Event.OUT


def test_with_the_address_back_it_goes_on(losing: Losing) -> None:
    losing.remove()
    assert losing.write()[0] == errno.ENETUNREACH
    losing.add()
    assert losing.events[-1] == f"{losing.client.local} can be sent from again"
    assert losing.write() == (None, "")
    assert losing.pair.until(lambda: bool(losing.server.queued()), 60.0)
    assert bytes(losing.server.read(100, losing.pair.now) or b"") == b"12345"


def test_an_interface_that_is_down_is_said_too(losing: Losing) -> None:
    losing.set_up(False)
    number, sentence = losing.write()
    assert number == errno.ENETUNREACH
    assert sentence.endswith(f": {losing.interface.name} is down")
    losing.set_up(True)
    assert losing.write() == (None, "")


def test_what_was_written_before_waits_for_the_address(losing: Losing) -> None:
    """As on Linux: the retransmission time-out alone ends a connection, and says why nothing was sent."""
    losing.remove()
    losing.client.lost_source = None  # so it is taken
    assert losing.write() == (None, "")
    losing.add()
    assert losing.pair.until(lambda: bool(losing.server.queued()), 60.0)
    losing.remove()
    losing.client.lost_source = None
    losing.write()
    losing.pair.passes(2000.0)
    with pytest.raises(SchemeError, match="is not a local address") as raised:
        losing.client.read(1, losing.pair.now)
    assert raised.value.errno == errno.ENETUNREACH


def test_other_connections_are_left_alone(losing: Losing) -> None:
    changes: list[str] = []
    losing.pair.right.connections[losing.server.key].sink = lambda _now, text, *_: changes.append(text)
    losing.remove()
    assert not changes
    assert losing.write(losing.server) == (None, "")  # the peer's end: nothing tells it


def test_another_address_that_goes_is_no_news(losing: Losing) -> None:
    other = bytes([*losing.address[0][:-1], 99])
    losing.interface.add_address(other, losing.address[1], losing.pair.now)
    losing.pair.passes(0.0)
    losing.interface.remove_address(other, losing.address[1], losing.pair.now)
    losing.pair.passes(0.0)
    assert losing.events == []
    assert losing.write() == (None, "")


def test_a_removed_interface_too(losing: Losing) -> None:
    losing.network.detach(losing.interface.name, losing.pair.now)  # type: ignore[attr-defined]
    losing.pair.passes(0.0)
    assert losing.write()[0] == errno.ENETUNREACH


def test_the_route_that_led_around_an_interface_goes(losing: Losing) -> None:
    """With its interface down it sends over another one: the loss of that route alone is seen."""
    network = losing.pair.left.network
    assert isinstance(network, Network)
    link = SimulatedWire(losing.pair.timers, losing.pair.random).left
    link.name = "eth1"
    network.attach(link, losing.pair.now)
    whole = 8 * len(losing.pair.theirs)
    network.routes.add(losing.pair.theirs, whole, interface="eth1")
    losing.set_up(False)
    assert losing.write() == (None, "")
    network.routes.remove(losing.pair.theirs, whole)
    assert losing.write()[0] == errno.ENETUNREACH

"""No lost wakeup: calls on two TLS engines that retry only after on_changed, as parked calls do."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest
from test_tls_engine import World

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.tls.engine import TlsEngine
from tests.support.tcp_pair import WireImpairment
from tests.support.tls_certificates import Authority


class Parked:
    """A call that parks when it would block, and is retried after on_changed."""

    def __init__(self, engine: TlsEngine, attempt: Callable[[], object | None]) -> None:
        self._attempt = attempt
        self._awake = True
        self.done = False
        engine.on_changed = self._wake

    def _wake(self) -> None:
        self._awake = True

    def run(self) -> None:
        """Repeat the call until it is done or parks again. Without a wakeup since the last run: do nothing."""
        while self._awake and not self.done:
            self._awake = False
            while not self.done and self._attempt() is not None:
                pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("good", "example.com")
    return made


def converse(world: World, *calls: Parked, seconds: float = 300.0) -> None:
    """Advance the clock until all calls are done."""

    def all_done() -> bool:
        for call in calls:
            call.run()
        return all(call.done for call in calls)

    assert world.pair.until(all_done, seconds), "a call stays parked"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("chunk", [1 << 17, 20_000, 1000])
def test_a_parked_writer_and_a_parked_reader_complete(authority: Authority, seed: int, chunk: int) -> None:
    world = World(authority, impairment=WireImpairment(loss=0.01 * seed)).handshake()
    octets = random.Random(seed).randbytes(chunk * 30)
    rest, got = memoryview(octets), bytearray()

    def write() -> int | None:
        nonlocal rest
        taken = world.client.write(rest[:chunk], world.now)
        rest = rest[taken or 0 :]
        writer.done = not rest
        return taken

    def read() -> bytes | None:
        data = world.read(world.server, chunk)
        got.extend(data or b"")
        reader.done = len(got) == len(octets)
        return data

    writer, reader = Parked(world.client, write), Parked(world.server, read)
    converse(world, writer, reader)
    assert got == octets


@pytest.mark.parametrize("unread", [b"", b"unread"])
def test_a_close_by_ctl_wakes_a_parked_reader(authority: Authority, unread: bytes) -> None:
    """After the close the stream wakes no reader any more, so the close itself must."""
    world = World(authority).handshake()
    got: list[bytes] = []

    def read() -> bytes | None:
        try:
            data = world.read(world.client)
        except SchemeError as error:
            assert error.errno == errno.ECONNABORTED
            reader.done = True
            return b""
        if data is not None:
            got.append(data)
        return data

    reader = Parked(world.client, read)
    reader.run()
    if unread:
        world.server.write(memoryview(unread), world.now)
        world.passes()
    world.client.close(world.now)
    converse(world, reader, seconds=5.0)
    assert reader.done
    assert b"".join(got) == unread
    assert world.client.fevent(Event.ALL) == Event.IN | Event.OUT | Event.HUP | Event.RDHUP
    assert closed_from_this_side(world)


def closed_from_this_side(world: World) -> bool:
    """Return whether each read says that data may be missing: end of file would be a complete transfer."""
    for _ in range(2):
        with pytest.raises(SchemeError, match="closed from this side") as caught:
            world.client.read(10, world.now)
        assert caught.value.errno == errno.ECONNABORTED
    return True


def test_a_close_by_ctl_after_the_peers_close_notify_is_end_of_file(authority: Authority) -> None:
    world = World(authority).handshake()
    world.server.shutdown(read=False, write=True, now=world.now)
    world.passes()
    world.client.close(world.now)
    assert world.client.read(10, world.now) == b""


def test_a_close_by_ctl_after_shutdown_read_is_end_of_file(authority: Authority) -> None:
    world = World(authority).handshake()
    world.client.shutdown(read=True, write=False, now=world.now)
    world.client.close(world.now)
    assert world.client.read(10, world.now) == b""


def test_a_close_by_ctl_wakes_a_parked_open(authority: Authority) -> None:
    world = World(authority)
    opener = Parked(world.client, lambda: None if world.client.opening(world.now) else finish())

    def finish() -> bool:
        opener.done = True
        return True

    opener.run()
    assert not opener.done
    world.client.close(world.now)
    converse(world, opener, seconds=5.0)
    assert closed_from_this_side(world)
    assert world.client.fevent(Event.ALL) & Event.HUP


def test_a_failed_write_wakes_a_parked_reader(authority: Authority) -> None:
    """The stream raises its failure once, in the write. The reader must see it too."""
    world = World(authority).handshake()
    failures = []

    def read() -> bytes | None:
        try:
            return world.read(world.client)
        except SchemeError as error:
            failures.append(error.errno)
            reader.done = True
        return None

    reader = Parked(world.client, read)
    reader.run()
    world.client.stream.abort(world.now)
    with pytest.raises(SchemeError):
        world.client.write(memoryview(b"x"), world.now)
    converse(world, reader, seconds=5.0)
    assert failures[0] in (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE)

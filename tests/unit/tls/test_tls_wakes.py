"""Nobody sleeps for ever: users of two TLS engines who look only when they are told to, as parked calls do."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest
from test_tls_engine import World

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.tls.engine import TlsEngine
from tests.support.tcp_pair import Weather
from tests.support.tls_certificates import Authority


class Parked:
    """A call that is tried, parks, and is tried again once the engine says "look again"."""

    def __init__(self, engine: TlsEngine, attempt: Callable[[], object | None]) -> None:
        self._attempt = attempt
        self._told = True
        self.done = False
        engine.on_changed = self._wake

    def _wake(self) -> None:
        self._told = True

    def looks(self) -> None:
        """Try, if there was a reason to, until it would park."""
        while self._told and not self.done:
            self._told = False
            while not self.done and self._attempt() is not None:
                pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("good", "example.com")
    return made


def converse(world: World, *calls: Parked, seconds: float = 300.0) -> None:
    """Let time pass until all calls are done. Nobody looks but those who were told to."""

    def all_done() -> bool:
        for call in calls:
            call.looks()
        return all(call.done for call in calls)

    assert world.pair.until(all_done, seconds), "somebody sleeps for ever"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("chunk", [1 << 17, 20_000, 1000])
def test_a_writer_and_a_reader_who_wait_to_be_told_come_to_the_end(authority: Authority, seed: int, chunk: int) -> None:
    world = World(authority, weather=Weather(loss=0.01 * seed)).shake_hands()
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
def test_who_reads_what_a_ctl_closes_is_told_of_the_end(authority: Authority, unread: bytes) -> None:
    """Whoever holds its files: once the stream was left alone, nothing else would ever come."""
    world = World(authority).shake_hands()
    got: list[bytes] = []

    def read() -> bytes | None:
        data = world.read(world.client)
        if data is not None:
            got.append(data)
            reader.done = not data
        return data

    reader = Parked(world.client, read)
    reader.looks()
    if unread:
        world.server.write(memoryview(unread), world.now)
        world.passes()
    world.client.close(world.now)
    converse(world, reader, seconds=5.0)
    assert b"".join(got) == unread
    assert world.client.fevent(Event.ALL) == Event.IN | Event.OUT | Event.HUP | Event.RDHUP
    assert world.client.read(10, world.now) == b""


def test_who_waits_for_a_handshake_that_a_ctl_closes_is_told_of_the_end(authority: Authority) -> None:
    world = World(authority)
    opener = Parked(world.client, lambda: None if world.client.opening(world.now) else finish())

    def finish() -> bool:
        opener.done = True
        return True

    opener.looks()
    assert not opener.done
    world.client.close(world.now)
    converse(world, opener, seconds=5.0)
    assert world.client.read(10, world.now) == b""
    assert world.client.fevent(Event.ALL) & Event.HUP


def test_a_reader_is_told_of_what_a_writer_has_run_into(authority: Authority) -> None:
    """The stream's failure is raised once, at the write that meets it; who reads must hear of it, too."""
    world = World(authority).shake_hands()
    failures = []

    def read() -> bytes | None:
        try:
            return world.read(world.client)
        except SchemeError as error:
            failures.append(error.errno)
            reader.done = True
        return None

    reader = Parked(world.client, read)
    reader.looks()
    world.client.stream.abort(world.now)
    with pytest.raises(SchemeError):
        world.client.write(memoryview(b"x"), world.now)
    converse(world, reader, seconds=5.0)
    assert failures[0] in (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE)

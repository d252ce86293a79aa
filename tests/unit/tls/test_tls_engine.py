"""Two TLS engines over tcp over a simulated wire, in virtual time: ends, readiness, failures."""

from __future__ import annotations

import errno
import random

import pytest

from schemefs.conversation.event_log import EventSource
from schemefs.errors import SchemeError
from schemefs.net.buffer import joined
from schemefs.scheme import Event
from schemes.tls.credentials import client_context, server_context
from schemes.tls.engine import RECEIVE_BUFFER, TlsEngine
from schemes.tls.record_layer import RecordLayer
from tests.support.tcp_pair import Pair, WireImpairment
from tests.support.tls_certificates import AllFiles, Authority, self_signed


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("good", "example.com", "10.0.2.2")
    made.certificate("expired", "example.com", expired=True)
    made.certificate("client", "client.example.com")
    self_signed(made.folder, "alone.example.com")
    return made


class World:
    """A client and a server over tcp. *certificate* is the name of the server's."""

    def __init__(
        self, authority: Authority, certificate="good", name="example.com", *, impairment=None, client=None, server=None
    ) -> None:
        self.pair = Pair(impairment=impairment)
        trust = {"ca": str(authority.ca)}
        self.outcomes: list[bool] = []
        streams = self.pair.established()
        mine = client_context({**trust, **(client or {})}, AllFiles())
        theirs = server_context({"cert": str(authority.folder / f"{certificate}.pem"), **(server or {})}, AllFiles())
        self.client = self._engine(streams[0], RecordLayer(mine, name))
        self.server = self._engine(streams[1], RecordLayer(theirs, None))

    def _engine(self, stream, layer) -> TlsEngine:
        return TlsEngine(stream, layer, self.pair.timers, self.pair.now, 30.0, self.outcomes.append)

    @property
    def now(self) -> float:
        return self.pair.now

    def passes(self, seconds: float = 1.0) -> None:
        self.pair.passes(seconds)

    def handshake(self):
        assert self.pair.until(lambda: self.client.established and self.server.established, 10.0), self.client.error
        self.passes()
        return self

    def refused(self, engine=None) -> SchemeError:
        engine = engine or self.client
        self.pair.until(lambda: bool(engine.error), 10.0)
        with pytest.raises(SchemeError) as caught:
            engine.opening(self.now)
        return caught.value

    def read(self, engine, size=1 << 16):
        data = engine.read(size, self.now)
        return None if data is None else joined(data)


def test_octets_go_both_ways_and_close_notify_is_end_of_file(authority):
    world = World(authority).handshake()
    client, server = world.client, world.server
    assert client.fevent(Event.ALL) == Event.OUT
    assert client.write(memoryview(b"question"), world.now) == 8
    world.passes()
    assert server.fevent(Event.ALL) == Event.IN | Event.OUT
    assert world.read(server) == b"question"
    assert world.read(server) is None
    server.write(memoryview(b"answer"), world.now)
    server.close_lingering(world.now)
    world.passes()
    assert world.read(client) == b"answer"
    assert world.read(client) == b""
    assert client.fevent(Event.ALL) & Event.RDHUP
    client.close(world.now)
    world.passes(5.0)
    assert client.ended
    assert server.ended
    assert world.outcomes == [True, True]


def test_a_closed_end_resets_a_peer_that_goes_on_sending(authority):
    world = World(authority).handshake()
    client, server = world.client, world.server
    client.close(world.now)  # all was read, as a socket's close after which the peer still sends
    world.passes()
    assert world.read(server) == b""
    with pytest.raises(SchemeError) as caught:
        for _ in range(100):
            server.write(memoryview(bytes(1000)), world.now)
            world.passes(0.1)
    assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)


def test_the_close_notify_of_a_peer_meets_no_reset(authority):
    world = World(authority).handshake()
    world.client.close(world.now)
    world.passes()
    world.server.write(memoryview(b"last words"), world.now)
    world.server.close(world.now)
    world.passes(5.0)
    assert (world.server.ended, world.client.ended) == (True, True)
    assert world.server.failed == 0


def test_unread_octets_of_a_record_are_readable(authority):
    world = World(authority).handshake()
    world.server.write(memoryview(b"abcdef"), world.now)
    world.passes()
    assert world.read(world.client, 2) == b"ab"
    assert world.client.stream.queued() == 0
    assert world.client.fevent(Event.IN) == Event.IN
    assert world.client.queued() == 4
    assert world.read(world.client) == b"cdef"
    assert world.client.fevent(Event.IN) == 0


def test_a_bad_certificate_fails_the_open_with_the_reason(authority):
    expired = World(authority, "expired")
    refusal = expired.refused()
    assert refusal.errno == errno.EPROTO
    assert "certificate has expired" in refusal.sentence
    assert "certificate has expired" in expired.client.error
    assert expired.client.session_was_refused
    assert "self-signed" in World(authority, "alone.example.com", "alone.example.com").refused().sentence
    wrong = World(authority, "good", "other.example.com").refused()
    assert "not valid for 'other.example.com'" in wrong.sentence


def test_a_refusal_sends_an_alert_to_the_peer(authority):
    world = World(authority, "expired")
    world.refused()
    world.passes()
    assert "certificate expired" in world.server.error
    assert world.outcomes == [False, False]
    world.server.close(world.now)
    world.client.close(world.now)
    world.passes(5.0)
    assert world.client.ended
    assert world.server.ended


def test_verify_no_accepts_any_certificate_and_a_certificate_may_be_for_an_address(authority):
    assert World(authority, "expired", "other.example", client={"verify": "no"}).handshake().client.established
    by_address = World(authority, "good", "10.0.2.2").handshake()
    assert by_address.client.status(by_address.now)["peer_subject"].endswith(", CN=good")


def test_truncation_is_a_reset_after_the_data_and_never_end_of_file(authority):
    world = World(authority).handshake()
    world.server.write(memoryview(b"half a li"), world.now)
    world.server.stream.close_lingering(world.now)  # FIN, without close_notify
    world.passes()
    client = world.client
    assert world.read(client) == b"half a li"
    for _ in range(2):
        with pytest.raises(SchemeError) as caught:
            client.read(100, world.now)
        assert caught.value.errno == errno.ECONNRESET
        assert "close_notify" in client.error


def test_half_close_lets_the_answer_through(authority):
    world = World(authority).handshake()
    world.client.write(memoryview(b"all of it"), world.now)
    world.client.shutdown(read=False, write=True, now=world.now)
    with pytest.raises(SchemeError) as caught:
        world.client.write(memoryview(b"x"), world.now)
    assert caught.value.errno == errno.EPIPE
    world.passes()
    assert world.read(world.server) == b"all of it"
    assert world.read(world.server) == b""
    answer = random.Random(1).randbytes(100_000)
    sent = world.server.write(memoryview(answer), world.now)
    assert sent == len(answer)
    world.server.shutdown(read=False, write=True, now=world.now)
    world.passes(5.0)
    got = b""
    while octets := world.read(world.client):
        got += octets
    assert octets == b""
    assert got == answer


def test_half_close_during_the_handshake(authority):
    world = World(authority)
    world.client.shutdown(read=False, write=True, now=world.now)
    world.passes()
    assert world.read(world.server) == b""
    world.server.write(memoryview(b"hello"), world.now)
    world.passes()
    assert world.read(world.client) == b"hello"


def test_bulk_through_loss_with_a_slow_reader_is_bounded_and_complete(authority):
    impairment = WireImpairment(loss=0.03, reordering=0.05)
    world = World(authority, impairment=impairment).handshake()
    octets = random.Random(2).randbytes(3 << 20)
    rest, got = memoryview(octets), bytearray()
    largest = 0
    for _ in range(4000):
        while rest and (taken := world.server.write(rest[:131072], world.now)):
            rest = rest[taken:]
        largest = max(largest, len(world.client.receive_buffer))
        if data := world.read(world.client, 50_000):
            got += data
        if len(got) == len(octets):
            break
        world.passes(0.05)
    assert got == octets
    assert largest <= RECEIVE_BUFFER + (1 << 17)


def test_a_silent_peer_times_out(authority):
    pair = Pair()
    stream, _ = pair.established()
    layer = RecordLayer(client_context({}), "example.com")
    engine = TlsEngine(stream, layer, pair.timers, pair.now, 5.0, lambda _succeeded: None)
    pair.passes(4.0)
    assert engine.opening(pair.now)
    pair.passes(2.0)
    with pytest.raises(SchemeError) as caught:
        engine.opening(pair.now)
    assert caught.value.errno == errno.ETIMEDOUT


def test_plain_text_instead_of_tls_is_eproto(authority):
    pair = Pair()
    stream, peer = pair.established()
    layer = RecordLayer(client_context({}), "example.com")
    engine = TlsEngine(stream, layer, pair.timers, pair.now, 5.0, lambda _succeeded: None)
    peer.write(memoryview(b"HTTP/1.0 400 Bad Request\r\n\r\n"), pair.now)
    pair.passes(1.0)
    with pytest.raises(SchemeError) as caught:
        engine.opening(pair.now)
    assert caught.value.errno == errno.EPROTO


def test_a_reset_is_a_reset(authority):
    world = World(authority).handshake()
    world.server.abort(world.now)
    world.passes()
    with pytest.raises(SchemeError) as caught:
        world.client.read(10, world.now)
    assert caught.value.errno == errno.ECONNRESET


def test_plaintext_before_a_reset_is_readable_at_an_open_after_it(authority):
    world = World(authority).handshake()
    world.server.write(memoryview(b"before"), world.now)
    world.passes()
    world.server.abort(world.now)
    world.passes()
    assert not world.client.opening(world.now)
    assert world.read(world.client) == b"before"
    assert world.refused().errno == errno.ECONNRESET


_BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)


@pytest.mark.parametrize("at_once", [True, False])
def test_plaintext_before_a_bad_record_is_readable_and_then_eproto(authority, at_once):
    world = World(authority).handshake()
    world.server.write(memoryview(b"before"), world.now)
    if not at_once:
        world.passes()
    world.server.stream.write(memoryview(_BAD_RECORD), world.now)
    world.passes()
    assert world.client.fevent(Event.ALL) & Event.IN
    assert world.read(world.client) == b"before"
    for _ in range(2):
        with pytest.raises(SchemeError) as caught:
            world.read(world.client)
        assert caught.value.errno == errno.EPROTO


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("unread", [False, True])
def test_after_an_abort_no_read_is_the_end_of_the_file(authority, unread, complete):
    world = World(authority).handshake()
    world.server.write(memoryview(b"a part"), world.now)
    if complete:
        world.server.shutdown(read=False, write=True, now=world.now)
    world.passes()
    if not unread:
        assert world.read(world.client) == b"a part"
    world.client.abort(world.now)
    assert world.client.fevent(Event.ALL) & Event.ERR
    for attempt in range(2):
        if attempt and complete and not unread:
            assert world.read(world.client) == b""
            break
        with pytest.raises(SchemeError) as caught:
            world.read(world.client)
        assert caught.value.errno == errno.ECONNABORTED


def test_close_with_unread_octets_resets_the_peer_as_with_a_socket(authority):
    world = World(authority).handshake()
    world.server.write(memoryview(b"never read"), world.now)
    world.passes()
    world.client.close(world.now)
    world.passes()
    with pytest.raises(SchemeError) as caught:
        world.server.read(10, world.now)
    assert caught.value.errno == errno.ECONNRESET


def test_a_server_with_ca_requires_a_certificate(authority):
    trust = {"ca": str(authority.ca)}
    known = World(authority, client={"cert": str(authority.folder / "client.pem")}, server=trust).handshake()
    assert known.server.status(known.now)["peer_subject"].endswith(", CN=client")
    unknown = World(authority, server=trust)
    assert unknown.refused(unknown.server).errno == errno.EPROTO
    with pytest.raises(SchemeError) as caught:
        unknown.passes()
        unknown.client.read(1, unknown.now)
    assert "certificate required" in caught.value.sentence


def test_status_shows_the_session(authority):
    world = World(authority, client={"alpn": "h2+http%2F1.1"}, server={"alpn": "http%2F1.1"}).handshake()
    shown = world.client.status(world.now)
    assert next(iter(shown)) == "state"
    assert (shown["state"], shown["version"], shown["alpn"]) == ("ESTABLISHED", "TLSv1.3", "http/1.1")
    assert shown["verified"] == "yes"
    assert shown["stream_state"] == "ESTABLISHED"


def test_unusable_files_are_named(tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(SchemeError) as bad:
        client_context({"ca": str(tmp_path / "bad.pem").replace("/", "%2F")}, AllFiles())
    assert bad.value.errno == errno.EINVAL
    with pytest.raises(SchemeError) as none:
        server_context({})
    assert "cert=FILE" in none.value.sentence


def test_events_are_those_of_the_stream(authority: Authority) -> None:
    """Handshake messages and records appear as segments."""
    world = World(authority)
    lines: list[str] = []
    assert isinstance(world.client, EventSource)
    world.client.record_to(lambda _now, text, *_: lines.append(text))
    assert world.client.sink is world.client.stream.sink is not None  # type: ignore[attr-defined]
    world.client.write(memoryview(b"hello"), world.pair.now)
    world.pair.passes(1.0)
    assert any("PSH-ACK out" in line for line in lines)


def test_the_handshake_of_tls_has_its_time(authority: Authority) -> None:
    world = World(authority)
    world.pair.passes(1.0)
    began = world.pair.now
    parts = {part.cause: part.seconds for part in world.client.time_spent(began)}
    assert 0 < parts["tls"] < 0.1
    world.pair.passes(2.0)
    after = {part.cause: part.seconds for part in world.client.time_spent(world.pair.now)}
    assert after["tls"] == parts["tls"]
    assert sum(after.values()) == pytest.approx(sum(parts.values()) + world.pair.now - began)

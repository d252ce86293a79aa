"""The handshake outside the event loop: what happens while a step runs, what is refused, and what is parsed once."""

from __future__ import annotations

import errno
import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_tls_engine import World

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.tls import credentials, key_size, record_layer
from schemes.tls.credentials import TlsContext, client_context, server_context
from schemes.tls.engine import TlsEngine
from schemes.tls.key_size import first_certificate, key_bits
from schemes.tls.record_layer import RecordLayer
from tests.support.tls_certificates import AllFiles, Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("good", "example.com")
    return made


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def self_signed(folder: Path, key: str, *extensions: str) -> Path:
    """Return a PEM file with a certificate whose subject is CN=example.com, and its key."""
    path = folder / f"{key.replace(':', '-')}{len(extensions)}.pem"
    made = ("req", "-x509", "-newkey", *key.split("/"), "-noenc", "-days", "2", "-subj", "/CN=example.com", *extensions)
    openssl(*made, "-keyout", str(path), "-out", f"{path}.crt")
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


class Desk:
    """An executor whose work the test does."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self.done = 0

    def __call__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        self.waiting.append((work, done))

    def do(self) -> None:
        """Do what waits now."""
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            work()
            done()
            self.done += 1


class SlowWorld(World):
    """Both ends have their steps run by `desk`."""

    def __init__(self, authority: Authority, **arguments: object) -> None:
        self.desk = Desk()
        super().__init__(authority, **arguments)

    def _engine(self, stream, layer) -> TlsEngine:
        return TlsEngine(stream, layer, self.pair.timers, self.pair.now, 30.0, self.outcomes.append, self.desk)

    def work(self, steps: int = 20) -> None:
        for _ in range(steps):
            self.desk.do()
            self.passes(0.1)


def test_a_handshake_goes_on_when_its_steps_are_done(authority):
    world = SlowWorld(authority)
    world.passes()
    assert world.client.opening(world.now)
    assert len(world.desk.waiting) == 2  # nothing has run, and nothing runs twice
    world.work()
    assert world.client.established
    assert world.server.established
    assert world.outcomes == [True, True]
    assert world.client.write(memoryview(b"question"), world.now) == 8
    world.passes()
    assert world.read(world.server) == b"question"
    assert not world.desk.waiting  # records are not steps
    assert 3 <= world.desk.done <= 6


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("end", ["close", "close_lingering", "abort"])
def test_a_conversation_may_end_while_a_step_runs(authority, steps, end):
    """The layer belongs to the step: nothing touches it meanwhile, and its outcome changes nothing any more."""
    world = SlowWorld(authority)
    world.passes()
    for _ in range(steps):
        world.desk.do()
        world.passes(0.1)
    engine = world.client
    waiting = list(world.desk.waiting)
    engine.status(world.now)
    engine.fevent(Event.ALL)
    getattr(engine, end)(world.now)
    world.passes()
    world.desk.waiting = waiting + [each for each in world.desk.waiting if each not in waiting]
    world.work()
    world.passes(60.0)
    assert engine.ended
    assert world.server.failed or world.server.ended or world.server.at_end
    assert world.outcomes.count(True) <= 2
    assert len(world.outcomes) <= 2


def test_the_time_is_over_while_a_step_runs(authority):
    world = SlowWorld(authority)
    world.passes(31.0)
    assert world.client.failed == errno.ETIMEDOUT
    world.work()
    assert not world.client.established
    assert world.outcomes == [False, False]


def test_the_peer_may_end_while_a_step_runs(authority):
    world = SlowWorld(authority)
    world.server.abort(world.now)
    world.passes()
    assert world.client.opening(world.now)  # not looked at before the step is done
    world.work()
    assert world.client.failed == errno.ECONNRESET


def raw_server(authority: Authority, **attributes: object) -> TlsContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "good.pem")
    for name, value in attributes.items():
        setattr(context, name, value)
    return TlsContext(context)


def test_a_server_that_has_only_dhe_is_refused(authority, tmp_path):
    """RFC 9325 §4.1: the server chooses the prime, and a long one takes seconds."""
    parameters = tmp_path / "dh.pem"
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", str(parameters))
    server = raw_server(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    server.context.load_dh_params(parameters)
    server.context.set_ciphers("DHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384")
    theirs = RecordLayer(server, None)
    mine = RecordLayer(client_context({"ca": str(authority.ca)}, AllFiles()), "example.com")
    assert not mine.handshake()
    theirs.receive(mine.take())
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        theirs.handshake()


@pytest.mark.parametrize("context", [client_context({"verify": "no"}), client_context({"alpn": "h2"})])
def test_only_ecdhe_is_offered(context):
    names = [cipher["name"] for cipher in context.context.get_ciphers()]
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)


@pytest.mark.parametrize(("key", "bits"), [("rsa:2048", 2048), ("rsa:3072", 3072), ("ed25519", 256)])
def test_the_size_of_a_key(tmp_path, key, bits):
    pem = self_signed(tmp_path, key).read_bytes()
    certificate = first_certificate(pem)
    assert key_bits(certificate) == bits
    for length in range(0, len(certificate) - 1, 7):
        with pytest.raises(ValueError, match="too early"):
            key_bits(certificate[:length])


@pytest.mark.parametrize("begins", [b"\x30\x10", b"\x30\x7f", b"\x30\x84\xff\xff"])
def test_the_octets_of_a_key_do_not_say_which_kind_it_is(tmp_path, begins):
    certificate = first_certificate(self_signed(tmp_path, "ed25519").read_bytes())
    at = certificate.index(b"\x03\x21\x00") + 3  # a BIT STRING of 32 octets
    assert key_bits(certificate[:at] + begins + certificate[at + len(begins) :]) == 256


def test_a_long_key_of_our_own_is_einval(authority, monkeypatch):
    monkeypatch.setattr(credentials, "MAX_BITS", 500)
    name = str(authority.folder / "good.pem")
    with pytest.raises(SchemeError) as raised:
        server_context({"cert": name}, AllFiles())
    assert raised.value.errno == errno.EINVAL
    assert raised.value.sentence == f"{name} has a key of 520 bits; at most 500 are allowed"


def test_a_long_key_of_the_peer_is_refused(authority, monkeypatch):
    monkeypatch.setattr(record_layer, "MAX_BITS", 500)
    refusal = World(authority).refused()
    assert refusal.errno == errno.EPROTO
    assert refusal.sentence.endswith("its certificate was refused: its key has 520 bits, more than 500")
    assert key_size.MAX_BITS == 8192


@pytest.mark.parametrize(
    ("extensions", "is_taken"), [((), False), (("-addext", "subjectAltName=DNS:example.com"), True)]
)
def test_a_name_in_the_subject_identifies_no_server(authority, tmp_path, extensions, is_taken):
    """RFC 9525 §6.3: only subjectAltName counts."""
    path = self_signed(tmp_path, "ed25519", *extensions)
    mine = RecordLayer(client_context({"ca": f"{path}.crt"}, AllFiles()), "example.com")
    theirs = RecordLayer(server_context({"cert": str(path)}, AllFiles()), None)
    mine.handshake()
    theirs.receive(mine.take())
    theirs.handshake()
    mine.receive(theirs.take())
    if is_taken:
        assert mine.handshake()
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            mine.handshake()


def test_the_system_s_certificates_are_parsed_once(authority, monkeypatch):
    """With a new ALPN too; and the context that is shared verifies, with name and ALPN of each connection's own."""
    parsed = []

    def load(context: ssl.SSLContext) -> None:
        parsed.append(context)
        context.load_verify_locations(authority.ca)

    monkeypatch.setattr(credentials, "_load_system_trust", load)
    credentials._system_trust.cache_clear()
    server = server_context({"cert": str(authority.folder / "good.pem"), "alpn": "h2+http%2F1.1"}, AllFiles())
    try:
        for alpn, name in (("h2", "example.com"), ("http%2F1.1", "example.com"), ("h2", "other.example")):
            mine, theirs = RecordLayer(client_context({"alpn": alpn}), name), RecordLayer(server, None)
            mine.handshake()
            theirs.receive(mine.take())
            theirs.handshake()
            mine.receive(theirs.take())
            if name == "example.com":
                assert mine.handshake()
                assert mine.tls.selected_alpn_protocol() == alpn.replace("%2F", "/")
            else:
                with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
                    mine.handshake()
        assert len(parsed) == 1
    finally:
        credentials._system_trust.cache_clear()


def test_a_client_s_certificate_stays_with_the_system_s_trust(authority, monkeypatch):
    """Its context has a store of its own: a shared one would replace the certificate."""
    monkeypatch.setattr(credentials, "_load_system_trust", lambda context: context.load_verify_locations(authority.ca))
    certificate = str(authority.folder / "good.pem")
    mine = RecordLayer(client_context({"cert": certificate}, AllFiles()), "example.com")
    theirs = RecordLayer(server_context({"cert": certificate, "ca": str(authority.ca)}, AllFiles()), None)
    for _ in range(3):
        mine.handshake()
        theirs.receive(mine.take())
        theirs.handshake()
        mine.receive(theirs.take())
    assert theirs.tls.getpeercert()


@pytest.mark.parametrize(
    ("number", "shown", "words"),
    [
        (errno.EMFILE, errno.EMFILE, "no file descriptor left"),
        (errno.EACCES, errno.EPROTO, "can't be read: Permission"),
    ],
)
def test_system_certificates_that_cannot_be_read_fail_the_open(authority, monkeypatch, number, shown, words):
    def fails(_context: ssl.SSLContext) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(credentials, "_load_system_trust", fails)
    credentials._system_trust.cache_clear()
    world = World(authority)
    layer = RecordLayer(client_context({}), "example.com")
    engine = TlsEngine(world.client.stream, layer, world.pair.timers, world.now, 5.0, lambda _succeeded: None)
    with pytest.raises(SchemeError) as raised:
        engine.opening(world.now)
    assert raised.value.errno == shown
    assert words in raised.value.sentence

"""Any octets instead of TLS or of a record: the conversation fails, without an internal exception."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.net.buffer import joined
from schemefs.testing.pipes import PipeEngine
from schemefs.timers import Timers
from schemes.tls.credentials import client_context, server_context
from schemes.tls.engine import TlsEngine
from schemes.tls.record_layer import RecordLayer
from tests.support.tls_certificates import AllFiles, Authority

CONTEXTS = []


@pytest.fixture(scope="module", autouse=True)
def contexts(tmp_path_factory) -> None:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    certificate = authority.certificate("here", "here")
    CONTEXTS[:] = [
        client_context({"ca": str(authority.ca)}, AllFiles()),
        server_context({"cert": str(certificate)}, AllFiles()),
    ]


def pipe() -> tuple[PipeEngine, PipeEngine]:
    left, right = PipeEngine("10.0.0.1:1", "10.0.0.2:2"), PipeEngine("10.0.0.2:2", "10.0.0.1:1")
    left.establish(right)
    right.establish(left)
    return left, right


def engine(stream: PipeEngine, timers: Timers, name: str | None) -> TlsEngine:
    return TlsEngine(stream, RecordLayer(CONTEXTS[name is None], name), timers, 0.0, 30.0, lambda _succeeded: None)


def settle(timers: Timers) -> None:
    for _ in range(30):
        timers.on_deadline(0.0)


def read_all(end: TlsEngine) -> bytes | None:
    """Return the octets before end of file; None: no end of file."""
    got = bytearray()
    while (data := end.read(1 << 16, 0.0)) is not None:
        octets = joined(data)
        if not octets:
            return bytes(got)
        got += octets
    return None


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_instead_of_a_handshake(octets, as_server):
    timers = Timers()
    left, right = pipe()
    end = engine(left, timers, None if as_server else "here")
    right.write(memoryview(octets), 0.0)
    right.shutdown(read=False, write=True, now=0.0)
    settle(timers)
    assert end.failed
    with pytest.raises(SchemeError):
        end.opening(0.0)


@given(st.binary(min_size=1, max_size=20_000), st.randoms(use_true_random=False))
def test_a_changed_record_is_never_accepted(octets, seeded: random.Random):
    timers = Timers()
    left, right = pipe()
    client, server = engine(left, timers, "here"), engine(right, timers, None)
    settle(timers)
    assert client.established
    assert server.established
    settle(timers)
    left.on_changed = lambda: None  # the test changes the octets before the client reads them
    server.write(memoryview(octets), 0.0)
    server.shutdown(read=False, write=True, now=0.0)
    left.received[seeded.randrange(len(left.received))] ^= 1 << seeded.randrange(8)
    client._wakeup.call_soon()
    settle(timers)
    with pytest.raises(SchemeError):
        read_all(client)


@given(st.binary(min_size=1, max_size=20_000), st.integers(1, 40_000))
def test_a_truncated_stream_is_never_accepted_as_complete(octets, kept):
    timers = Timers()
    left, right = pipe()
    client, server = engine(left, timers, "here"), engine(right, timers, None)
    settle(timers)
    left.on_changed = lambda: None
    server.write(memoryview(octets), 0.0)
    server.shutdown(read=False, write=True, now=0.0)
    whole = kept >= len(left.received)
    del left.received[kept:]
    client._wakeup.call_soon()
    settle(timers)
    if whole:
        assert read_all(client) == octets
    else:
        with pytest.raises(SchemeError):
            read_all(client)

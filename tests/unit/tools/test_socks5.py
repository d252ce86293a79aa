"""The negotiation of SOCKS5 (RFC 1928), octet by octet and with what no client should send."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.tools.socks5 import (
    ADDRESS_TYPE_NOT_SUPPORTED,
    COMMAND_NOT_SUPPORTED,
    HOST_UNREACHABLE,
    SUCCEEDED,
    Negotiation,
    RefusedError,
    Request,
    reply,
)

METHODS = b"\5\2\2\0"
NAME = b"\5\1\0\3\x0bwww.example\0\x50"
REQUESTS = [
    (NAME, Request("www.example", 80)),
    (b"\5\1\0\1\x0a\0\2\2\x10\0", Request("10.0.2.2", 4096)),
    (b"\5\1\0\4" + bytes(15) + b"\1\0\x50", Request("[::1]", 80)),
    (b"\5\1\0\4" + bytes(16) + b"\0\x50", Request("[::1]", 80)),  # in the tree these would listen
    (b"\5\1\0\1\0\0\0\0\0\x50", Request("127.0.0.1", 80)),
    (b"\5\1\0\3\0070.0.0.0\0\x50", Request("127.0.0.1", 80)),
]


@pytest.mark.parametrize(("octets", "request_"), REQUESTS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_request_in_pieces_of_any_size(octets: bytes, request_: Request, size: int) -> None:
    negotiation, answers = Negotiation(), b""
    stream = METHODS + octets
    for at in range(0, len(stream), size):
        assert negotiation.request is None
        answers += negotiation.receive(stream[at : at + size])
    assert answers == b"\5\0"
    assert negotiation.request == request_
    assert not negotiation.rest


def test_octets_that_a_client_sends_early_are_of_the_connection() -> None:
    negotiation = Negotiation()
    assert negotiation.receive(METHODS + NAME + b"GET /") == b"\5\0"
    assert negotiation.rest == b"GET /"


@pytest.mark.parametrize(
    ("octets", "answer", "sentence"),
    [
        (b"\4\1\0\x50\1\2\3\4\0", b"", "version 4 of SOCKS is not spoken"),
        (b"GET / HTTP/1.1\r\n", b"", "version 71 of SOCKS"),
        (b"\5\1\2", b"\5\xff", "wants to authenticate"),
        (b"\5\0", b"\5\xff", "wants to authenticate"),
        (METHODS + b"\4\1\0\1\1\1\1\1\0\1", b"", "a request of version 4"),
        (METHODS + b"\5\2\0\1\1\1\1\1\0\1", reply(COMMAND_NOT_SUPPORTED), "command 2: only CONNECT"),
        (METHODS + b"\5\3\0\1\1\1\1\1\0\1", reply(COMMAND_NOT_SUPPORTED), "command 3: only CONNECT"),
        (METHODS + b"\5\1\0\7\1\1\1\1\0\1", reply(ADDRESS_TYPE_NOT_SUPPORTED), "address type 7"),
        (METHODS + b"\5\1\0\3\0\0\1", reply(ADDRESS_TYPE_NOT_SUPPORTED), "address type 3 with no address"),
        (METHODS + b"\5\1\0\3\x0a../etc/x:1\0\1", reply(HOST_UNREACHABLE), "is no name of a host"),
        (METHODS + b"\5\1\0\3\x06a,b=c\n\0\1", reply(HOST_UNREACHABLE), "is no name of a host"),
        (METHODS + b"\5\1\0\3\2..\0\1", reply(HOST_UNREACHABLE), "is no name of a host"),
        (METHODS + b"\5\1\0\3\2\xff\xff\0\1", reply(HOST_UNREACHABLE), "is no name of a host"),
    ],
)
def test_what_is_refused(octets: bytes, answer: bytes, sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence) as refused:
        Negotiation().receive(octets)
    assert refused.value.reply == (b"\5\0" if octets.startswith(METHODS) else b"") + answer


def test_replies() -> None:
    assert reply(SUCCEEDED, "10.0.2.15:4096") == b"\5\0\0\1\x0a\0\2\x0f\x10\0"
    assert reply(SUCCEEDED, "[fd09::2]:80") == b"\5\0\0\4\xfd\x09" + bytes(13) + b"\2\0\x50"
    assert reply(HOST_UNREACHABLE) == b"\5\4\0\1" + bytes(6)


@given(st.lists(st.binary(max_size=300)))
def test_any_octets_are_a_request_or_refused(pieces: list[bytes]) -> None:
    negotiation = Negotiation()
    with suppress(RefusedError):
        for piece in pieces:
            if negotiation.request is None:
                negotiation.receive(piece)
    assert negotiation.request is None or "/" not in str(negotiation.request)

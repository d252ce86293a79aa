"""What an address is used for: a table of addresses, verbs and protocols."""

from __future__ import annotations

import pytest

from schemefs.conversation import Use, use_of
from schemefs.net.addresses import parse_address_path


@pytest.mark.parametrize(
    ("text", "stream", "datagrams"),
    [
        ("10.0.2.2:80", Use.CONNECT, Use.CONNECT),
        ("example.com:80,nodelay", Use.CONNECT, Use.CONNECT),
        (":80", Use.LISTEN, Use.BIND),
        ("*:80", Use.LISTEN, Use.BIND),
        ("0.0.0.0:80", Use.LISTEN, Use.BIND),
        (":80,listen", Use.LISTEN, Use.LISTEN),
        ("10.0.2.15:80,listen", Use.LISTEN, Use.LISTEN),
        (":80,accept", Use.ACCEPT, Use.ACCEPT),
        ("10.0.2.15:80,accept", Use.ACCEPT, Use.ACCEPT),
        ("10.0.2.15:80,accept,listen", Use.ACCEPT, Use.ACCEPT),
        ("10.0.2.15:80,bind", Use.LISTEN, Use.BIND),  # not an option of streams: refused when it is parsed
        (":80,bind", Use.LISTEN, Use.BIND),
    ],
)
def test_use_of_a_path(text: str, stream: Use, datagrams: Use) -> None:
    address = parse_address_path(text)
    assert use_of(address, datagrams=False) is stream
    assert use_of(address, datagrams=True) is datagrams


@pytest.mark.parametrize("text", ["10.0.2.15:80", ":80"])
def test_a_verb_has_decided_already(text: str) -> None:
    address = parse_address_path(text)
    assert use_of(address, datagrams=False, given=Use.CONNECT) is Use.CONNECT
    assert use_of(address, datagrams=False, given=Use.LOCAL) is Use.LISTEN
    assert use_of(address, datagrams=True, given=Use.LOCAL) is Use.BIND


def test_announce_with_listen_is_a_conversation_for_each_sender() -> None:
    assert use_of(parse_address_path("10.0.2.15:80,listen"), datagrams=True, given=Use.LOCAL) is Use.LISTEN

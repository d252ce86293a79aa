"""The capture of a conversation with `keys`: begun with it, given to the first opening, ended with it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from schemefs.conversation.captures import KEPT_OCTETS, ConversationCaptures
from schemefs.errors import SchemeError
from schemefs.net.capture_filter import Filter
from schemefs.net.frame_fields import TCP, FrameFields

OURS = FrameFields(TCP, "tcp", b"\x0a\0\2\x0f", b"\x0a\0\2\2", 40000, 443)
OTHER = FrameFields(TCP, "tcp", b"\x0a\0\2\x0f", b"\x0a\0\2\2", 40001, 443)


class Capture:
    """A capture that was begun."""

    def __init__(self, kept: Filter, name: str, secrets: Callable[[], bytes | None], limit: int) -> None:
        self.kept, self.name, self.secrets, self.limit = kept, name, secrets, limit
        self.closed = False

    def close(self, _now: float) -> None:
        self.closed = True


class Talk:
    """A conversation that looks its host up."""

    name = "tls/3"
    listener = None

    def __init__(self) -> None:
        self.engine = SimpleNamespace(local="", remote="", secrets=None)


def captures() -> ConversationCaptures:
    protocol = SimpleNamespace(frames="tcp", ports=True, secrets=lambda engine: engine.secrets)
    return ConversationCaptures(SimpleNamespace(tree=SimpleNamespace(capture=Capture)), protocol)


def test_the_first_opening_gets_what_was_kept_and_the_next_one_begins_anew() -> None:
    made, talk = captures(), Talk()
    made.keep(talk)
    kept = made.open(talk)
    assert (kept.name, kept.limit, kept.secrets()) == ("tls/3/capture.pcapng", KEPT_OCTETS, None)
    assert not kept.kept(OURS), "its addresses are not known yet"
    talk.engine = SimpleNamespace(local="10.0.2.15:40000", remote="10.0.2.2:443", secrets=b"CLIENT_RANDOM")
    assert (kept.kept(OURS), kept.kept(OTHER), kept.secrets()) == (True, False, b"CLIENT_RANDOM")
    talk.engine = None
    assert (kept.kept(OURS), kept.secrets()) == (True, b""), "the last frames are those after its end"
    made.forget(talk)
    assert not kept.closed, "it belongs to the opener"
    talk.engine = SimpleNamespace(local="10.0.2.15:40000", remote="10.0.2.2:443", secrets=b"")
    assert made.open(talk) is not kept


def test_a_capture_that_was_never_opened_ends_with_its_conversation() -> None:
    made, talk = captures(), Talk()
    made.keep(talk)
    kept = made._kept[talk]
    made.forget(talk)
    made.forget(talk)
    assert kept.closed


def test_without_an_address_there_is_nothing_to_capture() -> None:
    with pytest.raises(SchemeError, match="tls/3 has no address yet: connect or announce it first"):
        captures().open(Talk())

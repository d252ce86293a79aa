"""Captures of single conversations: their frames, by their addresses.

With the option `keys` of an address the capture begins with the conversation, and is kept until it is opened: what
decrypts the text is of no use without the handshake. Without it, opening begins the capture.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.conversation import attributes
from schemefs.conversation.directory import CAPTURE
from schemefs.errors import SchemeError
from schemefs.net.capture_filter import Filter, parse_filter

if TYPE_CHECKING:
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.protocol import ConversationProtocol
    from schemefs.net.frame_fields import FrameFields
    from schemefs.scheme import Handle, SchemeContext

KEYS: Final = "keys"
KEPT_OCTETS: Final = 1 << 16  # of a capture that was not opened yet: enough for a handshake


class ConversationCaptures:
    """Those of one protocol."""

    def __init__(self, context: SchemeContext, protocol: ConversationProtocol) -> None:
        self._tree = context.tree
        self._protocol = protocol
        self._kept: dict[Conversation, Handle] = {}

    def open(self, conversation: Conversation) -> Handle:
        """Return the capture that was kept, or begin one. ENOTCONN: it has no address yet."""
        kept = self._kept.pop(conversation, None)
        if kept is not None:
            return kept
        ends = _ends(conversation)
        if not any(ends):
            sentence = f"{conversation.name} has no address yet: connect or announce it first"
            raise SchemeError(errno.ENOTCONN, sentence)
        return self._begin(conversation, _filter(self._protocol, ends), 0)

    def keep(self, conversation: Conversation) -> None:
        """Begin the capture of a conversation that was just made, for its first opening."""
        self._kept[conversation] = self._begin(conversation, _OwnFrames(conversation, self._protocol), KEPT_OCTETS)

    def forget(self, conversation: Conversation) -> None:
        """End the capture that was kept: the conversation has ended."""
        kept = self._kept.pop(conversation, None)
        if kept is not None:
            kept.close(0.0)

    def _begin(self, conversation: Conversation, kept: Filter, limit: int) -> Handle:
        def secrets() -> bytes | None:
            return b"" if conversation.engine is None else self._protocol.secrets(conversation.engine)

        return self._tree.capture(kept, f"{conversation.name}/{CAPTURE}", secrets, limit)


class _OwnFrames:
    """A filter that follows the addresses of a conversation until they are known."""

    def __init__(self, conversation: Conversation, protocol: ConversationProtocol) -> None:
        self._conversation = conversation
        self._protocol = protocol
        self._ends = ("", "")
        self._filter: Filter | None = None

    def __call__(self, fields: FrameFields) -> bool:
        ends = _ends(self._conversation)
        if all(ends) and ends != self._ends:
            self._ends, self._filter = ends, _filter(self._protocol, ends)
        return self._filter is not None and self._filter(fields)


def _ends(conversation: Conversation) -> tuple[str, str]:
    return attributes.local(conversation), attributes.remote(conversation)


def _filter(protocol: ConversationProtocol, ends: tuple[str, str]) -> Filter:
    """Return the filter of a conversation; an end may be empty."""
    terms = [protocol.frames] if protocol.frames else []
    for end in filter(None, ends):
        host, port = end.rpartition(":")[::2] if protocol.ports else (end, "")
        address = host.strip("[]").partition("%")[0]
        terms += [f"host {address}"] if address not in ("*", "") else []
        terms += [f"port {port}"] if port else []
    return parse_filter(" and ".join(terms))

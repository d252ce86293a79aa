"""Octets in and out of OpenSSL, in memory: records from the stream become plain text, plain text becomes records.

    receive ──> incoming ──> SSLObject ──> decrypt
    take    <── outgoing <── SSLObject <── encrypt, handshake, close_notify

Nothing here waits, and nothing is left inside that could be had: `decrypt` gives everything that is complete, so an
empty answer means that more must arrive. Errors are ssl.SSLError; what is to be told to the peer is in `take` then.
"""

from __future__ import annotations

import ssl
from typing import Final

_RECORD: Final = 16384  # RFC 8446 §5.1


class Layer:
    """One end of one TLS connection. *name*: whom a client wants; None: a server."""

    __slots__ = ("_incoming", "_outgoing", "ended", "name", "tls")

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.name = name
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=name is None, server_hostname=name)
        self.ended = False  # the peer's close_notify was read: nothing more comes

    def receive(self, octets: bytes) -> None:
        """Take what has arrived."""
        self._incoming.write(octets)

    def take(self) -> bytes:
        """Return what is to be sent."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; True: it is complete."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self) -> bytes:
        """Return the plain text of all records that are complete."""
        plain: list[bytes] = []
        try:
            while not self.ended:
                octets = self.tls.read(_RECORD)
                if octets:
                    plain.append(octets)
                else:
                    self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(plain)

    def encrypt(self, data: memoryview) -> None:
        """Make records of all of *data*, which is not empty."""
        while data:
            data = data[self.tls.write(data) :]

    def close_notify(self) -> None:
        """Say that no more is sent (RFC 8446 §6.1). `decrypt` must have been called: nothing complete may be inside."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # unwrap would wait for the peer's, which may take its time: it can still send
        except ssl.SSLError:
            if not self.ended:
                raise


def sentence(error: ssl.SSLError) -> str:
    """Return what went wrong, in OpenSSL's words without its decoration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message.rstrip('.')}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"TLS failed: {reason}"

"""TLS records in memory: OpenSSL decrypts the stream's octets to plaintext and encrypts plaintext to records.

    receive ──> incoming ──> SSLObject ──> decrypt
    take    <── outgoing <── SSLObject <── encrypt, handshake, close_notify

No call blocks. `decrypt` returns the plaintext of all complete records, so an empty result means that more octets must
arrive. Errors are ssl.SSLError; after one, `take` returns the alert for the peer.
"""

from __future__ import annotations

import ssl
from typing import Final

_RECORD: Final = 16384  # RFC 8446 §5.1


class RecordLayer:
    """One end of a TLS connection. *name*: the server name that a client verifies; None: this end is the server."""

    __slots__ = ("_incoming", "_outgoing", "ended", "name", "tls")

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.name = name
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=name is None, server_hostname=name)
        self.ended = False  # the peer's close_notify was read

    def receive(self, octets: bytes) -> None:
        """Add octets of the stream."""
        self._incoming.write(octets)

    def take(self) -> bytes:
        """Return the records to send, and remove them."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Continue the handshake; True: it is complete."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self) -> bytes:
        """Return the plaintext of all complete records."""
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
        """Encrypt all of *data*, which must not be empty."""
        while data:
            data = data[self.tls.write(data) :]

    def close_notify(self) -> None:
        """Write a close_notify alert (RFC 8446 §6.1). Call `decrypt` first: no complete record may be inside."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # unwrap waits for the peer's close_notify, but the peer may still send data
        except ssl.SSLError:
            if not self.ended:
                raise


def sentence(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason without its prefixes and capitals."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message.rstrip('.')}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"TLS failed: {reason}"

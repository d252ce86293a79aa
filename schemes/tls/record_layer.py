"""TLS records in memory: OpenSSL decrypts the stream's octets to plaintext and encrypts plaintext to records.

    receive ──> incoming ──> SSLObject ──> decrypt
    take    <── outgoing <── SSLObject <── encrypt, handshake, close_notify

No call blocks. `decrypt` returns the plaintext of all complete records, so an empty result means that more octets must
arrive. Errors are ssl.SSLError; after one, `take` returns the alert for the peer. An error of `decrypt` is in
`failure`, since records before the bad one have plaintext that the caller must get.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from schemes.tls.key_size import MAX_BITS, key_bits

if TYPE_CHECKING:
    from schemes.tls.credentials import TlsContext

_RECORD: Final = 16384  # RFC 8446 §5.1


class RecordLayer:
    """One end of a TLS connection. *name*: the server name that a client verifies; None: this end is the server."""

    __slots__ = ("_incoming", "_key_log", "_outgoing", "_trust", "ended", "failure", "name", "secrets", "tls")

    def __init__(self, credentials: TlsContext, name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.name = name
        self.tls = credentials.context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )
        self._trust = credentials.trust
        self._key_log = credentials.key_log
        self.secrets: bytes | None = None  # the lines of the key log; None: the handshake is not complete
        self.ended = False  # the peer's close_notify was read
        self.failure: ssl.SSLError | None = None  # of the record after those that `decrypt` has returned

    def receive(self, octets: bytes) -> None:
        """Add octets of the stream."""
        self._incoming.write(octets)

    def take(self) -> bytes:
        """Return the records to send, and remove them."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Continue the handshake; True: it is complete. It may take long, and may run in another thread."""
        if self._trust is not None:
            trust, self._trust = self._trust, None
            trust(self.tls)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        certificate = self.tls.getpeercert(binary_form=True)
        if certificate and (bits := key_bits(certificate)) > MAX_BITS:
            raise KeyTooLongError(bits)
        self.secrets = self._key_log.octets if self._key_log is not None else b""
        self._key_log = None
        return True

    def decrypt(self) -> bytes:
        """Return the plaintext of all complete records before a bad record or an alert, which sets `failure`."""
        plain: list[bytes] = []
        try:
            while not (self.ended or self.failure):
                octets = self.tls.read(_RECORD)
                if octets:
                    plain.append(octets)
                else:
                    self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.failure = error
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


class KeyTooLongError(ssl.SSLError):
    """The peer's key has more than MAX_BITS."""

    def __init__(self, bits: int) -> None:
        super().__init__(f"its key has {bits} bits, more than {MAX_BITS}")


def sentence(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason without its prefixes and capitals."""
    if isinstance(error, KeyTooLongError):
        return f"its certificate was refused: {error.args[0]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message.rstrip('.')}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"TLS failed: {reason}"

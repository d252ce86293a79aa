"""The size of a certificate's public key, read from its DER (RFC 5280 §4.1), which OpenSSL has parsed before."""

from __future__ import annotations

import re
import ssl
from typing import Final

MAX_BITS: Final = 8192
"""Of an RSA modulus. A signature takes the cube of it: 16384 bits take half a second, 8192 bits 0.06 s."""

_PEM: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END")
_EXPLICIT_VERSION: Final = 0xA0
_PKCS_1: Final = bytes.fromhex("2a864886f70d0101")  # begins the OIDs of RSA keys (RFC 8017 appendix A)


def first_certificate(pem: bytes) -> bytes:
    """Return the DER of the first certificate in *pem*; empty: there is none. ValueError: it is not base64."""
    found = _PEM.search(pem)
    if found is None:
        return b""
    return ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}\n{found[1].decode('ascii')}{ssl.PEM_FOOTER}\n")


def key_bits(certificate: bytes) -> int:
    """Return the bits of an RSA key's modulus, or of all of another key. ValueError: it is no certificate."""
    try:
        return _key_bits(certificate)
    except IndexError:
        message = "the certificate ends too early"
        raise ValueError(message) from None


def _key_bits(octets: bytes) -> int:
    _, at, _ = _element(octets, 0)  # Certificate
    _, at, _ = _element(octets, at)  # TBSCertificate
    if octets[at] == _EXPLICIT_VERSION:
        _, _, at = _element(octets, at)
    for _ in range(5):  # serialNumber, signature, issuer, validity, subject
        _, _, at = _element(octets, at)
    _, at, _ = _element(octets, at)  # SubjectPublicKeyInfo
    _, algorithm, at = _element(octets, at)
    _, algorithm, algorithm_end = _element(octets, algorithm)
    _, at, end = _element(octets, at)  # subjectPublicKey: a BIT STRING, whose first octet says that no bit is unused
    if not octets[algorithm:algorithm_end].startswith(_PKCS_1):
        return (end - at - 1) * 8
    _, at, _ = _element(octets, at + 1)  # RSAPublicKey
    _, at, end = _element(octets, at)  # modulus
    return int.from_bytes(octets[at:end], "big").bit_length()


def _element(octets: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the element at *at*, and where its contents begin and end."""
    tag, length = octets[at], octets[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(octets[at : at + count], "big")
        at += count
    if at + length > len(octets):
        raise IndexError
    return tag, at, at + length

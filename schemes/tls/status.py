"""The rows of a TLS conversation's `status`: the TLS session first, then the tcp connection."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from schemes.tls.engine import TlsEngine


def of_engine(engine: TlsEngine, now: float) -> Mapping[str, str | int | float]:
    """Return the rows. The stream's `state` is `stream_state` here."""
    below = dict(engine.stream.status(now))
    rows: dict[str, str | int | float] = {"state": _state(engine), "error": engine.error}
    if engine.established:
        rows |= _session(engine)
    rows |= {
        "plain_receive_queue": len(engine.receive_buffer),
        "plain_in": engine.plain_in,
        "plain_out": engine.plain_out,
        "unsent_records": len(engine.unsent_records),
        "stream_state": below.pop("state", ""),
    }
    return {**rows, **below}


def _state(engine: TlsEngine) -> str:
    if engine.stream.ended or engine.failed:
        return "CLOSED"
    if not engine.established:
        return "HANDSHAKE"
    if engine.at_end:
        return "CLOSING" if engine.write_shut else "PEER_CLOSED"
    return "WRITE_CLOSED" if engine.write_shut else "ESTABLISHED"


def _session(engine: TlsEngine) -> Mapping[str, str | int | float]:
    tls = engine.layer.tls
    cipher = tls.cipher()
    certificate = tls.getpeercert(binary_form=True)
    peer = tls.getpeercert() or {}  # empty unless the certificate was verified
    return {
        "version": tls.version() or "",
        "cipher": cipher[0] if cipher else "",
        "alpn": _alpn(tls),
        "server_name": engine.layer.name or "",
        "verified": "yes" if peer else "no",
        "peer_subject": _name(peer.get("subject")),
        "peer_issuer": _name(peer.get("issuer")),
        "peer_not_after": str(peer.get("notAfter", "")),
        "peer_sha256": hashlib.sha256(certificate).hexdigest() if certificate else "",
    }


def _alpn(tls: ssl.SSLObject) -> str:
    try:
        return tls.selected_alpn_protocol() or ""
    except UnicodeDecodeError as error:  # a server may choose what it was not offered
        return repr(bytes(error.object))


def _name(relative_names: object) -> str:
    """Format ssl's tuple of tuples of pairs as `CN=example.com, O=…`."""
    if not isinstance(relative_names, tuple):
        return ""
    return ", ".join(f"{_short(key)}={value}" for group in relative_names for key, value in group)


def _short(key: str) -> str:
    return {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}.get(
        key, key
    )

"""Certificates, keys and trust: from a path's options to an SSLContext.

The mount has already read the files of `ca=`, `cert=` and `key=` with the caller's rights (`Caller.files`). OpenSSL
loads keys from files only, so it gets their copies in memory. It reads the system's trust store itself, once. A path
component can't contain '/', so a path has %2F for it, and %2C for a comma. ctl takes '/' as it is.
"""

from __future__ import annotations

import errno
import functools
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from schemefs.conversation import Option, Use, no_value
from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import parse_host
from schemefs.scheme import FileCopy
from schemes.tls.key_size import MAX_BITS, first_certificate, key_bits

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_LABEL: Final = 63  # RFC 1035 §2.3.4
_LONGEST_ALPN: Final = 255  # RFC 7301 §3.1: its length is one octet


def server_name(text: str) -> str:
    """Return the name that the peer's certificate must have. ValueError: not a host name or address.

    A final dot is not part of it (RFC 6066 §3).
    """
    name = parse_host(text).removesuffix(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in name.split(".")) and ":" not in name:
        raise ValueError(faults.bad_host(text))
    return name


def _file(text: str) -> str:
    name = unquote(text)
    if not name.startswith("/") or "\0" in name:
        message = f"{name!r} is not an absolute path; a path of the mount needs %2F for each '/'"
        raise ValueError(message)
    return name


def _alpn(text: str) -> list[str]:
    names = [unquote(part) for part in text.split("+")]
    if not all(0 < len(name.encode()) <= _LONGEST_ALPN and name.isascii() for name in names):
        message = f"{text!r} is not a list of protocols such as h2+http%2F1.1"
        raise ValueError(message)
    return names


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        message = f"{text!r} is neither yes nor no"
        raise ValueError(message)
    return text == "yes"


OPTIONS: Final[Mapping[str, Option]] = {
    "sni": Option(server_name, "server name to send; the peer's certificate must have it; default: HOST", Use.CONNECT),
    "verify": Option(_yes_or_no, "no: accept any certificate; the peer is then not authenticated", Use.CONNECT),
    "alpn": Option(_alpn, "protocols to offer, the preferred one first: h2+http%2F1.1"),
    "ca": Option(
        _file, "PEM file of the trusted CAs, instead of the system's; a server then requires certificates", is_file=True
    ),
    "cert": Option(_file, "PEM file of this end's certificate and its chain (write %2F for '/')", is_file=True),
    "keys": Option(
        no_value,
        "tls/N/capture.pcapng begins with the connect and has its secrets: a reader of it reads all",
        Use.CONNECT,
    ),
    "key": Option(_file, "PEM file of the certificate's key, if cert's file has none", is_file=True),
}

Files = Mapping[str, FileCopy]
_NONE: Final[Files] = {}


@dataclass(frozen=True, slots=True)
class TlsContext:
    """What a connection is made from. *trust*: called before its first handshake step; it may take long."""

    context: ssl.SSLContext
    trust: Callable[[ssl.SSLObject], None] | None = None
    key_log: FileCopy | None = None  # where OpenSSL writes the keys of the handshake


def client_context(options: Mapping[str, str], files: Files = _NONE, key_log: FileCopy | None = None) -> TlsContext:
    """Return the context of a client; *files* by name. EINVAL: a file has no usable certificate or key.

    With *key_log* the connection has a context of its own, into whose file the keys are written.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # RFC 9525 §6.3: a name in the subject identifies no server. The certificate needs a subjectAltName.
    context.hostname_checks_common_name = False
    _set_protocol(context, options.get("alpn", ""))
    _trust(context, options, files)
    _load_certificate(context, options, files)
    if key_log is not None:
        context.keylog_filename = key_log.path
    if not _yes_or_no(options.get("verify", "yes")):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return TlsContext(context, None, key_log)
    if "ca" in options:
        return TlsContext(context, None, key_log)
    has_own_context = "cert" in options or key_log is not None
    return TlsContext(context, _add_system_trust if has_own_context else _share_system_trust, key_log)


def server_context(options: Mapping[str, str], files: Files = _NONE) -> TlsContext:
    """Return the context of a server. EINVAL: no cert= option, or a file has no usable certificate or key."""
    if "cert" not in options:
        raise SchemeError(errno.EINVAL, "a TLS server needs a certificate: cert=FILE and key=FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_protocol(context, options.get("alpn", ""))
    _load_certificate(context, options, files)
    if "ca" in options:
        _trust(context, options, files)
        context.verify_mode = ssl.CERT_REQUIRED
    return TlsContext(context)


def _share_system_trust(tls: ssl.SSLObject) -> None:
    """Verify with the system's certificates, which are parsed once: that takes tens of milliseconds.

    OpenSSL verifies with the store of the connection's context as it is then. ALPN, name and options stay those of the
    context that the connection was made from; only its certificate would go.
    """
    tls.context = _system_trust()


def _add_system_trust(tls: ssl.SSLObject) -> None:
    """Verify with the system's certificates, beside a certificate of this end: parsed anew, in a thread."""
    _load_system_trust(tls.context)


@functools.lru_cache(maxsize=1)
def _system_trust() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load_system_trust(context)
    return context


def _load_system_trust(context: ssl.SSLContext) -> None:
    """Trust the system's CAs. OSError: their file can't be opened."""
    context.load_default_certs()
    # OpenSSL ignores that it can't open the file, for lack of a descriptor too, and would then trust no peer.
    if not context.cert_store_stats()["x509_ca"]:
        with suppress(FileNotFoundError):
            context.load_verify_locations(ssl.get_default_verify_paths().openssl_cafile)


def _set_protocol(context: ssl.SSLContext, alpn: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 forbids older versions
    # Python's default without DHE, whose peer chooses the prime: one of 10,000 bits takes a second (RFC 9325 §4.1).
    context.set_ciphers("@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!SHA1:!AESCCM")
    # Python's default accepts a stream without close_notify as complete; RFC 8446 §6.1 calls that a truncation attack.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs the server more than the client; RFC 8446 has removed it
    if alpn:
        context.set_alpn_protocols(_alpn(alpn))


def _trust(context: ssl.SSLContext, options: Mapping[str, str], files: Files) -> None:
    if "ca" in options:
        name = _file(options["ca"])
        _load(name, "certificates", lambda: context.load_verify_locations(files[name].path))


def _load_certificate(context: ssl.SSLContext, options: Mapping[str, str], files: Files) -> None:
    if "cert" not in options:
        if "key" in options:
            raise SchemeError(errno.EINVAL, "key= has no cert=; a key needs its certificate")
        return
    certificate = _file(options["cert"])
    key = _file(options["key"]) if "key" in options else None
    what = f"certificate and key {key}" if key else "certificate and key"
    # Without a callback OpenSSL prompts for the passphrase of an encrypted key on the daemon's terminal.
    paths = files[certificate].path, files[key].path if key else None
    _load(certificate, what, lambda: context.load_cert_chain(*paths, password=lambda: b""))
    bits = key_bits(first_certificate(files[certificate].octets))
    if bits > MAX_BITS:
        raise SchemeError(errno.EINVAL, f"{certificate} has a key of {bits} bits; at most {MAX_BITS} are allowed")


def _load(name: str, what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or "no PEM").lower().replace("_", " ")
        raise SchemeError(errno.EINVAL, f"{name} has no usable {what}: {reason}") from None

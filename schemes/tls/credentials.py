"""Certificates, keys and whom to trust: what a path's options mean as an SSLContext.

The files that `ca=`, `cert=` and `key=` name were read for the caller before (`Caller.files`); OpenSSL, which takes
keys from files only, is given their copies in memory. The system's trust store it reads by itself, once. A path
component can't hold a '/', so that one is written %2F there (and a comma %2C); ctl takes it as it is.
"""

from __future__ import annotations

import errno
import functools
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from schemefs.conversation import Option, Use
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_host
from schemefs.scheme import FileCopy

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_ALPN: Final = 255  # RFC 7301 §3.1: its length is one octet


def server_name(text: str) -> str:
    """Return the name that the peer's certificate must have. ValueError: it is none."""
    return parse_host(text)


def _file(text: str) -> str:
    name = unquote(text)
    if not name.startswith("/") or "\0" in name:
        message = f"{name!r} is no absolute path (in a path of the mount, write %2F for each '/')"
        raise ValueError(message)
    return name


def _alpn(text: str) -> list[str]:
    names = [unquote(part) for part in text.split("+")]
    if not all(0 < len(name.encode()) <= _LONGEST_ALPN and name.isascii() for name in names):
        message = f"{text!r} is no list of protocols like h2+http%2F1.1"
        raise ValueError(message)
    return names


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        message = f"verify is yes or no, not {text!r}"
        raise ValueError(message)
    return text == "yes"


OPTIONS: Final[Mapping[str, Option]] = {
    "sni": Option(
        server_name, "the name to ask for, which the peer's certificate must have; without it, HOST", Use.CONNECT
    ),
    "verify": Option(_yes_or_no, "no: take any certificate; then nobody knows who the peer is", Use.CONNECT),
    "alpn": Option(_alpn, "protocols to offer, the preferred one first: h2+http%2F1.1"),
    "ca": Option(
        _file, "PEM file of whom to trust instead of the system's; a server then wants certificates", is_file=True
    ),
    "cert": Option(_file, "PEM file of our certificate, with its chain ('/' is written %2F)", is_file=True),
    "key": Option(_file, "PEM file of its key, where that is not in cert's file", is_file=True),
}

Files = Mapping[str, FileCopy]
_NONE: Final[Files] = {}


def client_context(options: Mapping[str, str], files: Files = _NONE) -> ssl.SSLContext:
    """Return what a client needs; *files* by name. EINVAL: one of them can't be used."""
    verify = _yes_or_no(options.get("verify", "yes"))
    if not any(OPTIONS[name].is_file for name in options if name in OPTIONS):
        return _with_system_trust(verify, options.get("alpn", ""))
    context = ssl.create_default_context() if "ca" not in options else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _be_strict(context, options.get("alpn", ""))
    _trust(context, options, files)
    _identify(context, options, files)
    if not verify:
        _take_anybody(context)
    return context


def server_context(options: Mapping[str, str], files: Files = _NONE) -> ssl.SSLContext:
    """Return what a server needs. EINVAL: no certificate; and as `client_context`."""
    if "cert" not in options:
        raise SchemeError(errno.EINVAL, "a TLS server needs a certificate: cert=FILE and key=FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _be_strict(context, options.get("alpn", ""))
    _identify(context, options, files)
    if "ca" in options:
        _trust(context, options, files)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@functools.lru_cache(maxsize=8)
def _with_system_trust(verify: bool, alpn: str) -> ssl.SSLContext:
    # Kept: parsing the system's 140 certificates takes tens of milliseconds, in which the daemon does nothing else.
    context = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _be_strict(context, alpn)
    if not verify:
        _take_anybody(context)
    return context


def _be_strict(context: ssl.SSLContext, alpn: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 forbids the older ones
    # Python asks OpenSSL to take a truncated stream for a whole one; we don't (RFC 8446 §6.1).
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs us much more than who asks for it (RFC 8446 has none)
    if alpn:
        context.set_alpn_protocols(_alpn(alpn))


def _take_anybody(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def _trust(context: ssl.SSLContext, options: Mapping[str, str], files: Files) -> None:
    if "ca" in options:
        name = _file(options["ca"])
        _use(name, "certificates", lambda: context.load_verify_locations(files[name].path))


def _identify(context: ssl.SSLContext, options: Mapping[str, str], files: Files) -> None:
    if "cert" not in options:
        if "key" in options:
            raise SchemeError(errno.EINVAL, "key= without cert=: whose key is it?")
        return
    certificate = _file(options["cert"])
    key = _file(options["key"]) if "key" in options else None
    what = f"certificate and key {key}" if key else "certificate and key"
    # Without a callback OpenSSL would ask the daemon's terminal for the passphrase of an encrypted key.
    paths = files[certificate].path, files[key].path if key else None
    _use(certificate, what, lambda: context.load_cert_chain(*paths, password=lambda: b""))


def _use(name: str, what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or "no PEM").lower().replace("_", " ")
        raise SchemeError(errno.EINVAL, f"{name} has no usable {what}: {reason}") from None

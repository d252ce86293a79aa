"""One HTTP/1.1 request over a conversation's file: h11 has the protocol (RFC 9112), this module moves its octets.

No connection is reused: each request has its own conversation and sends `Connection: close`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urljoin, urlsplit

import h11

from schemefs import __version__
from schemefs.net.addresses import parse_host

CHUNK: Final = 131072
LARGEST_HEAD: Final = 300 * 1024  # octets before the body, interim responses included; curl's own limit
PORTS: Final = {"http": 80, "https": 443}
SCHEMES: Final = {"http": "tcp", "https": "tls"}  # URL scheme -> scheme of the tree
_VERSION: Final = b"HTTP/"  # begins each response since HTTP/1.0
_SWITCH: Final = "_SWITCH_"  # in h11's reason for status 101
_SWITCHED: Final = "the server changed to another protocol, which was not requested"
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))  # characters of a URL that are not quoted


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an http or https URL."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, quoted for the request

    @property
    def text(self) -> str:
        """The URL as text."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """The Host field: the port is left out if it is the default one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path of the conversation in the tree: `tcp/example.com:80`."""
        return self.path_to(self.host)

    def path_to(self, host: str) -> str:
        """Return the path with *host*, an address of the host, in its place."""
        return f"{SCHEMES[self.scheme]}/{f'[{host}]' if ':' in host else host}:{self.port}"


class NotHttpError(ValueError):
    """The URL is of another protocol."""


def parse_url(text: str) -> Url:
    """Parse http://HOST[:PORT]/…; the scheme may be left out. ValueError: it is not an http or https URL."""
    message = f"{text!r} is not an http:// or https:// URL with a host"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:  # Invalid IPv6 URL
        raise ValueError(message) from None
    if parts.scheme and parts.scheme not in PORTS:
        raise NotHttpError(message)
    if "@" in parts.netloc:
        message = f"{text!r} has a user name, which get does not send; schemefs run -- curl does"
        raise ValueError(message)
    if not parts.scheme or not parts.hostname:
        raise ValueError(message)
    host = parse_host(parts.hostname)
    target = quote(parts.path or "/", safe=_VISIBLE) + (f"?{quote(parts.query, safe=_VISIBLE)}" if parts.query else "")
    try:
        port = parts.port
    except ValueError:  # its sentence is about integers of Python
        message = f"{text!r} has a port that is not a number from 0 to 65535"
        raise ValueError(message) from None
    return Url(parts.scheme, host, PORTS[parts.scheme] if port is None else port, target)


def redirected(url: Url, location: bytes) -> Url:
    """Return the URL of a Location field, resolved against *url* (RFC 9110 §10.2.2).

    Its octets are quoted as they are: servers write UTF-8, and what they mean by other octets, only they know.
    """
    return parse_url(urljoin(url.text, quote(location, safe=_VISIBLE)))


class HttpError(Exception):
    """The response is not what HTTP allows. *status* is curl's exit status, *sentence* says what is wrong."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class HttpExchange:
    """One request and its response. OSError: the file failed; HttpError: the response is not HTTP."""

    def __init__(self, tree: Path, url: Url, fields: Mapping[str, str], options: str = "", address: str = "") -> None:
        """Connect, send the request and read the response's head.

        *options* (`,timeout=5`) are added to the path. *address* is connected to instead of the name in *url*.
        """
        self.tree = tree
        self.path = url.path_to(address) if address else url.path
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * LARGEST_HEAD)
        self._received = 0
        self._first = b""  # the first octets of the response
        self._has_ended = False  # the server has closed
        self._descriptor = os.open(tree / f"{self.path}{options}", os.O_RDWR)
        try:
            self._send_request(url, fields)
            self.head = self._read_head()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.status = self.head.status_code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def field(self, name: str) -> str:
        """Return a field of the response's head; empty if there is none."""
        return self.octets_of_field(name).decode("latin-1")

    def octets_of_field(self, name: str) -> bytes:
        """Return the octets of a field; empty if there is none."""
        wanted = name.lower().encode()
        return next((bytes(value) for key, value in self.head.headers if key == wanted), b"")

    def body(self) -> Iterator[bytes]:
        """Yield the body as it arrives. HttpError: it is incomplete or malformed."""
        while not isinstance(event := self._next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    def _send_request(self, url: Url, fields: Mapping[str, str]) -> None:
        defaults = {
            "Host": url.authority,
            "User-Agent": f"schemefs/{__version__}",
            "Accept": "*/*",
            "Connection": "close",
        }
        headers = [field for field in merged(defaults, fields).items() if field[1]]
        request = self._http.send(h11.Request(method="GET", target=url.target, headers=headers))
        rest = memoryview((request or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _read_head(self) -> h11.Response:
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response):
                return event

    def _next_event(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise self._error(error) from None
            if event is h11.NEED_DATA:
                self._receive()
            elif isinstance(event, h11.Event):
                return event
            else:
                raise HttpError(8, _SWITCHED)

    def _receive(self) -> None:
        is_head = self._http.their_state is h11.SEND_RESPONSE
        if is_head and self._received > LARGEST_HEAD:
            raise HttpError(56, f"the head of the answer has more than {LARGEST_HEAD} octets")
        octets = os.read(self._descriptor, min(CHUNK, LARGEST_HEAD + 1 - self._received) if is_head else CHUNK)
        self._has_ended = not octets
        self._received += len(octets)
        self._first = self._first or octets[: len(_VERSION)]
        if self._has_ended and is_head and not self._first:
            raise HttpError(52, "the server closed the connection without an answer")
        self._http.receive_data(octets)

    def _error(self, error: h11.RemoteProtocolError) -> HttpError:
        """Return what h11 has found, in words of HTTP and with curl's status."""
        if self._http.their_state is h11.ERROR and hasattr(self, "head"):
            return HttpError(18, "the response is incomplete") if self._has_ended else HttpError(56, _detail(error))
        if not self._first.startswith(_VERSION[: len(self._first)]):
            return HttpError(1, "the answer has no head: it is no HTTP, or HTTP/0.9, which is not supported")
        if _SWITCH in str(error):
            return HttpError(8, _SWITCHED)
        return HttpError(8, "the server closed within the head" if self._has_ended else _detail(error))


def merged(fields: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return *fields* with those of *more*, which replace a field of the same name in any case."""
    names = {name.lower() for name in more}
    return {**{name: value for name, value in fields.items() if name.lower() not in names}, **more}


def _detail(error: h11.RemoteProtocolError) -> str:
    """Return h11's reason without the Python in it."""
    return "the answer is malformed: " + re.sub(r"(?:bytearray\()?b(['\"])(.*)\1\)?", r"'\2'", str(error))

"""One HTTP/1.1 request over a conversation's file: h11 has the protocol (RFC 9112), this module moves its octets.

No connection is reused: each request has its own conversation and sends `Connection: close`.
"""

from __future__ import annotations

import os
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
PORTS: Final = {"http": 80, "https": 443}
SCHEMES: Final = {"http": "tcp", "https": "tls"}  # URL scheme -> scheme of the tree
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
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEMES[self.scheme]}/{host}:{self.port}"


def parse_url(text: str) -> Url:
    """Parse http://HOST[:PORT]/…; the scheme may be left out. ValueError: it is not an http or https URL."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
        message = f"{text!r} is not an http:// or https:// URL with a host"
        raise ValueError(message)
    host = parse_host(parts.hostname)
    target = quote(parts.path or "/", safe=_VISIBLE) + (f"?{quote(parts.query, safe=_VISIBLE)}" if parts.query else "")
    port = parts.port  # outside 0..65535: ValueError
    return Url(parts.scheme, host, PORTS[parts.scheme] if port is None else port, target)


def redirected(url: Url, location: str) -> Url:
    """Return the URL of a Location field, resolved against *url* (RFC 9110 §10.2.2)."""
    return parse_url(urljoin(url.text, location))


class HttpExchange:
    """One request and its response. OSError: the file failed; h11.RemoteProtocolError: the response is not HTTP."""

    def __init__(self, tree: Path, url: Url, fields: Mapping[str, str], options: str = "") -> None:
        """Connect, send the request and read the response's head. *options* (`,timeout=5`) are added to the address."""
        self.tree = tree
        self.path = url.path
        self._http = h11.Connection(h11.CLIENT)
        self._descriptor = os.open(tree / f"{url.path}{options}", os.O_RDWR)
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
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.head.headers if key == wanted), "")

    def body(self) -> Iterator[bytes]:
        """Yield the body as it arrives. h11.RemoteProtocolError: it is incomplete."""
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
        headers = list({**defaults, **fields}.items())
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
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                octets = os.read(self._descriptor, CHUNK)
                if not octets and self._http.their_state is h11.SEND_RESPONSE:
                    message = "the server closed the connection without an answer"
                    raise h11.RemoteProtocolError(message)
                self._http.receive_data(octets)
            elif isinstance(event, h11.Event):
                return event
            else:
                message = f"the server sent data after its answer ({event})"
                raise h11.RemoteProtocolError(message)

"""One HTTP/1.1 request over a conversation's file; h11 knows the protocol, this moves its octets (RFC 9112).

No connection is kept: each request has a conversation of its own and says `Connection: close`.
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
SCHEMES: Final = {"http": "tcp", "https": "tls"}  # which file carries it
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))  # what of a URL is not to be quoted


@dataclass(frozen=True, slots=True)
class Url:
    """Where something is."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, as they go into the request

    @property
    def text(self) -> str:
        """The whole of it."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """What goes into the Host field: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The file of the conversation: `tcp/example.com:80`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEMES[self.scheme]}/{host}:{self.port}"


def parse_url(text: str) -> Url:
    """Parse http://HOST[:PORT]/…; the scheme may be left out. ValueError: it is none that can be fetched."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
        message = f"{text!r} is no http:// or https:// address of a host"
        raise ValueError(message)
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    parse_host(host)
    target = quote(parts.path or "/", safe=_VISIBLE) + (f"?{quote(parts.query, safe=_VISIBLE)}" if parts.query else "")
    port = parts.port  # outside 0..65535: ValueError
    return Url(parts.scheme, host, PORTS[parts.scheme] if port is None else port, target)


def redirected(url: Url, location: str) -> Url:
    """Return where a Location field leads, seen from *url* (RFC 9110 §10.2.2)."""
    return parse_url(urljoin(url.text, location))


class HttpExchange:
    """One request and its response. OSError: the file failed; h11.RemoteProtocolError: what came is no HTTP."""

    def __init__(self, tree: Path, url: Url, fields: Mapping[str, str], options: str = "") -> None:
        """Connect (*options* follow the address, each after a comma), ask, and read the head of the response."""
        self._http = h11.Connection(h11.CLIENT)
        self._descriptor = os.open(tree / f"{url.path}{options}", os.O_RDWR)
        try:
            self._ask(url, fields)
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
        """Return a field of the response's head, or nothing."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.head.headers if key == wanted), "")

    def body(self) -> Iterator[bytes]:
        """Yield the body as it comes. h11.RemoteProtocolError: it ended before its end."""
        while not isinstance(event := self._next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    def _ask(self, url: Url, fields: Mapping[str, str]) -> None:
        standing = {
            "Host": url.authority,
            "User-Agent": f"schemefs/{__version__}",
            "Accept": "*/*",
            "Connection": "close",
        }
        headers = list({**standing, **fields}.items())
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
                    message = "the server has closed without an answer"
                    raise h11.RemoteProtocolError(message)
                self._http.receive_data(octets)
            elif isinstance(event, h11.Event):
                return event
            else:
                message = f"the server has said more than its answer ({event})"
                raise h11.RemoteProtocolError(message)

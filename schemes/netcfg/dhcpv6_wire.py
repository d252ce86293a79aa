"""The octets of stateless DHCPv6: Information-request and its Reply (RFC 8415 §8, §21; RFC 3646). No decisions."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemefs.net.buffer import Buffer

CLIENT_PORT: Final = 546
SERVER_PORT: Final = 547
ALL_SERVERS: Final = bytes.fromhex("ff020000000000000000000000010002")  # All_DHCP_Relay_Agents_and_Servers

REPLY: Final = 7
INFORMATION_REQUEST: Final = 11

_CLIENT_ID: Final = 1
_SERVER_ID: Final = 2
_OPTION_REQUEST: Final = 6
_ELAPSED: Final = 8
_STATUS: Final = 13
_NAME_SERVERS: Final = 23
_DOMAINS: Final = 24
_REFRESH_TIME: Final = 32
_MAX_RETRANSMISSION: Final = 83  # INF_MAX_RT, which a client must ask for (§18.2.6)

MAX_SERVERS: Final = 8  # of a reply that are used
MAX_DOMAINS: Final = 8
_OPTION: Final = Struct(">HH")
_NAME_OCTETS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@dataclass(frozen=True, slots=True)
class Information:
    """A server's reply. Empty: the option is absent."""

    transaction: int
    nameservers: tuple[bytes, ...]
    domains: tuple[str, ...]
    refresh_time: int | None  # seconds until the next request; None: not given
    max_retransmission: int  # seconds, the longest pause between requests; 0: not given


def client_identifier(mac: bytes) -> bytes:
    """Return the DUID-LL of a hardware address (RFC 8415 §11.4)."""
    return b"\0\3\0\1" + mac


def build(transaction: int, client: bytes, elapsed: float) -> bytes:
    """Return an Information-request; *elapsed*: seconds since the first one (§21.9)."""
    wanted = (_NAME_SERVERS, _DOMAINS, _REFRESH_TIME, _MAX_RETRANSMISSION)
    options = (
        (_CLIENT_ID, client),
        (_ELAPSED, min(round(elapsed * 100), 0xFFFF).to_bytes(2, "big")),
        (_OPTION_REQUEST, b"".join(code.to_bytes(2, "big") for code in wanted)),
    )
    head = bytes((INFORMATION_REQUEST,)) + transaction.to_bytes(3, "big")
    return head + b"".join(_OPTION.pack(code, len(value)) + value for code, value in options)


def parse(octets: Buffer, client: bytes) -> Information | None:
    """Return the reply in *octets*; None: malformed, not a reply, for another client, or a failure (§16.10)."""
    message = bytes(octets)
    if len(message) < 4 or message[0] != REPLY:
        return None
    options: dict[int, bytes] = {}
    for code, value in _options(message):
        if code < 0:
            return None
        options.setdefault(code, value)
    if not options.get(_SERVER_ID) or options.get(_CLIENT_ID, client) != client:
        return None
    if any(options.get(_STATUS, b"\0\0")[:2]):
        return None
    servers = options.get(_NAME_SERVERS, b"")
    addresses = tuple(servers[at : at + 16] for at in range(0, len(servers) - 15, 16))
    usable = tuple(address for address in addresses if address[0] != 0xFF and any(address[:15]))
    refresh = options.get(_REFRESH_TIME, b"")
    longest = options.get(_MAX_RETRANSMISSION, b"")
    return Information(
        int.from_bytes(message[1:4], "big"),
        usable[:MAX_SERVERS],
        tuple(_names(options.get(_DOMAINS, b"")))[:MAX_DOMAINS],
        int.from_bytes(refresh, "big") if len(refresh) == 4 else None,
        int.from_bytes(longest, "big") if len(longest) == 4 else 0,
    )


def _options(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the options; a code of -1: the rest is malformed."""
    at = 4
    while at < len(message):
        if at + 4 > len(message):
            yield -1, b""
            return
        code, length = _OPTION.unpack_from(message, at)
        at += 4
        if at + length > len(message):
            yield -1, b""
            return
        yield code, message[at : at + length]
        at += length


def _names(octets: bytes) -> Iterator[str]:
    """Yield the names of a list without compression (RFC 8415 §10), up to one that is malformed."""
    at = 0
    while at < len(octets) and octets[at]:
        labels: list[bytes] = []
        while at < len(octets) and octets[at]:
            label = octets[at + 1 : at + 1 + octets[at]]
            if octets[at] > 63 or len(label) < octets[at] or not _NAME_OCTETS.issuperset(label):
                return
            labels.append(label)
            at += 1 + octets[at]
        if at >= len(octets) or sum(map(len, labels)) + len(labels) > 253:
            return
        at += 1
        yield b".".join(labels).decode("ascii")

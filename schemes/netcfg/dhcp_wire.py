"""The octets of DHCP messages (RFC 2131 §2), built by dpkt. No protocol decisions here.

A client without an address sends from 0.0.0.0 port 68 to 255.255.255.255 port 67 (RFC 2131 §4.1). It builds the whole
frame, because there is no route yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.deferred_module import DeferredModule
from schemes.netcfg.dhcp_options import (
    CLASSLESS_ROUTES,
    CLIENT,
    DOMAIN_NAME,
    DOMAIN_SEARCH,
    HOST_NAME,
    LEASE,
    MESSAGE,
    MESSAGE_TYPE,
    MTU,
    NAMESERVERS,
    NETMASK,
    PARAMETER_REQUEST_LIST,
    REBINDING,
    RENEWAL,
    REQUESTED,
    ROUTERS,
    SERVER,
    Options,
    StaticRoute,
)

if TYPE_CHECKING:
    import dpkt

    from schemefs.net.buffer import Buffer
else:  # most mounts use no DHCP
    dpkt = DeferredModule(globals(), "dpkt", "dpkt")

CLIENT_PORT: Final = 68
SERVER_PORT: Final = 67

DISCOVER: Final = 1
OFFER: Final = 2
REQUEST: Final = 3
DECLINE: Final = 4
ACK: Final = 5
NAK: Final = 6
RELEASE: Final = 7

INFINITE: Final = 0xFFFFFFFF
_BROADCAST_FLAG: Final = 0x8000  # RFC 2131 §4.1: asks for broadcasts; unicast replies are heard too
# Classless routes come before routers: RFC 3442.
_WANTED: Final = bytes(
    (NETMASK, CLASSLESS_ROUTES, ROUTERS, NAMESERVERS, DOMAIN_NAME, MTU, LEASE, RENEWAL, REBINDING, DOMAIN_SEARCH)
)
_MIN_MESSAGE: Final = 300  # octets: RFC 1542 §2.1; some relays drop shorter messages
_BROADCAST_MAC: Final = b"\xff" * 6
_BOOTREPLY: Final = 2
_MAGIC: Final = b"\x63\x82\x53\x63"
# op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie
_FIXED: Final = Struct(">BBBBIHH4s4s4s4s16s64s128s4s")
_U32: Final = Struct(">I")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's message. Empty or 0: the option is absent."""

    kind: int
    xid: int
    mac: bytes
    address: bytes
    server: bytes = b""
    netmask: bytes = b""
    routers: tuple[bytes, ...] = ()  # the preferred one first
    static_routes: tuple[StaticRoute, ...] = ()
    nameservers: tuple[bytes, ...] = ()
    domains: tuple[str, ...] = ()  # to search
    mtu: int = 0  # octets
    lease: int = 0  # seconds
    renewal: int = 0
    rebinding: int = 0
    message: str = ""


def build(
    kind: int,
    xid: int,
    mac: bytes,
    seconds: int,
    *,
    own: bytes = b"",
    requested: bytes = b"",
    server: bytes = b"",
    hostname: str = "",
) -> bytes:
    """Return a client's message. *own*: an address in use (ciaddr). *requested*: the address to request (option 50).

    *hostname* (option 12) goes into requests only: RFC 2131, table 5.
    """
    options = [(MESSAGE_TYPE, bytes((kind,))), (CLIENT, b"\x01" + mac)]
    if requested:
        options.append((REQUESTED, requested))
    if server:
        options.append((SERVER, server))
    if kind in (DISCOVER, REQUEST):
        options.append((PARAMETER_REQUEST_LIST, _WANTED))
        if hostname:
            options.append((HOST_NAME, hostname.encode("ascii")))
    message = dpkt.dhcp.DHCP(
        xid=xid,
        secs=min(seconds, 0xFFFF),
        flags=0 if own else _BROADCAST_FLAG,
        ciaddr=_U32.unpack(own)[0] if own else 0,
        chaddr=mac.ljust(16, b"\0"),
        opts=options,
    )
    return bytes(message).ljust(_MIN_MESSAGE, b"\0")


def frame(mac: bytes, source: bytes, message: bytes) -> bytes:
    """Return an Ethernet broadcast with *message*. *source* is 0.0.0.0 before there is an address."""
    udp = dpkt.udp.UDP(sport=CLIENT_PORT, dport=SERVER_PORT, data=message)
    udp.ulen = len(udp)
    ip = dpkt.ip.IP(src=source, dst=b"\xff" * 4, p=dpkt.ip.IP_PROTO_UDP, ttl=64, data=udp)
    ip.len = len(ip)
    return bytes(dpkt.ethernet.Ethernet(dst=_BROADCAST_MAC, src=mac, type=dpkt.ethernet.ETH_TYPE_IP, data=ip))


def parse(octets: Buffer) -> Reply | None:
    """Parse a server's message; None: it is malformed or not a server's."""
    if len(octets) < _FIXED.size:
        return None
    op, _, hardware_length, _, xid, _, _, _, address, _, _, mac, sname, file, magic = _FIXED.unpack_from(octets)
    options = Options(bytes(octets[_FIXED.size :]), file, sname)
    kind = options.fixed(MESSAGE_TYPE, 1)
    if (op, hardware_length, magic) != (_BOOTREPLY, 6, _MAGIC) or not kind:
        return None
    return Reply(
        kind=kind[0],
        xid=xid,
        mac=mac[:6],
        address=address,
        server=options.fixed(SERVER, 4),
        netmask=options.fixed(NETMASK, 4),
        routers=options.addresses(ROUTERS),
        static_routes=options.static_routes,
        nameservers=options.addresses(NAMESERVERS),
        domains=options.domains,
        mtu=options.mtu,
        lease=options.seconds(LEASE),
        renewal=options.seconds(RENEWAL),
        rebinding=options.seconds(REBINDING),
        message=options.joined(MESSAGE).decode("ascii", "replace"),
    )

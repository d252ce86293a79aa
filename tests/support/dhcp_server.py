"""A DHCP server on an interface that does what a line of JSON says: octets that no correct server sends.

    dhcp_server.py INTERFACE        prints a line per message of a client: its kind, and its options in hexadecimal

A line of its standard input is the answer to the next messages:

    {"2": REPLY, "5": REPLY}        the offer for a discover; for a request the ACK, or the NAK ("6")
    REPLY   address, server, unicast, options ({code: hexadecimal}), file and sname (hexadecimal)
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from typing import Any

import dpkt

DISCOVER, REQUEST = 1, 3


def main(interface: str) -> None:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind((interface, 0))
    replies: dict[str, Any] = {}

    def take_lines() -> None:
        for line in sys.stdin:
            replies.clear()
            replies.update(json.loads(line))
            print("taken", flush=True)

    threading.Thread(target=take_lines, daemon=True).start()
    print("ready", flush=True)
    while True:
        request = _request(raw.recv(2048))
        if request is None:
            continue
        options = dict(request.opts)
        kind = options[dpkt.dhcp.DHCP_OPT_MSGTYPE][0]
        print(kind, json.dumps({code: octets.hex() for code, octets in options.items()}), flush=True)
        for answer in ("2",) if kind == DISCOVER else ("5", "6") if kind == REQUEST else ():
            if answer in replies:
                raw.send(_frame(request, int(answer), raw.getsockname()[4], **replies[answer]))


def _request(frame: bytes) -> dpkt.dhcp.DHCP | None:
    ip = dpkt.ethernet.Ethernet(frame).data
    if not isinstance(ip, dpkt.ip.IP) or not isinstance(ip.data, dpkt.udp.UDP) or ip.data.dport != 67:
        return None
    return dpkt.dhcp.DHCP(bytes(ip.data.data))


def _frame(
    request: dpkt.dhcp.DHCP,
    kind: int,
    mac: bytes,
    *,
    address: str = "0.0.0.0",
    server: str = "10.0.2.2",
    unicast: bool = False,
    options: dict[str, str] | None = None,
    file: str = "",
    sname: str = "",
) -> bytes:
    sender = socket.inet_aton(server)
    message = dpkt.dhcp.DHCP(
        op=2,
        xid=request.xid,
        yiaddr=int.from_bytes(socket.inet_aton(address), "big"),
        chaddr=request.chaddr,
        sname=bytes.fromhex(sname).ljust(64, b"\0"),
        file=bytes.fromhex(file).ljust(128, b"\0"),
        opts=[
            (dpkt.dhcp.DHCP_OPT_MSGTYPE, bytes((kind,))),
            (dpkt.dhcp.DHCP_OPT_SERVER_ID, sender),
            *((int(code), bytes.fromhex(octets)) for code, octets in (options or {}).items()),
        ],
    )
    udp = dpkt.udp.UDP(sport=67, dport=68, data=bytes(message))
    udp.ulen = len(udp)
    destination = socket.inet_aton(address if unicast else "255.255.255.255")
    ip = dpkt.ip.IP(src=sender, dst=destination, p=17, data=udp)
    ip.len = len(ip)
    to = bytes(request.chaddr)[:6] if unicast else b"\xff" * 6
    return bytes(dpkt.ethernet.Ethernet(dst=to, src=mac, type=0x0800, data=ip))


if __name__ == "__main__":
    main(sys.argv[1])

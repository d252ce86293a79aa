"""A scripted name server for the peer's side of a TAP, run as a program: `dns_server.py ADDRESS[,OTHER]…`.

It prints "ready".

The first label of the queried name selects the behavior: silent, late, wrongid, wrongaddress, loop, garbage, truncated,
nxdomain, servfail. All other names have the address 10.0.2.2. UDP and TCP, on port 53 of each ADDRESS;
what comes from a wrong address comes from OTHER.
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


def answer(query: dns.message.Message, *addresses: str) -> dns.message.Message:
    message = dns.message.make_response(query, recursion_available=True)
    if addresses:
        message.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "A", addresses))
    return message


def serve_datagram(udp: socket.socket, forger: socket.socket) -> None:
    octets, sender = udp.recvfrom(4096)
    query = dns.message.from_wire(octets)
    name = query.question[0].name
    what = name.labels[0].decode()
    good = answer(query, "10.0.2.2").to_wire()
    evil = answer(query, "6.6.6.6")
    if what == "silent":
        return
    if what == "late":
        threading.Timer(1.5, lambda: udp.sendto(good, sender)).start()
    elif what == "wrongid":
        evil.id ^= 0x5555
        udp.sendto(evil.to_wire(), sender)
        udp.sendto(good, sender)
    elif what == "wrongaddress":
        forger.sendto(evil.to_wire(), sender)
        time.sleep(0.05)
        udp.sendto(good, sender)
    elif what == "garbage":
        udp.sendto(b"\xff" * 100, sender)
        udp.sendto(octets[:2] + b"\x81\x80" + b"\xc0\x0c" * 50, sender)
        udp.sendto(good, sender)
    elif what == "loop":
        message = answer(query)
        message.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", f"loop.x{name}"))
        message.answer.append(dns.rrset.from_text(f"loop.x{name}", 60, "IN", "CNAME", str(name)))
        udp.sendto(message.to_wire(), sender)
    elif what == "truncated":
        message = answer(query)
        message.flags |= dns.flags.TC
        udp.sendto(message.to_wire(), sender)
    elif what in ("nxdomain", "servfail"):
        message = answer(query)
        message.set_rcode(dns.rcode.from_text(what.upper()))
        udp.sendto(message.to_wire(), sender)
    else:
        udp.sendto(good, sender)


def serve_connection(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        query = dns.message.from_wire(stream.read(int.from_bytes(stream.read(2), "big")))
        many = answer(query, *[f"10.9.{n // 250}.{n % 250 + 1}" for n in range(1000)]).to_wire(max_size=65535)
        connection.sendall(len(many).to_bytes(2, "big") + many)


def main() -> None:
    selector = selectors.DefaultSelector()
    for ends in sys.argv[1:]:
        address, _, other = ends.partition(",")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp, forger = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        udp.bind((address, 53))
        forger.bind((other or address, 0))
        tcp = socket.create_server((address, 53), family=family)
        selector.register(udp, selectors.EVENT_READ, lambda udp=udp, forger=forger: serve_datagram(udp, forger))
        selector.register(tcp, selectors.EVENT_READ, lambda tcp=tcp: serve_connection(tcp))
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


if __name__ == "__main__":
    main()

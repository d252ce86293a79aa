"""What programs do with sockets that are not of the mount, with selectors, and with shutdown(2)."""

from __future__ import annotations

import array
import fcntl
import os
import selectors
import socket
import struct
import termios
import threading

from snippet_ends import LOCAL, failure, pair, server


def other_families():
    one, two = socket.socketpair()
    with one, two:
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 1))])
        octets, control, flags, source = two.recvmsg(10, socket.CMSG_SPACE(4))
        print(octets, len(control), flags, source)
        print(failure(two.recvmsg, 10, 0, socket.MSG_DONTWAIT), one.getsockname(), two.getpeername())
    with socket.socket(socket.AF_UNIX) as named:
        named.bind(f"\0schemefs-run-snippet-{os.getpid()}")
        named.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(named.getsockname())
            print(named.accept()[1])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0schemefs-run-receiver-{os.getpid()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.bind(f"\0schemefs-run-sender-{os.getpid()}")
            sender.sendto(b"datagram", receiver.getsockname())
            octets, _, _, source = receiver.recvmsg(100)
            print(octets, source.startswith(b"\0schemefs-run-sender"))
    reader, writer = os.pipe()
    os.write(writer, b"123")
    number = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, number)
    print(number[0], failure(socket.socket, socket.AF_INET, socket.SOCK_SEQPACKET))


def selector():
    client, accepted = pair()
    with client, accepted, selectors.DefaultSelector() as chosen:
        chosen.register(client, selectors.EVENT_READ)
        print(chosen.select(0))
        accepted.sendall(b"x")
        print([key.fileobj is client for key, _ in chosen.select(5)])


def shutdown_wakes_a_call_that_waits() -> None:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.bind((LOCAL, 0))
    for waiting, call in ((server(), socket.socket.accept), (made, lambda found: found.recvfrom(10))):
        with waiting:
            other = threading.Timer(0.1, lambda: print(failure(waiting.shutdown, socket.SHUT_RDWR)))  # noqa: B023
            other.start()
            shown = failure(call, waiting)
            other.join()
            print(shown)

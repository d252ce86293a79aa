"""What programs do with sockets of UDP over IPv4; see run_snippets.py."""

from __future__ import annotations

import array
import asyncio
import ctypes
import fcntl
import os
import select
import socket
import struct
import termios

from snippet_ends import LOCAL, datagrams, failure, free_port, libc


def datagrams_there_and_back():
    one, two = datagrams()
    with one, two:
        print(one.sendto(b"hello", two.getsockname()))
        octets, source = two.recvfrom(100)
        print(octets, source == one.getsockname())
        two.connect(source)
        print(two.getpeername() == source, two.send(b"answer"), one.recvfrom(100)[0])
        print(failure(one.send, b"x"), failure(two.sendto, b"again", source), one.recvfrom(100)[0])


def datagrams_are_cut():
    one, two = datagrams()
    with one, two:
        for octets in (b"0123456789", b"abcdefghij", b"", b"end"):
            one.sendto(octets, two.getsockname())
        print(two.recv(4, socket.MSG_PEEK), two.recv(4))
        print(libc.recv(two.fileno(), None, 0, socket.MSG_PEEK | socket.MSG_TRUNC))
        octets, _, flags, source = two.recvmsg(4)
        print(octets, flags == socket.MSG_TRUNC, source == one.getsockname())
        print(two.recv(10), two.recv(10))
        print(failure(one.sendto, bytes(70_000), two.getsockname()))


def readable_datagrams():
    one, two = datagrams()
    with one, two:
        one.sendto(b"12345", two.getsockname())
        one.sendto(b"123", two.getsockname())
        select.select([two], [], [])
        for _ in range(2):
            number = array.array("i", [-1])
            fcntl.ioctl(two, termios.FIONREAD, number)
            print(number[0], two.recv(10))


def datagrams_refused():
    port = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.connect((LOCAL, port))
        one.send(b"x")
        select.select([one], [], [], 5)
        print(failure(one.recv, 10), one.getsockopt(1, 4))


def a_socket_connects_again():
    one, two = datagrams()
    with one, two, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(one.getsockname())
        client.send(b"to one")
        print(one.recv(10), client.getsockname()[0])
        client.connect(two.getsockname())
        client.send(b"to two")
        print(two.recv(10), client.getpeername() == two.getsockname())
        print(libc.connect(client.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16), failure(client.getpeername))
        client.sendto(b"to one", one.getsockname())
        print(one.recv(10))


def a_bound_socket_connects():
    one, two = datagrams()
    with one, two:
        before = one.getsockname()
        two.sendto(b"early", before)
        octets, peer = one.recvfrom(10, socket.MSG_PEEK)
        print(octets, peer == two.getsockname())
        one.connect(peer)
        print(select.select([one], [], [], 5)[0] == [one], os.read(one.fileno(), 10))
        two.sendto(b"x", before)
        print(one.getsockname() == before, one.recv(10))
        os.write(one.fileno(), b"by write")
        print(two.recv(100), failure(two.sendto, b"y", before), os.read(one.fileno(), 10))


class Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = [("header", ctypes.c_char * 56), ("length", ctypes.c_uint32), ("padding", ctypes.c_uint32)]


def several_messages_at_once():
    one, two = datagrams()
    with one, two:
        one.connect(two.getsockname())
        buffers = [ctypes.create_string_buffer(text, 8) for text in (b"first", b"second")]
        vectors = [struct.pack("PN", ctypes.addressof(buffer), 8) for buffer in buffers]
        kept = [ctypes.create_string_buffer(vector, 16) for vector in vectors]
        messages = (Message * 2)()
        for message, vector in zip(messages, kept, strict=True):
            header = struct.pack("=QI4xQQQQi4x", 0, 0, ctypes.addressof(vector), 1, 0, 0, 0)
            ctypes.memmove(ctypes.addressof(message), header, 56)
        print(libc.sendmmsg(one.fileno(), messages, 2, 0), [message.length for message in messages])
        for buffer in buffers:
            buffer.raw = bytes(8)
        two.setblocking(True)
        while select.select([two], [], [], 1)[0] == []:
            pass
        got = 0
        while got < 2:
            taken = libc.recvmmsg(two.fileno(), ctypes.byref(messages, 64 * got), 2 - got, 0x10000, None)
            assert taken > 0
            got += taken
        print([buffer.raw.rstrip(b"\0") for buffer in buffers], [message.length for message in messages])


def datagrams_in_an_event_loop():
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, source):
                self.transport.sendto(data.upper(), source)

        class Client(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                transport.sendto(b"hello")

            def datagram_received(self, data, source):
                done.set_result(data)

        one, _ = await loop.create_datagram_endpoint(Server, local_addr=(LOCAL, 0))
        two, _ = await loop.create_datagram_endpoint(Client, remote_addr=one.get_extra_info("sockname"))
        print(await asyncio.wait_for(done, 5))
        one.close()
        two.close()

    asyncio.run(main())

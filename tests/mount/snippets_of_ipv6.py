"""What programs do with sockets of IPv6, and of both families; see run_snippets.py."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct

from snippet_ends import LOCAL, failure, free_port, libc, server


def connections_of_ipv6():
    with socket.socket(socket.AF_INET6) as new:
        print(new.getsockname(), failure(new.getpeername), new.getsockopt(socket.SOL_SOCKET, 39))
        print(failure(new.connect, ("::1", free_port())), failure(new.connect, ("fe80::1", 80)))
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        accepted, peer = listener.accept()
        with client, accepted:
            print(peer[0], peer[2:], peer == client.getsockname(), accepted.getpeername() == peer)
            print(
                client.getpeername() == listener.getsockname(), listener.getsockname()[0], failure(listener.send, b"x")
            )
            client.sendall(b"x")
            print(accepted.recv(1), accepted.family == socket.AF_INET6)
        with socket.socket(socket.AF_INET6) as client:
            client.connect(("::", listener.getsockname()[1]))
            print(client.getpeername()[0])
            four = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
            print(libc.connect(client.fileno(), four, 16), errno.errorcode[ctypes.get_errno()])
        with socket.socket(socket.AF_INET6) as client:
            print(libc.connect(client.fileno(), four, 16), errno.errorcode[ctypes.get_errno()])


def a_listener_of_both_families():
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        print(listener.getsockname()[0])
        for family, host in ((socket.AF_INET, LOCAL), (socket.AF_INET6, "::1"), (socket.AF_INET6, f"::ffff:{LOCAL}")):
            with socket.socket(family) as client:
                client.connect((host, port))
                accepted, peer = listener.accept()
                with accepted:
                    print(peer[0], accepted.getsockname()[0], client.getsockname()[0], client.getpeername()[0])
        with socket.socket() as four:
            print(failure(four.bind, ("", port)))


def a_listener_for_each_family():
    with socket.socket(socket.AF_INET6) as six, socket.socket() as four:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", 0))
        port = six.getsockname()[1]
        print(failure(six.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0))
        four.bind(("", port))
        for listener, host in ((six, "::1"), (four, LOCAL)):
            listener.listen()
            with socket.create_connection((host, port)):
                accepted, peer = listener.accept()
                accepted.close()
                print(peer[0])
        print(six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), six.getsockname()[0], four.getsockname()[0])
    with server() as listener, socket.socket(socket.AF_INET6) as six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        print(failure(six.connect, (f"::ffff:{LOCAL}", listener.getsockname()[1])))
        print(failure(six.bind, (f"::ffff:{LOCAL}", 0)))
    with socket.socket() as four, socket.socket(socket.AF_INET6) as six:
        four.bind(("", 0))
        four.listen()
        print(failure(six.connect, ("::1", four.getsockname()[1])))


def datagrams_of_both_families():
    kinds = (socket.AF_INET6, socket.AF_INET, socket.AF_INET6)
    both, four, six = (socket.socket(family, socket.SOCK_DGRAM) for family in kinds)
    with both, four, six:
        both.bind(("::", 0))
        both.settimeout(5)
        four.settimeout(5)
        port = both.getsockname()[1]
        four.sendto(b"of 4", (LOCAL, port))
        octets, source = both.recvfrom(100)
        print(octets, source[0], source[2:], both.sendto(b"to 4", source), four.recv(100))
        six.connect(("::1", port))
        print(six.send(b"of 6"), six.getpeername()[0], six.getsockname()[0])
        octets, source = both.recvfrom(100)
        print(octets, source == six.getsockname(), both.sendto(b"to 6", source), six.recv(100))
        both.sendto(b"to this host", ("::", port))
        print(both.recvfrom(100)[1][0])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        print(failure(six.sendto, b"x", (f"::ffff:{LOCAL}", 9)))


def options_of_ipv6():
    with socket.socket(socket.AF_INET6) as six, socket.socket() as four:
        for name, value in ((socket.IPV6_UNICAST_HOPS, 20), (socket.IPV6_TCLASS, 0x10), (socket.IPV6_V6ONLY, 1)):
            six.setsockopt(socket.IPPROTO_IPV6, name, value)
            print(six.getsockopt(socket.IPPROTO_IPV6, name), failure(four.getsockopt, socket.IPPROTO_IPV6, name))
            print(failure(four.setsockopt, socket.IPPROTO_IPV6, name, value))
        print(socket.if_nametoindex("lo"), socket.if_indextoname(1))


def an_event_loop_listens_on_all_addresses():
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        port = free_port()
        serving = await asyncio.start_server(answer, None, port)
        print(sorted(one.family.name for one in serving.sockets))
        for host in (LOCAL, "::1"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"line\n")
            print(await reader.read())
            writer.close()
        serving.close()

    asyncio.run(main())

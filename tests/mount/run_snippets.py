"""What programs do with sockets, each as a function that prints. Run natively and by `schemefs run`: the same output.

Ports and descriptors differ from run to run, so none is printed. The module needs nothing but the standard library.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import errno
import fcntl
import os
import resource
import select
import selectors
import signal
import socket
import struct
import sys
import termios
import threading

LOCAL = "127.0.0.1"
libc = ctypes.CDLL(None, use_errno=True)


def server(**options) -> socket.socket:
    return socket.create_server((LOCAL, 0), **options)


def pair() -> tuple[socket.socket, socket.socket]:
    with server() as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def failure(call, *arguments) -> str:
    try:
        return repr(call(*arguments))
    except OSError as error:
        return errno.errorcode[error.errno]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def datagrams() -> tuple[socket.socket, socket.socket]:
    one, two = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for made in (one, two):
        made.bind((LOCAL, 0))
        made.settimeout(5)
    return one, two


# tcp


def names_of_a_new_socket():
    with socket.socket() as new:
        print(new.getsockname(), failure(new.getpeername), new.type, new.family, new.proto)
        print([new.getsockopt(socket.SOL_SOCKET, name) for name in (3, 4, 30, 38, 39)])


def calls_on_a_new_socket():
    with socket.socket() as new:
        print(failure(new.recv, 1), failure(new.accept), failure(new.shutdown, 2), failure(new.send, b"x"))
        print(failure(new.listen), failure(new.accept) if new.setblocking(False) else "")


def connect_refused_then_again():
    with socket.socket() as client, server() as listener:
        print(failure(client.connect, (LOCAL, free_port())))
        print(failure(client.connect, listener.getsockname()), client.getpeername() == listener.getsockname())
        print(failure(client.connect, listener.getsockname()))


def connect_that_does_not_wait():
    with socket.socket() as client, server() as listener:
        client.setblocking(False)
        result = client.connect_ex(listener.getsockname())
        print(errno.errorcode.get(result, result) in ("EINPROGRESS", 0))
        print(select.select([], [client], [], 5)[1] == [client], client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        print(client.connect_ex(listener.getsockname()) in (0, errno.EISCONN))
        print(errno.errorcode[client.connect_ex(listener.getsockname())])


def refusal_that_does_not_wait():
    with socket.socket() as client:
        client.setblocking(False)
        address = (LOCAL, free_port())
        print(client.connect_ex(address) in (errno.EINPROGRESS, errno.ECONNREFUSED))
        poller = select.poll()
        poller.register(client, select.POLLOUT)
        events = poller.poll(5000)[0][1]
        print(bool(events & select.POLLERR), bool(events & select.POLLOUT))
        print([errno.errorcode.get(client.getsockopt(1, 4), 0) for _ in range(2)])


def poll_before_and_after():
    with socket.socket() as new, server() as listener:
        poller = select.epoll()
        poller.register(new, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP)
        print(poller.poll(0)[0][1])
        new.connect(listener.getsockname())
        accepted, _ = listener.accept()
        print(poller.poll(5)[0][1])
        accepted.sendall(b"x")
        while not poller.poll(5)[0][1] & select.EPOLLIN:
            pass
        print(poller.poll(5)[0][1])
        accepted.close()
        while not poller.poll(5)[0][1] & select.EPOLLRDHUP:
            pass
        print(new.recv(10), new.recv(10), poller.poll(5)[0][1])


def echo_and_ends():
    client, accepted = pair()
    with client, accepted:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        print(accepted.recv(100, socket.MSG_WAITALL), accepted.recv(1))
        accepted.sendall(b"bye")
        print(client.recv(100), failure(client.send, b"x"))
        print(failure(client.shutdown, 7))


def peeks_and_flags():
    client, accepted = pair()
    with client, accepted:
        print(
            failure(client.recv, 1, socket.MSG_DONTWAIT), failure(client.recv, 1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        )
        accepted.sendall(b"abcdef")
        select.select([client], [], [])
        print(client.recv(3, socket.MSG_PEEK), client.recv(3, socket.MSG_PEEK), client.recv(3), client.recv(9))
        accepted.sendall(b"1234")
        print(client.recv(4, socket.MSG_WAITALL), client.send(b"x", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL))
        print(failure(client.recv, 1, socket.MSG_OOB))
        client.setblocking(False)
        print(failure(client.recv, 1), failure(client.recv_into, bytearray(1)))


def vectors():
    client, accepted = pair()
    with client, accepted:
        print(client.sendmsg([b"one", b"", b"two", b"three"]))
        first, second = bytearray(4), bytearray(10)
        select.select([accepted], [], [])
        print(accepted.recvmsg_into([first, second]), first, second)
        print(os.writev(client.fileno(), [b"a", b"bc"]), accepted.recv(3, socket.MSG_WAITALL))


def large_octets():
    client, accepted = pair()
    octets = bytes(range(256)) * (3 << 12)
    with client, accepted:
        for send in (client.send, lambda part: client.sendmsg([part, b"end"])):
            got = []
            reader = threading.Thread(target=lambda: got.append(accepted.recv(len(octets), socket.MSG_WAITALL)))  # noqa: B023
            reader.start()
            print(send(octets))
            reader.join()
            print(got[0] == octets)
        print(accepted.recv(3, socket.MSG_WAITALL))


def accept_without_a_free_descriptor():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with server() as listener, socket.create_connection(listener.getsockname()) as client:
        free = os.dup(client.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            print(failure(listener.accept))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        print(select.select([listener], [], [], 5)[0] == [listener])
        client.sendall(b"x")
        with listener.accept()[0] as accepted:
            print(accepted.recv(1))


def readable_octets():
    client, accepted = pair()
    with client, accepted:
        for _ in range(2):
            number = array.array("i", [-1])
            fcntl.ioctl(client, termios.FIONREAD, number)
            print(number[0])
            accepted.sendall(b"12345")
            select.select([client], [], [])
        print(client.recv(10, socket.MSG_WAITALL))
        fcntl.ioctl(client, 0x5421, struct.pack("i", 1))  # FIONBIO
        print(failure(client.recv, 1), os.isatty(client.fileno()))


def options():
    client, accepted = pair()
    with client, accepted:
        for level, name, value in [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30000),
            (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
            (socket.IPPROTO_IP, socket.IP_TTL, 20),
            (socket.IPPROTO_IP, socket.IP_TOS, 0x10),
        ]:
            client.setsockopt(level, name, value)
            print(client.getsockopt(level, name) == value, end=" ")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2))
        print(client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        client.settimeout(0.05)
        print(client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 0, failure(client.getsockopt, 250, 7))
        print(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 500)
        try:
            client.recv(1)
        except TimeoutError:
            print("timeout")
        print(failure(client.setsockopt, socket.SOL_SOCKET, socket.SO_RCVTIMEO, b"x"))


def binding():
    with server() as listener, socket.socket() as other, socket.socket() as client:
        print(failure(other.bind, listener.getsockname()))
        print(failure(other.bind, ("192.0.2.7", 0)))
        other.bind((LOCAL, 0))
        print(failure(other.bind, (LOCAL, 0)), other.getsockname()[1] > 0)
        client.bind((LOCAL, 0))
        before = client.getsockname()
        client.connect(listener.getsockname())
        print(client.getsockname() == before, listener.accept()[1] == before)


def accept_does_not_wait():
    with server() as listener:
        listener.setblocking(False)
        print(failure(listener.accept))
        client = socket.create_connection(listener.getsockname())
        print(select.select([listener], [], [], 5)[0] == [listener])
        number = libc.accept4(listener.fileno(), None, None, socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        print(number > 0, os.get_blocking(number), os.get_inheritable(number))
        os.close(number)
        client.close()
        print(failure(listener.getpeername), listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def duplicates_and_children():
    client, accepted = pair()
    with accepted:
        copy = client.dup()
        client.close()
        copy.sendall(b"by the copy")
        print(accepted.recv(100), copy.getpeername() == accepted.getsockname())
        pid = os.fork()
        if not pid:
            copy.sendall(b"by the child")
            os._exit(0)
        os.waitpid(pid, 0)
        print(accepted.recv(100))
        os.dup2(copy.fileno(), 200)
        copy.close()
        os.write(200, b"at 200")
        print(accepted.recv(100))
        os.close(200)
        print(accepted.recv(100))


def a_program_inherits_a_socket():
    client, accepted = pair()
    with client, accepted:
        client.set_inheritable(True)
        code = f"import socket; socket.socket(fileno={client.fileno()}).sendall(b'inherited')"
        os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code])
        client.close()
        print(accepted.recv(100), accepted.recv(100))


def sigpipe():
    client, accepted = pair()
    with client:
        accepted.close()
        got = []
        signal.signal(signal.SIGPIPE, lambda *_: got.append(1))
        while failure(client.send, b"x", socket.MSG_NOSIGNAL) not in ("EPIPE", "ECONNRESET"):
            pass
        print(got, failure(client.send, b"x"))
        print(got)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def backlog_and_threads():
    with server(backlog=20) as listener:
        got = []

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(10).upper())

        def ask(number):
            with socket.create_connection(listener.getsockname()) as client:
                client.sendall(b"n%d" % number)
                got.append(client.recv(10))

        threads = [threading.Thread(target=serve) for _ in range(8)]
        threads += [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sorted(got))


def event_loop():
    async def main():
        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

        listener = await asyncio.start_server(echo, LOCAL, 0)
        address = listener.sockets[0].getsockname()

        async def client(number):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"line %d\n" % number)
            writer.write_eof()
            return await reader.read()

        print(sorted(await asyncio.gather(*map(client, range(10)))))
        listener.close()

    asyncio.run(main())


def an_odd_name_of_the_process():
    before = open("/proc/self/comm").read().rstrip("\n")
    libc.prctl(15, b"a b\n(7) \xff x", 0, 0, 0)
    client, accepted = pair()
    with client, accepted:
        client.sendall(b"works")
        print(accepted.recv(10))
    libc.prctl(15, before.encode(), 0, 0, 0)


def bad_arguments():
    client, accepted = pair()
    with client, accepted:
        print(libc.connect(client.fileno(), 1, 16), errno.errorcode[ctypes.get_errno()])
        print(libc.recv(999, None, 0, 0), errno.errorcode[ctypes.get_errno()])
        print(libc.send(client.fileno(), 1, 10, 0), errno.errorcode[ctypes.get_errno()])
        print(libc.getsockname(client.fileno(), 1, 1), errno.errorcode[ctypes.get_errno()])
        print(libc.send(0, b"x", 1, 0), errno.errorcode[ctypes.get_errno()])
        print(
            libc.setsockopt(client.fileno(), 1, 9, ctypes.byref(ctypes.c_int(1)), 1),
            errno.errorcode[ctypes.get_errno()],
        )


# udp


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


# IPv6


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


# what is not of the mount


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


SNIPPETS = [
    value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__ and callable(value)
]
SHARED = (server, pair, failure, free_port, datagrams, Message)


def main() -> None:
    for snippet in SNIPPETS:
        if snippet not in SHARED and snippet is not main:
            print(f"== {snippet.__name__}")
            try:
                snippet()
            except Exception as error:
                print("raised", type(error).__name__, error)
            sys.stdout.flush()


if __name__ == "__main__":
    main()

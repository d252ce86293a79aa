"""What programs do with sockets of TCP over IPv4; see run_snippets.py."""

from __future__ import annotations

import array
import asyncio
import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
import threading

from snippet_ends import LOCAL, failure, free_port, libc, pair, server


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

"""The peers of the cookbook's recipes, all in one process: on 10.0.2.2, at the ports of the recipes.

Prints `ready`, then a line for each message that a silent peer has received: `514 <13>…`.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable

HERE = "10.0.2.2"
PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nit works\n"
TIME = 3976311845  # 2026-01-02 03:04:05 in seconds since 1900

PEM = sys.argv[1]  # a certificate and its key, for TLS

Talk = Callable[[socket.socket], None]
thanked = [threading.Semaphore(0) for _ in range(3)]
knocks: list[int] = []


def say(port: int, what: str) -> None:
    print(port, what, flush=True)


def stream(port: int, talk: Talk) -> None:
    listener = socket.create_server((HERE, port), backlog=50)

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=conversation, args=(connection, talk), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def conversation(connection: socket.socket, talk: Talk) -> None:
    with connection:
        talk(connection)


def datagrams(port: int, answer: Callable[[bytes], bytes], host: str = "") -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, port))

    def serve() -> None:
        while True:
            question, peer = server.recvfrom(65536)
            if reply := answer(question):
                server.sendto(reply, peer)

    threading.Thread(target=serve, daemon=True).start()


def everything(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def echo(connection: socket.socket) -> None:
    while octets := connection.recv(65536):
        connection.sendall(octets)


def page(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request and (octets := connection.recv(65536)):
        request += octets
    connection.sendall(PAGE)


def page_over_tls(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with context.wrap_socket(connection, server_side=True) as tls:
        page(tls)
        tls.unwrap()


def upper(connection: socket.socket) -> None:
    say(9003, everything(connection).decode().strip())


def in_turn(turn: int, text: bytes) -> Talk:
    """Send *text* after all peers with an earlier turn have received their thanks; keep the connection open."""

    def talk(connection: socket.socket) -> None:
        if turn:
            thanked[turn - 1].acquire(timeout=10)
        connection.sendall(text)
        if connection.recv(100) == b"thanks\n":
            thanked[turn].release()
        everything(connection)
        if turn == 2:
            thanked[turn].acquire()

    return talk


def name_server(question: bytes) -> bytes:
    answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes((192, 0, 2, 80))
    end = question.index(b"\0", 12) + 5  # of the name, its type and class; an OPT record may follow
    return question[:2] + b"\x81\x80" + b"\0\1\0\1\0\0\0\0" + question[12:end] + answer


def knocked(port: int) -> Callable[[bytes], bytes]:
    def knock(_octets: bytes) -> bytes:
        knocks.append(port)  # each port has a thread of its own, so the order is not known
        if len(knocks) == 3:  # opens the port
            stream(2222, lambda connection: connection.sendall(b"the door is open\n"))
        return b""

    return knock


def heard(port: int, show: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
    def hear(octets: bytes) -> bytes:
        say(port, show(octets))
        return b""

    return hear


def main() -> None:
    stream(7, echo)
    stream(22, lambda connection: connection.sendall(b"SSH-2.0-Example\r\n"))
    stream(80, page)
    stream(443, page_over_tls)
    stream(9000, lambda connection: say(9000, str(len(everything(connection)))))
    stream(9002, lambda connection: connection.sendall(b"quiet words\n"))
    stream(9003, upper)
    stream(9011, in_turn(2, b"and last the first\n"))
    stream(9012, in_turn(0, b"the second was the fastest\n"))
    stream(9013, in_turn(1, b"then came the third\n"))
    datagrams(53, name_server)
    datagrams(123, lambda _question: bytes(40) + struct.pack(">II", TIME, 0))
    datagrams(514, heard(514, bytes.decode))
    datagrams(9, heard(9, bytes.hex), "10.0.2.255")
    for port in (7001, 7002, 7003):
        datagrams(port, knocked(port))
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

"""A test suite as many are: a server of its own on localhost, and clients. It knows nothing of schemefs.

pytest examples/bad_localhost                                              passes
schemefs run --impair 'loss 5% seed 7' -- pytest examples/bad_localhost    fails, in the same test each time
"""

import socket
import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

TIMEOUT = 0.5


class Page(BaseHTTPRequestHandler):
    """Answers with a text of the length that the path says."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * int(self.path.strip("/")))

    def log_message(self, *_: object) -> None:
        pass


class Counter(socketserver.DatagramRequestHandler):
    """Answers a number with the next one."""

    def handle(self) -> None:
        self.wfile.write(b"%d" % (int(self.rfile.read()) + 1))


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with ThreadingHTTPServer(("localhost", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def counter() -> Iterator[socket.socket]:
    with socketserver.UDPServer(("localhost", 0), Counter) as server:
        threading.Thread(target=server.serve_forever).start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(server.server_address)
            yield client
        server.shutdown()


@pytest.mark.parametrize("length", [1, 1000, 1_000_000])
def test_page(page: str, length: int) -> None:
    with urllib.request.urlopen(f"{page}/{length}") as answer:  # noqa: S310 - the scheme is http
        assert len(answer.read()) == length


def test_count_to_100(counter: socket.socket) -> None:
    number = 0
    while number < 100:
        counter.send(b"%d" % number)
        number = int(counter.recv(100))  # a datagram that is lost is not sent again: the fault that the run shows

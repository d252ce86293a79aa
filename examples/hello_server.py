"""A web server for the demo and the tests: `hello_server.py ADDRESS PORT [PEM]`, of either family; HTTPS with a PEM.

Every page is "hello" and the client's address. It prints "ready" when it listens.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import sys


class Greeting(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the client's address."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello {self.client_address[0]}\n".encode())

    def log_message(self, *_):
        pass


class TlsServer(http.server.ThreadingHTTPServer):
    """Python's own server closes a TLS stream without close_notify, which clients report as truncation."""

    def shutdown_request(self, request):
        super().shutdown_request(request.unwrap())


def main(address: str, port: str, *pem: str) -> None:
    kind = TlsServer if pem else http.server.ThreadingHTTPServer
    kind.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = kind((address, int(port)), Greeting)
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What `schemefs serve` runs for the tests of `schemefs get`: one request on stdin, an answer by its path on stdout."""

from __future__ import annotations

import sys

BIG = bytes(range(256)) * 8192  # 2 MiB


def main() -> None:
    lines = []
    while line := sys.stdin.buffer.readline().strip():
        lines.append(line.decode())
    path = lines[0].split()[1]
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    out = sys.stdout.buffer

    def answer(status: str, body: bytes = b"", *more: str) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, "", ""]
        out.write("\r\n".join(head).encode("latin-1") + body)

    if path == "/hello":
        answer("200 OK", b"hello " + fields["host"].encode())
    elif path == "/redirect":
        answer("302 Found", b"", "Location: hello")
    elif path == "/utf8":
        answer("302 Found", b"", "Location: /\u00c3\u00a4?\u00c3\u00b6=%41")
    elif path.startswith("/%C3%A4"):
        answer("200 OK", path.encode())
    elif path == "/long":
        answer("200 OK", b"hello", *(f"Set-Cookie: c{n}={'x' * 4000}" for n in range(70)))
    elif path == "/longer":
        answer("200 OK", b"hello", *(f"Set-Cookie: c{n}={'x' * 4000}" for n in range(90)))
    elif path == "/pieces":
        for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":
            out.write(bytes([octet]))
            out.flush()
    elif path == "/continue":
        while True:
            out.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    elif path == "/fields":
        answer("200 OK", repr(sorted(fields.items())).encode())
    elif path == "/0.9":
        out.write(b"<html>an answer without a head</html>")
    elif path == "/bad-head":
        out.write(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")
    elif path == "/switched":
        out.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    elif path == "/bad-chunk":
        out.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello")
    elif path == "/other-range":
        answer("206 Partial Content", b"llo", "Content-Range: bytes 2-4/5")
    elif path.startswith("/versions/"):
        tag = f'"{path[10:]}"'
        if "range" not in fields:
            out.write(f"HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: 10\r\n\r\nhello".encode())  # and a cut
        elif fields.get("if-range") == tag:
            answer("206 Partial Content", b"world", "Content-Range: bytes 5-9/10", f"ETag: {tag}")
        else:
            answer("200 OK", b"HELLOWORLD", f"ETag: {tag}")
    elif path == "/endless":
        out.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            out.write(b".")
            out.flush()
    elif path == "/loop":
        answer("302 Found", b"", "Location: /loop")
    elif path == "/chunked":
        out.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    elif path == "/escapes":
        answer("404 \x1b[2Jno\x07", b"", "X-Title: \x1b]0;owned\x07", "X-C1: a\u009bb")
    elif path == "/old":
        out.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    elif path == "/cut":
        out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    elif path == "/garbage":
        out.write(b"\x00\x01 what is this\r\n\r\n")
    elif path == "/big":
        start = int(fields.get("range", "bytes=0-")[6:-1])
        if start >= len(BIG):
            answer("416 Range Not Satisfiable", b"", f"Content-Range: bytes */{len(BIG)}")
        elif start:
            answer("206 Partial Content", BIG[start:], f"Content-Range: bytes {start}-{len(BIG) - 1}/{len(BIG)}")
        else:
            answer("200 OK", BIG)
    elif path == "/silent":
        sys.stdin.buffer.read()  # until the client closes
    elif path != "/nothing":
        answer("404 Not Found", b"no")
    out.flush()


if __name__ == "__main__":
    main()

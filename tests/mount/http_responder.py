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

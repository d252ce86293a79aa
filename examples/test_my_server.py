"""Tests of a user: the `scheme_mount` fixture comes with schemefs. They need /dev/fuse and no root.

Run with: pytest examples/test_my_server.py
"""

import subprocess
from pathlib import Path

HTTPD = Path(__file__).parent / "httpd"


def test_lo_has_its_address(scheme_mount):
    assert "127.0.0.1/8" in (scheme_mount.path / "netcfg/iface/lo/addr").read_text()


def test_my_server_answers(scheme_mount):
    environment = {"SCHEME": str(scheme_mount.path), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([HTTPD, "8080"], env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "listening\n"
        with open(scheme_mount.path / "tcp/127.0.0.1:8080", "r+b", buffering=0) as connection:
            connection.write(b"GET /it HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.read(4096), b""))
        server.kill()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"you asked: GET /it HTTP/1.0\r\n")

"""The case that this project began from: curl on a link with 70 ms each way, unchanged, by `schemefs run`.

The notes have curl's connect, which does not wait, and its polls: some that change nothing, then the SYN-ACK, one
waker, POLLOUT, and the answer.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.tls_certificates import Authority

pytestmark = [pytest.mark.needs("fuse", "tap", "root", "curl")]

TIMEOUT = 30.0
# Answers in two parts: the second when a line comes on standard input, so that the conversation can be looked at.
SERVER = """
import socket, ssl, sys
listener = socket.create_server(("10.0.2.2", int(sys.argv[1])))
print("ready", flush=True)
connection, _ = listener.accept()
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    connection = context.wrap_socket(connection, server_side=True)
request = b""
while b"\\r\\n\\r\\n" not in request:
    request += connection.recv(4096)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 12\\r\\nConnection: close\\r\\n\\r\\nhello ")
sys.stdin.readline()
connection.sendall(b"world\\n")
connection.recv(1)
"""


@pytest.fixture(scope="module")
def slow(module_tap_network: TapNetwork) -> TapNetwork:
    (module_tap_network.mount.path / "netcfg/ifaces/eth0/impair").write_text("delay 70ms\n")
    return module_tap_network


def start_server(slow: TapNetwork, *arguments: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", SERVER, *arguments]
    server = slow.start_peer(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def start_curl(slow: TapNetwork, *arguments: str) -> subprocess.Popen[str]:
    run = [sys.executable, "-m", "schemefs", "run", "-v", "--mount", str(slow.mount.path), "--"]
    return subprocess.Popen(
        [*run, "curl", "-sSN", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def events_of_the_answer(tree: Path) -> str:
    """Return the events of the only conversation, once the first part of the answer was read."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        for directory in (tree / "tcp").iterdir():
            if directory.name.isdecimal():
                text = (directory / "events").read_text()
                if re.search(r"read of \d+: [1-9]", text):
                    return text
        time.sleep(0.02)
    raise AssertionError("curl has read nothing")


def finish(server: subprocess.Popen[str], curl: subprocess.Popen[str]) -> str:
    assert server.stdin is not None
    server.stdin.write("\n")
    server.stdin.flush()
    output, errors = curl.communicate(timeout=TIMEOUT)
    assert (curl.returncode, output) == (0, "hello world\n"), errors
    return errors


def test_curl_has_the_timeline_of_the_notes_with_the_right_ending(slow: TapNetwork) -> None:
    server = start_server(slow, "80")
    curl = start_curl(slow, "http://10.0.2.2/test")
    events = events_of_the_answer(slow.mount.path)
    calls = finish(server, curl)
    assert "10.0.2.2:80) = -1 EINPROGRESS" in calls

    lines = events.splitlines()
    places = {
        name: next((place for place, line in enumerate(lines) if re.search(pattern, line)), -1)
        for name, pattern in {
            "SYN": r" SYN out to 10\.0\.2\.2:80",
            "poll that changes nothing": r" poll pid \d+ -> none, parked",
            "SYN-ACK": r" SYN-ACK in from 10\.0\.2\.2:80",
            "established": r" SYN_SENT -> ESTABLISHED",
            "one waker": r" fevent OUT -> 1 waker",
            "POLLOUT": r" poll pid \d+ -> OUT",
            "request": r" write of \d+: \d+",
            "answer": r" read of \d+: [1-9]",
        }.items()
    }
    assert -1 not in places.values(), f"{places}\n{events}"
    assert list(places.values()) == sorted(places.values()), events
    between = lines[places["SYN"] : places["POLLOUT"]]
    assert sum(" waker" in line for line in between) == 1, events
    pid = re.search(r"poll pid (\d+) -> OUT", events)
    assert pid is not None
    assert f"[{pid[1]}] connect(" in calls  # curl itself polls, not the supervisor
    seconds = float(lines[places["established"]].split()[0])
    assert seconds >= 0.14  # there and back


def test_curl_over_tls(slow: TapNetwork, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = start_server(slow, "443", str(authority.certificate("server", "10.0.2.2")))
    curl = start_curl(slow, "--cacert", str(authority.ca), "https://10.0.2.2/test")
    events_of_the_answer(slow.mount.path)
    finish(server, curl)

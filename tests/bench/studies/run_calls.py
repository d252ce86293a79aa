"""What `schemefs run` adds to a call, in one run: one that it answers, one that it passes on, one that it never sees.

    ./dev bench --study run_calls

The same loops run natively before and after, on sockets of the kernel. The microseconds are the median of ten rounds;
beside them is the processor time of the supervisor, which a busy machine changes less.
"""

from __future__ import annotations

import json
import subprocess
import sys

from schemefs.testing.mount import SchemeMount

PROGRAM = """
import json, os, socket, statistics, threading, time

def of_parent():
    words = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

def median(call, count=1000, rounds=10):
    found, used = [], of_parent()
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(count):
            call()
        found.append((time.perf_counter() - begin) / count * 1e6)
    return statistics.median(found), (of_parent() - used) / count / rounds * 1e6

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
local, other = socket.socketpair()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

print(json.dumps({
    "answered, in the supervisor alone: getsockopt(SO_TYPE)": median(lambda: client.getsockopt(1, 3)),
    "answered with a request to the mount: getsockopt(SO_ERROR)": median(lambda: client.getsockopt(1, 4), 100),
    "passed on: getsockopt(SO_TYPE) of AF_UNIX": median(lambda: local.getsockopt(1, 3)),
    "not seen: getppid": median(os.getppid),
    "one octet there and back by send and recv": median(
        lambda: (peer.sendall(b"x"), client.recv(1), client.send(b"y"), peer.recv(1)), 50),
    "one octet there and back by write and read": median(
        lambda: (os.write(peer.fileno(), b"x"), os.read(client.fileno(), 1),
                 os.write(client.fileno(), b"y"), os.read(peer.fileno(), 1)), 50),
    "socket and close": median(lambda: socket.socket().close(), 20),
}))
"""


def measured(*prefix: str) -> dict[str, list[float]]:
    done = subprocess.run([*prefix, sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    with SchemeMount(log_level="info") as mount:
        run = (sys.executable, "-m", "schemefs", "run", "--mount", str(mount.path), "--")
        before, under, after = measured(), measured(*run), measured()
    print(f"{'us a call':60} {'run':>8} {'of that, supervisor':>20} {'native':>8}")
    for name, (value, used) in under.items():
        print(f"{name:60} {value:8.2f} {used:20.2f} {(before[name][0] + after[name][0]) / 2:8.2f}")


if __name__ == "__main__":
    main()

"""What a lab costs: `./dev bench --study lab`, as root, ratios in one run.

start     from `schemefs lab` to the first command of two hosts, as a multiple of `schemefs mount`
traffic   one TCP stream between two hosts: through our router, and between two namespaces with a Linux router and two
          veth pairs, whose offloads (TSO, GSO, GRO) are off; ours are on
observer  ours with the observer of connections, which `schemefs lab` has on, to ours without
chain     the same through two and three routers of ours

Status 1: a goal is missed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from schemefs.lab.report import observe
from schemefs.lab.running import RunningLab
from schemefs.lab.topology import Topology
from schemefs.testing.network import Namespace
from tests.bench.network import holder, without_offloads

SECONDS: Final = 3
ROUNDS: Final = 3
START_GOAL: Final = 2.5
TRAFFIC_GOAL: Final = 0.8
BITS_GOAL: Final = 4e9
ADDRESS: Final = "10.9.2.2"

PEER: Final = """
import socket, sys, time
if sys.argv[1] == "sink":
    listener = socket.create_server(("", 5001))
    print("listening", flush=True)
    peer, _ = listener.accept()
    buffer, count, began = bytearray(1 << 20), 0, time.monotonic()
    while received := peer.recv_into(buffer):
        count += received
    print(count * 8 / (time.monotonic() - began))
else:
    octets, end = bytes(1 << 20), time.monotonic() + float(sys.argv[3])
    with socket.create_connection((sys.argv[2], 5001)) as peer:
        while time.monotonic() < end:
            peer.sendall(octets)
"""

CHAIN: Final = """
[host.client]
[host.server]
{routers}
{links}
"""


def main() -> int:
    mount, lab = starts()
    print(f"start    mount {mount:.2f} s, lab {lab:.2f} s: {lab / mount:.2f} times (goal: at most {START_GOAL})")
    linux, ours = [], []
    unobserved = []
    for _ in range(ROUNDS):
        linux.append(linux_router())
        ours.append(our_routers(1))
        unobserved.append(our_routers(1, observes=False))
    ratio = max(ours) / max(linux)
    speeds = f"Linux without offloads {max(linux) / 1e9:.2f} Gbit/s, ours {max(ours) / 1e9:.2f}"
    print(f"traffic  {speeds}: {ratio:.2f} times (goals: at least {TRAFFIC_GOAL}; {BITS_GOAL / 1e9:.0f} Gbit/s)")
    cost = max(ours) / max(unobserved)
    print(f"observer ours without it {max(unobserved) / 1e9:.2f} Gbit/s, with it {cost:.2f} times")
    for count in (2, 3):
        print(f"chain    {count} routers {our_routers(count) / 1e9:.2f} Gbit/s")
    return not (lab / mount <= START_GOAL and ratio >= TRAFFIC_GOAL and max(ours) >= BITS_GOAL)


def starts() -> tuple[float, float]:
    """Return the shortest times of a mount and of a lab, taken in turns."""
    schemefs = [sys.executable, "-m", "schemefs"]
    mounts, labs = [], []
    namespace = Namespace()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 2):
            began = time.time()
            namespace.run([*schemefs, "mount", folder, "--driver", "tap"])
            mounts.append(time.time() - began)
            namespace.run([*schemefs, "umount", folder])
            began = time.time()
            done = subprocess.run(
                [*schemefs, "lab", "--", "date", "+%s.%N"], check=True, stdout=subprocess.PIPE, timeout=60
            )
            labs.append(float(done.stdout) - began)
    namespace.close()
    return min(mounts), min(labs)


def our_routers(count: int, *, observes: bool = True) -> float:
    """Return the bits a second through *count* routers of ours; *observes*: as in `schemefs lab`, for its report."""
    names = ["client", *(f"r{number}" for number in range(count)), "server"]
    routers = "".join(f"[router.{name}]\n" for name in names[1:-1])
    links = "".join(f"[[link]]\nbetween = {list(pair)}\n" for pair in pairwise(names))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CHAIN.format(routers=routers, links=links))
        file.flush()
        topology = Topology.from_file(file.name)
    with RunningLab(topology) as lab:
        if observes:
            observe({name: lab.scheme / name for name in names[1:-1]})
        return transfer(lab.words("server"), lab.words("client"), topology.address("server"))


def linux_router() -> float:
    """Return the bits a second through a Linux router between two veth pairs without offloads."""
    client, router, server = Namespace(), Namespace(), Namespace()
    try:
        for number, host in ((1, client), (2, server)):
            here = holder(host)
            router.run(["ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0"])
            router.run(["ip", "link", "set", "eth0", "netns", here])
            router.run(["ip", "addr", "add", f"10.9.{number}.1/24", "dev", f"v{number}"])
            router.run(["ip", "link", "set", f"v{number}", "up"])
            host.run(["ip", "addr", "add", f"10.9.{number}.2/24", "dev", "eth0"])
            host.run(["ip", "link", "set", "eth0", "up"])
            host.run(["ip", "route", "add", "default", "via", f"10.9.{number}.1"])
            without_offloads(host, "eth0")
            without_offloads(router, f"v{number}")
        router.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
        return transfer(server.prefix, client.prefix, ADDRESS)
    finally:
        for namespace in (client, router, server):
            namespace.close()


def transfer(server: Sequence[str], client: Sequence[str], address: str) -> float:
    """Return the bits a second of one stream."""
    python = [sys.executable, "-S", "-E", "-c", PEER]
    with subprocess.Popen([*server, *python, "sink"], stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        assert sink.stdout.readline() == "listening\n"
        subprocess.run([*client, *python, "source", address, str(SECONDS)], check=True, timeout=60)
        return float(sink.stdout.readline())


if __name__ == "__main__":
    sys.exit(main())

"""What one user's attack costs another user's calls: the worst delay of a neighbor under each attack.

For each attack a mount of its own, with two ordinary users. The neighbor reads a text, opens one, and sends an octet
through two files, all the time: before the attack (`alone`) and during it. A delay is the processor time of the daemon
from the beginning of a call to its end, so that other programs of the machine don't count. The goal is 20 ms, but for
opens that read files: they start a process, and only have to succeed. `--tree
DIRECTORY` runs the daemon of another checkout, for a comparison. It needs root, and takes some minutes.

    names       300 look-ups that no server answers; the neighbor looks up a name, too
    readers     16 opens whose files of `ca=` are never read to their end; the neighbor opens one, too
    pings       ten pings of 65,000 octets each millisecond
    listing     `ls tcp` again and again, with 19,000 conversations
    churn       conversations opened, looked at and closed, beside 8,000 others
    watches     100,000 watches in an event queue, their reports, and the end of the queue
    memory      connections that are written to and never read
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.tls_certificates import Authority

ATTACKER, NEIGHBOR = 65534, 65533
GOAL: Final = 0.020
SECONDS: Final = 4.0

PRELUDE: Final = """
import os, resource, sys, time
os.sched_setaffinity(0, range(os.cpu_count()))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
RW, RO, NB = os.O_RDWR, os.O_RDONLY, os.O_NONBLOCK
def attempt(path, flags):
    try: return os.open(path, flags)
    except OSError: return -1
def clones(count): return [file for file in (attempt('tcp/clone', RW) for _ in range(count)) if file >= 0]
def name(file): return os.getxattr(file, 'user.conversation').decode()
def pair(port):
    client = os.open(f'tcp/127.0.0.1:{port}', RW)
    return client, os.open('tcp/' + os.read(listener, 100).split()[0].decode() + '/data', RW)
def ready(): print(flush=True)
"""

NEIGHBOR_CALLS: Final = """
import json
listener = os.open('tcp/:9000', RW)
client, server = pair(9000)
text_file = os.open('netcfg/route/list', RO)
def text(): os.pread(text_file, 4096, 0)
def open_(): os.close(os.open('netcfg/route/list', RO))
def octet():
    os.write(client, b'x'); os.read(server, 1)
def lookup():
    file = os.open('dns/neighbor.example', RO | NB)
    try: os.read(file, 100)
    except BlockingIOError: pass
    finally: os.close(file)
def reader():
    try: os.open('tls/127.0.0.1:1,ca=CA', RO)
    except ConnectionRefusedError: pass
CLOCK = ~int(sys.argv[3]) << 3 | 2  # the processor time of the daemon: CPUCLOCK_SCHED of that process
calls = [text, open_, octet, *([globals()[sys.argv[2]]] if sys.argv[2] else [])]
worst, failed, count = {call.__name__: 0.0 for call in calls}, {}, 0
def measure(seconds):
    global count
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for call in calls:
            began = time.clock_gettime(CLOCK)
            try: call()
            except OSError as error: failed[call.__name__] = os.strerror(error.errno)
            worst[call.__name__] = max(worst[call.__name__], time.clock_gettime(CLOCK) - began)
            count += 1
for _ in range(50): measure(0)
ready()
while sys.stdin.readline():
    for call in calls: worst[call.__name__] = 0.0
    failed.clear(); count = 0
    measure(float(sys.argv[1]))
    print(json.dumps([worst, failed, count]), flush=True)
"""

ATTACKS: Final = {
    "names": """
files = [attempt(f'dns/n{number}.example', RO | NB) for number in range(300)]
ready(); sys.stdin.read()
""",
    "readers": """
import signal, threading
def opens():
    while True: attempt('tls/127.0.0.1:1,ca=CA', RO)
for _ in range(16): threading.Thread(target=opens, daemon=True).start()
ready()
while True:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if b'read_as_caller' in open(f'/proc/{pid}/cmdline', 'rb').read(): os.kill(int(pid), signal.SIGSTOP)
        except OSError: pass
""",
    "pings": """
files = [attempt('icmp/ping/127.0.0.1,count=0,size=65000,interval=0.001', RO) for _ in range(10)]
ready()
while True:
    for file in files: os.read(file, 65536)
""",
    "listing": """
held = clones(8100)
ready()
while True: os.listdir('tcp')
""",
    "churn": """
held = clones(8000)
ready()
while True:
    for file in clones(50):
        os.listdir('tcp/' + name(file).partition('/')[2]); os.close(file)
""",
    "watches": """
held = clones(4000)
texts = [text for text in os.listdir(name(held[0])) if text not in ('ctl', 'data', 'rx', 'tx', 'listen', 'events')]
texts = [text for text in texts if text != 'settings' and text != 'README']
texts += [f'settings/{text}' for text in os.listdir(name(held[0]) + '/settings') if text != 'README']
lines = [f'{name(file)}/{text} read\\n'.encode() for file in held for text in texts][:100_000]
lines += [f'{name(file)} read write\\n'.encode() for file in held]
ready()
while True:
    queue = os.open('event/queue', RW | NB)
    for begin in range(0, len(lines), 500):
        try: os.write(queue, b''.join(lines[begin:begin + 500]))
        except OSError: break
    try:
        while os.read(queue, 1 << 20): pass
    except OSError: pass
    os.close(queue)
""",
    "memory": """
listener = os.open('tcp/:9001', RW)
ready()
ends, block = [], bytes(1 << 20)
while len(ends) < 400:
    try: client, server = pair(9001)
    except OSError: time.sleep(0.1); continue
    os.set_blocking(client, False)
    ends.append((client, server))
    try:
        while os.write(client, block): pass
    except OSError: pass
sys.stdin.read()
""",
}
EXTRA: Final = {"names": "lookup", "readers": "reader"}


def as_user(uid: int, mount: Path, ca: Path, script: str, *words: str) -> subprocess.Popen[str]:
    rights: tuple[str, ...] = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all")
    if uid == NEIGHBOR:  # it runs as soon as it has its answer: what the daemon does later is no delay of the call
        rights = ("chrt", "-r", "1", *rights)
    script = (PRELUDE + script).replace("ca=CA", f"ca={str(ca).replace('/', '%2F')}")
    command = [*rights, sys.executable, "-I", "-S", "-c", script, *words]
    process = subprocess.Popen(command, cwd=mount, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def measured(neighbor: subprocess.Popen[str]) -> tuple[dict[str, float], dict[str, str], int]:
    """Return the worst delay of each call, the failures and the number of calls, of SECONDS."""
    assert neighbor.stdin is not None
    assert neighbor.stdout is not None
    neighbor.stdin.write("\n")
    neighbor.stdin.flush()
    worst, failed, count = json.loads(neighbor.stdout.readline())
    return worst, failed, count


def silent_server(mount: Path) -> int:
    """Have every question for a name go to a server that never answers; return its file."""
    file = os.open(mount / "udp/127.0.0.1:53,bind", os.O_RDWR)
    (mount / "netcfg/resolv/nameserver").write_text("127.0.0.1\n")
    return file


def resident(pid: int) -> int:
    """Return the octets of memory that a process has; `stats` would keep the daemon from being idle."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def row(attack: str, mounted: SchemeMount, ca: Path) -> bool:
    """Print one attack's row; return whether the goal is met."""
    mount = mounted.path
    before = resident(mounted.pid)
    server = silent_server(mount)
    held = [os.open(mount / "tcp/clone", os.O_RDWR) for _ in range(10_900)] if attack == "listing" else []
    neighbor = as_user(NEIGHBOR, mount, ca, NEIGHBOR_CALLS, str(SECONDS), EXTRA.get(attack, ""), str(mounted.pid))
    alone = max(measured(neighbor)[0].values())
    attacker = as_user(ATTACKER, mount, ca, ATTACKS[attack])
    worst, failed, count = measured(neighbor)
    peak = resident(mounted.pid)
    attacker.kill()
    attacker.communicate()
    for file in (*held, server):
        os.close(file)
    text = ", ".join(f"{call} {seconds * 1000:.1f} ms" for call, seconds in worst.items())
    text += "".join(f"; {call}: {why}" for call, why in failed.items())
    sys.stdout.write(f"{attack:8} alone {alone * 1000:5.1f} ms, then {text} ({count} calls)")
    if attack == "memory":
        with suppress(AssertionError):
            wait_until(lambda: resident(mounted.pid) < before + (32 << 20), patience=30.0)
        sys.stdout.write(f"; resident {before >> 20}, at most {peak >> 20}, then {resident(mounted.pid) >> 20} MiB")
    is_met = max(worst[call] for call in worst if call != "reader") <= GOAL and not failed
    sys.stdout.write("\n" if is_met else f"  above the goal of {GOAL * 1000:.0f} ms\n")
    sys.stdout.flush()
    neighbor.communicate()
    return is_met


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", default="")
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS))
    given = parser.parse_args()
    environment = {"PYTHONPATH": given.tree} if given.tree else {}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    met = []
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        ca = Authority(Path(place)).ca
        for attack in given.attacks or ATTACKS:
            with SchemeMount(environment=environment, log_level="info") as mounted:
                met.append(row(attack, mounted, ca))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())

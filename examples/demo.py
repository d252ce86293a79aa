"""`./dev demo`: a tour of the mount, in temporary network, mount and process namespaces.

Inside them the path is /scheme, so every line can be pasted. The Linux stack on the other end of the TAP is the peer,
10.0.2.2 and fd00:10:0:2::2, with a small web server. Beyond the peer is another network (demo_world.py), which is
reached with --uplink: names, HTTP and HTTPS are shown there, and once more after a restart of the daemon. Each step is
printed with its output and a comment; a step that fails makes the exit status 1. Without root only the steps that need
no TAP are run, on a temporary directory; without IPv6 in the kernel, those that need it are left out. --notes plays the
faults of docs/field-notes.md instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import demo_notes
import demo_world

SCHEME = Path("/scheme")
INSIDE = "--inside-namespaces"
STEP_TIMEOUT = 20  # seconds

SERVER = r"""exec 4<>/scheme/tcp/:8080
while read -r n peer _ <&4; do
    { read -r request; printf 'HTTP/1.0 200 OK\r\n\r\nhello %s\n' "$peer"; } </scheme/tcp/$n/rx >/scheme/tcp/$n/tx
done &
curl -4 -sS http://10.0.2.15:8080/
kill $!"""

SERVER6 = SERVER.replace("curl -4 -sS http://10.0.2.15:8080/", "curl -6 -sS 'http://[fd00:10:0:2::15]:8080/'")

LOOPBACK_SERVER = r"""exec 4<>/scheme/tcp/:8080
while read -r n peer _ <&4; do
    { read -r request; printf 'hello %s\n' "$peer"; } </scheme/tcp/$n/rx >/scheme/tcp/$n/tx
done &
exec 3<>/scheme/tcp/127.0.0.1:8080; echo hi >&3; cat <&3
kill $!"""


@dataclass(frozen=True)
class Step:
    """A command, a comment on it, and a pattern that its output must contain."""

    command: str
    comment: str
    expected: str  # a regular expression
    needs_tap: bool = False
    needs_ipv6: bool = False  # in the kernel
    must_succeed: bool = False  # its status must be 0


STEPS = [
    Step(
        "ls /scheme | grep -E 'ip|tcp|udp|icmp|netcfg'",
        "a directory per scheme, as on Redox",
        r"^icmp\nip\nnetcfg\ntcp\nudp$",
    ),
    Step("cat /scheme/netcfg/ifaces/lo/addr/list", "Redox's node for an interface's addresses", r"^127\.0\.0\.1/8$"),
    Step(
        "cat /scheme/icmp/ping/127.0.0.1,count=5,interval=0.2",
        "reading this file sends pings, here to the own address",
        "5 packets transmitted, 5 packets received, 0.00% packet loss",
    ),
    Step(
        "cat /scheme/icmp/ping/10.0.2.2,count=5,interval=0.2",
        "the Linux stack on the other end of the TAP; the first probe waited for ARP",
        "5 packets transmitted, 5 packets received, 0.00% packet loss",
        needs_tap=True,
    ),
    Step(
        "ping -c 1 10.0.2.15",
        "the other direction: Linux pings the mount",
        "1 packets transmitted, 1 received, 0% packet loss",
        needs_tap=True,
    ),
    Step(
        "cat /scheme/icmp/ping/::1,count=1",
        "the same over IPv6, to the own address",
        "1 packets transmitted, 1 packets received, 0.00% packet loss",
    ),
    Step(
        "cat /scheme/netcfg/ifaces/eth0/addr/list",
        "the addresses of the TAP: of IPv6 with scope, origin and lifetimes",
        r"^fd00:10:0:2::15/64 scope global",
        needs_tap=True,
        needs_ipv6=True,
    ),
    Step(
        "cat /scheme/icmp/ping/fd00:10:0:2::2,count=3,interval=0.2; ping -6 -c 1 fd00:10:0:2::15",
        "both directions over IPv6; Neighbor Discovery found the peer",
        r"3 packets received, 0\.00% packet loss[\s\S]*1 packets transmitted, 1 received, 0% packet loss",
        needs_tap=True,
        needs_ipv6=True,
    ),
    Step("cat /scheme/netcfg/route/list", "the one routing table", r"^default via 10\.0\.2\.2", needs_tap=True),
    Step(
        r"exec 3<>/scheme/tcp/10.0.2.2:80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3",
        "opening the path connected; the descriptor is the connection",
        r"200 OK[\s\S]*a page of the peer",
        needs_tap=True,
    ),
    Step(
        "cat /scheme/tcp/10.0.2.2:81; cat /scheme/tcp/err",
        "a closed port fails the open, and err has the reason",
        r"Connection refused[\s\S]*RST",
        needs_tap=True,
    ),
    Step(
        r"exec 3<>'/scheme/tcp/[fe80::1%eth0]:80'; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3",
        "the same server by the link-local address of the host, which needs the name of the interface",
        r"200 OK[\s\S]*a page of the peer",
        needs_tap=True,
        needs_ipv6=True,
    ),
    Step(SERVER, "a web server in shell, and curl on Linux as its client", r"^hello 10\.0\.2\.2:\d+$", needs_tap=True),
    Step(
        SERVER6,
        "the same server over IPv6: a listener on :8080 has both families",
        r"^hello \[fd00:10:0:2::2\]:\d+$",
        needs_tap=True,
        needs_ipv6=True,
    ),
    Step(LOOPBACK_SERVER, "a server and its client in shell, over lo", r"^hello 127\.0\.0\.1:\d+$"),
    Step(
        "timeout --signal=INT 1 cat /scheme/udp/:9999; echo status $?",
        "SIGINT, as Ctrl-C sends it, ends a blocked cat at once (124: timeout has sent it)",
        r"^status 124$",
    ),
    Step(
        "tail -n 5 /scheme/logging/net/schemefs.log",
        "the daemon's log is a file; tail -f follows it",
        r"^\+\d+\.\d+ [A-Z]+ ",
    ),
    Step(
        "grep -E '_(posted|completed|in_flight)=' /scheme/network/eth0/stats",
        "the virtqueues between the stack and the TAP: every sent buffer is completed",
        r"^tx_in_flight=0$",
        needs_tap=True,
    ),
]

# The session of docs/field-notes.md, with the network beyond the host.
SESSION = [
    Step("cat /scheme/netcfg/route/list", "the default route: the host forwards and masquerades", r"^default via"),
    Step(
        "cat /scheme/dns/www.example",
        "10.0.2.3 relays the question to the resolvers of the host",
        r"^192\.0\.2\.2$",
    ),
    Step(
        "schemefs ping -c 5 -i 0.2 www.example",
        "ping by name, with the output of Redox",
        "5 packets transmitted, 5 packets received, 0.00% packet loss",
    ),
    Step(
        r"exec 3<>/scheme/tcp/www.example:80; echo -ne 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3",
        "HTTP by cat and echo; the server has seen the host's address",
        r"200 OK[\s\S]*hello 192\.0\.2\.1",
    ),
    Step("schemefs get http://www.example/", "the same by a tool, which uses the same files", r"^hello 192\.0\.2\.1$"),
    Step(
        "exec 3<>/scheme/tls/www.example:443; grep -E '^(version|verified|peer_subject)=' "
        "/scheme/$(schemefs which 3)/status\n"
        r"echo -ne 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3",
        "HTTPS by cat and echo: the open has verified the certificate",
        r"verified=yes[\s\S]*200 OK[\s\S]*hello",
    ),
    Step(
        "cat /scheme/tls/192.0.2.2:443; cat /scheme/tls/err",
        "the certificate is not for this address, so the open fails",
        "IP address mismatch",
    ),
    Step(
        "cat /scheme/dns/six.example,type=aaaa; cat /scheme/icmp/ping/six.example,count=2,interval=0.2",
        "a name with an address of IPv6 alone: the host masquerades IPv6 too",
        r"^2001:db8:9::2$[\s\S]*2 packets transmitted, 2 packets received, 0\.00% packet loss",
        needs_ipv6=True,
    ),
    Step(
        "schemefs get http://six.example/",
        "HTTP over IPv6; the server has seen the host's address",
        r"^hello 2001:db8:9::1$",
        needs_ipv6=True,
    ),
    Step(
        "grep -E ' (DEBUG|INFO) ' /scheme/logging/net/schemefs.log | tail -n 4",
        "the daemon's log of it",
        r"^\+\d+\.\d+ [A-Z]+ ",
    ),
]
AGAIN = [
    Step(
        "schemefs ping -c 5 -i 0.1 www.example | tail -n 2",
        "after the restart names and routes work as before",
        "5 packets transmitted, 5 packets received, 0.00% packet loss",
    ),
    Step("schemefs get https://www.example/", "and so does TLS", r"^hello 192\.0\.2\.1$"),
]
UPLINK = ["--uplink", "--log-level", "debug"]


def main(arguments: list[str]) -> int:
    """Run the demo, in namespaces if they can be made."""
    shell, notes = "--shell" in arguments, "--notes" in arguments
    if INSIDE in arguments:
        return inside(shell=shell, notes=notes)
    lacking = what_is_missing()
    if not lacking:
        return in_namespaces(arguments)
    if notes:
        print(f"The faults can't be shown: {lacking}.")
        return 1
    print(f"Only the steps on loopback: {lacking}.\n")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("Nothing can be mounted: /dev/fuse is missing, or its mode denies access (chmod 666 /dev/fuse).")
        return 1
    with tempfile.TemporaryDirectory(prefix="schemefs-demo-") as folder:
        return demonstrate(
            Path(folder), ["--driver", "loopback"], [step for step in STEPS if not step.needs_tap], shell
        )


def what_is_missing() -> str:
    """Return what this machine lacks for the steps with the peer; empty: nothing."""
    if os.geteuid() != 0:
        return "namespaces and a TAP need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    if subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        return "namespaces can't be made here"
    return ""


def in_namespaces(arguments: list[str]) -> int:
    """Run this program again in new namespaces; all processes that it starts end with it."""
    made = not SCHEME.exists()
    SCHEME.mkdir(exist_ok=True)
    unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"]
    unshare += ["--kill-child"]
    try:
        return subprocess.run([*unshare, sys.executable, __file__, INSIDE, *arguments], check=False).returncode
    finally:
        if made:
            SCHEME.rmdir()


def inside(*, shell: bool, notes: bool) -> int:
    """Set up the peer and the network beyond it, then show all steps."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="schemefs-demo-") as name, ExitStack() as ends:
        folder = Path(name)
        (folder / "index.html").write_text("a page of the peer\n")
        server = [sys.executable, "-m", "http.server", "80", "--directory", name]
        server += ["--bind", "::"] if demo_world.has_ipv6() else []  # of both families
        peer = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends.callback(peer.wait)
        ends.callback(peer.kill)
        lacking = demo_world.what_is_missing()
        if lacking and notes:
            print(f"The faults can't be shown: {lacking}.")
            return 1
        if lacking:
            print(f"No steps beyond the host: {lacking}.\n")
            return demonstrate(SCHEME, [], STEPS, shell)
        ends.enter_context(demo_world.world(folder))
        if notes:
            subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], check=True)  # the rows make directories there
            return demonstrate(SCHEME, UPLINK, steps_of_notes(), shell)
        anew = f"schemefs umount {SCHEME} && schemefs mount {SCHEME} {' '.join(UPLINK)}"
        restart = Step(anew, "a restart; umount has restored the host's settings before", "^mounted ")
        return demonstrate(SCHEME, UPLINK, [*STEPS, *SESSION, restart, *AGAIN], shell)


def steps_of_notes() -> list[Step]:
    """Return the steps of each row of the page: on, see, off."""
    steps = []
    for row in demo_notes.rows(demo_notes.PAGE.read_text()):
        steps += [
            Step(row.on, row.symptom, "", must_succeed=True),
            Step(row.see, "what is seen of it", row.pattern),
            Step(row.off, "the fault has ended", "", must_succeed=True),
        ]
    return steps


def demonstrate(mount_point: Path, options: list[str], steps: list[Step], shell: bool) -> int:
    """Mount, show the steps, unmount. Return 1 if a step failed, else 0."""
    began = time.monotonic()
    path = os.environ["SCHEME"] = str(mount_point)  # for the tools, since other mounts may exist
    mount = Step(
        " ".join(["schemefs mount", path, *options]), "the command returns when the mount is ready", "^mounted "
    )
    if not show(mount):
        return 1
    possible = [step for step in steps if demo_world.has_ipv6() or not step.needs_ipv6]
    failed = [step for step in possible if not show(replace(step, command=re.sub(r"/scheme\b", path, step.command)))]
    if shell:
        print("A shell in the same namespaces; exit ends the demo.\n")
        subprocess.run([os.environ.get("SHELL", "/bin/sh")], check=False)
    if not show(
        Step(
            f"schemefs umount {path}", "connections are closed, the TAP is removed, the daemon has ended", "^unmounted "
        )
    ):
        return 1
    print(f"{len(failed)} steps failed; {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def show(step: Step) -> bool:
    """Print and run one step; return whether its output matches."""
    print(bold("$ " + step.command.replace("\n", "\n> ")))
    try:
        done = subprocess.run(
            ["bash", "-c", step.command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=STEP_TIMEOUT,
        )
        output, failed = done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired as expired:
        failed = True
        output = (expired.stdout or b"").decode(errors="replace") + f"(no end within {STEP_TIMEOUT} s)"
    print(output.rstrip("\n"))
    good = re.search(step.expected, output, re.MULTILINE) is not None and not (step.must_succeed and failed)
    wanted = "status 0" if step.must_succeed else repr(step.expected)
    print(dim(f"# {step.comment}") if good else f"FAILED: expected {wanted}", end="\n\n")
    sys.stdout.flush()
    return good


def bold(text: str) -> str:
    """Return *text* in bold on a terminal."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def dim(text: str) -> str:
    """Return *text* dimmed on a terminal."""
    return f"\033[2m{text}\033[0m" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

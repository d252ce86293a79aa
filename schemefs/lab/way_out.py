"""The hosts' way to the machine's network (--internet): pasta(1) gives each host an interface of its own.

    host ── eth0 ── routers, impairments ── other hosts
         └─ internet0 ── pasta ── sockets of the machine's network

pasta is no network that can lose packets: it takes segments as if none could be lost. So this way leads through no
router and no impairment. pasta needs a process that is still in the machine's network namespace, which nothing can
enter again without root: a child that is made before, and starts pasta on demand.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from schemefs.errors import StartError
from schemefs.lab import namespaces

NAMESERVER: Final = "198.18.0.1"  # RFC 2544: addresses that no other network has; the gateway too
INTERFACE: Final = "internet0"

_ARGUMENTS: Final = (
    *("--config-net", "--no-map-gw", "--no-netns-quit", "--ns-ifname", INTERFACE),
    *("--address", "198.18.0.2", "--netmask", "30", "--gateway", NAMESERVER, "--dns-forward", NAMESERVER),
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
)
# A private address (number 0 of fd09:N::/64): programs that have a choice take IPv4, RFC 6724 §2.1.
_IPV6: Final = ("--address", "fd09::2", "--gateway", "fd09::1")
_IPV4_ONLY: Final = ("--ipv4-only",)
_ROUTES6: Final = "/proc/net/ipv6_route"
_DONE: Final = "done"
_NOISE: Final = "Failed to send"  # …bytes to syslog: a machine without syslog has nothing else to say


def check() -> None:
    """Raise StartError unless pasta is installed."""
    if shutil.which("pasta") is None:
        raise StartError("--internet needs the program pasta: apt-get install passt")


class WayOut:
    """The child in the machine's network namespace. Make it before this process has left that."""

    def __init__(self, *, is_root: bool) -> None:
        go, self._go = os.pipe()
        self._answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            os.close(self._answers)
            _wait_and_connect(go, answers, ("--runas", "0") if is_root else ())
        os.close(go)
        os.close(answers)

    def connect(self, networks: Sequence[str]) -> None:
        """Give each host its interface and its default route. StartError: pasta can't."""
        with open(self._go, "w", encoding="utf-8") as go:
            go.write("\n".join(networks))
        with open(self._answers, encoding="utf-8", errors="replace") as answers:
            answer = answers.read()
        os.waitpid(self.pid, 0)
        if answer != _DONE:
            raise StartError(f"pasta can't give the machine's network ({answer.strip() or 'it did not start'})")


def _wait_and_connect(go: int, answers: int, user: Sequence[str]) -> NoReturn:
    answer = ""
    try:
        namespaces.end_with_parent(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with open(go, encoding="utf-8") as lines:
            networks = lines.read().splitlines()
        answer = _connect(networks, user) or _DONE
    finally:
        os.write(answers, answer.encode())
        os._exit(0)


def has_default_route6(path: str = _ROUTES6) -> bool:
    """Return whether this network namespace has a default route of IPv6. *path* is of the form of ipv6_route."""
    try:
        routes = [line.split() for line in Path(path).read_text().splitlines()]
    except OSError:  # a kernel without IPv6
        return False
    return any(route[1] == "00" and route[-1] != "lo" for route in routes)


def _connect(networks: Sequence[str], user: Sequence[str]) -> str:
    """Start pasta for each network namespace; it goes to the background when it is ready. Return why one failed."""
    families = _IPV6 if has_default_route6() else _IPV4_ONLY
    for network in networks:
        done = subprocess.run(
            ["pasta", *user, "--netns", network, *_ARGUMENTS, *families],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").splitlines()
            said = [line for line in lines if line.strip() and not line.startswith(_NOISE)]
            return said[-1] if said else f"status {done.returncode}"
    return ""

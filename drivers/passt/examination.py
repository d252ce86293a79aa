"""The findings of `schemefs doctor` about passt: a trial run says more than any setting that can forbid it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from drivers.passt.program import Passt, obstacle
from schemefs.driver import DriverError, Finding

# What passt isolates itself by, and what `schemefs lab` is made of: user_namespaces(7), and the settings of Debian and
# Ubuntu that restrict it. Files in /proc/sys, the word that forbids, and the command.
_RESTRICTIONS: Final = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)
_SETTINGS: Final = Path("/proc/sys")
_NOBODY: Final = 65534  # passt of root has this group
_TRIAL: Final = IPv4Interface("10.0.2.15/24")
_TRIAL_MAC: Final = b"\x02\x00\x00\x00\x00\x01"


def examine() -> Iterator[Finding]:
    """Yield the findings. Nothing is changed."""
    yield user_namespaces()
    missing = obstacle()
    if missing:
        sentence = "is not installed: a mount without root has only lo"
        yield Finding("passt", sentence, fix="apt-get install passt", works=False)
        return
    try:
        passt = Passt("passt", _TRIAL, None, 1500)
        passt.wait_until_ready(_TRIAL_MAC)
    except DriverError as error:
        fix = "mount with --driver loopback, or as root with --driver tap; apt-get install --reinstall passt"
        yield Finding("passt", str(error), fix=fix, works=False)
        return
    passt.end()
    yield Finding("passt", f"{_version()} works: a mount without root reaches the host's network")
    yield from echo()


def user_namespaces(settings: Path = _SETTINGS) -> Finding:
    """Make one, as `schemefs lab` does, and look for the setting that restricts those of users without root."""
    fault = _trial()
    for name, forbidding, command in _RESTRICTIONS:
        path = settings / name
        if _setting(path) == forbidding:
            sentence = f"are restricted for users without root ({path} is {forbidding}): they can't have `schemefs lab`"
            return Finding("user namespaces", sentence, fix=f"as root: {command}", works=False)
    if fault:
        sentence = f"can't be made ({fault}): there is no `schemefs lab` here"
        return Finding("user namespaces", sentence, fix="a container or sandbox that allows unshare(2)", works=False)
    return Finding("user namespaces", "can be made")


def echo(settings: Path = _SETTINGS) -> Iterator[Finding]:
    """Yield a finding where passt can't ping: it has ICMP sockets, which only some groups may have (icmp(7))."""
    text = _setting(settings / "net/ipv4/ping_group_range")
    first, _, last = text.partition("\t")
    groups = {os.getegid(), *os.getgroups()} if os.geteuid() else {_NOBODY}
    if text and not any(int(first) <= group <= int(last) for group in groups):
        sentence = f"no ping leaves it: net.ipv4.ping_group_range is {first} {last}, without the group {min(groups)}"
        fix = "as root: sysctl -w net.ipv4.ping_group_range='0 2147483647'"
        yield Finding("ping by passt", sentence, fix=fix, works=False)


def _trial() -> str:
    """Return why no user, network and mount namespace can be made; empty: they can."""
    try:
        command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except OSError as error:
        return f"unshare: {error.strerror}"
    return "" if not done.returncode else done.stderr.strip().rpartition("\n")[2]


def _setting(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # this kernel does not have it
        return ""


def _version() -> str:
    """Return "passt", its version where it knows it, and what an old one can't do.

    `passt --version` says "unknown version" on Debian 12 and Ubuntu 24.04. The option tells that of Debian 13, which
    answers for a port that the host refuses, from these two, which do not.
    """
    version, options = (_output(word) for word in ("--version", "--help"))
    words = version.partition("\n")[0].removesuffix(" unknown version") or "passt"
    if "--map-host-loopback" in options:
        return words
    return f"{words} (an old one, without --map-host-loopback: a port that the host refuses may be silent, not closed)"


def _output(word: str) -> str:
    try:
        done = subprocess.run(["passt", word], check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr

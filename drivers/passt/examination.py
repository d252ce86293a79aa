"""The findings of `schemefs doctor` about passt: a trial run says more than any setting that can forbid it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from drivers.passt.program import Passt, obstacle
from schemefs.driver import DriverError, Finding

# What passt isolates itself by, and what a lab of one's own needs: user_namespaces(7), and the settings of Debian and
# Ubuntu that restrict it.
_MAXIMUM: Final = Path("/proc/sys/user/max_user_namespaces")
_RESTRICTIONS: Final = (
    (Path("/proc/sys/kernel/unprivileged_userns_clone"), "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
_TRIAL: Final = IPv4Interface("10.0.2.15/24")
_TRIAL_MAC: Final = b"\x02\x00\x00\x00\x00\x01"


def examine() -> Iterator[Finding]:
    """Yield the findings. Nothing is changed."""
    yield _user_namespaces()
    missing = obstacle()
    if missing:
        yield Finding("passt", "is not installed: a mount without root has only lo", fix="apt-get install passt")
        return
    try:
        passt = Passt("passt", _TRIAL, None, 1500)
    except DriverError as error:
        yield Finding("passt", str(error), fix="apt-get install --reinstall passt", good=False)
        return
    try:
        passt.wait_until_ready(_TRIAL_MAC)
    except DriverError as error:
        yield Finding("passt", str(error), fix="mount with --driver loopback, or as root with --driver tap")
        return
    passt.end()
    yield Finding("passt", f"{_version()} works: a mount without root reaches the host's network")


def _user_namespaces() -> Finding:
    for path, forbidding, fix in _RESTRICTIONS:
        if _setting(path) == forbidding:
            sentence = f"are restricted for users without root ({path} is {forbidding})"
            return Finding("user namespaces", sentence, fix=f"as root: {fix}")
    if _setting(_MAXIMUM) == "0":
        return Finding(
            "user namespaces",
            f"are forbidden ({_MAXIMUM} is 0)",
            fix="as root: sysctl -w user.max_user_namespaces=15000",
        )
    return Finding("user namespaces", "no setting of the kernel forbids them")


def _setting(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # this kernel does not have it
        return ""


def _version() -> str:
    """Return the first line of `passt --version`, such as "passt 0.0~git20230309.7c7625d-1"."""
    done = subprocess.run(["passt", "--version"], check=False, capture_output=True, text=True, timeout=10)
    return done.stdout.partition("\n")[0] or "passt"
